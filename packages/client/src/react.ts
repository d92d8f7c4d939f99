import {
  createContext,
  createElement,
  type ReactNode,
  useCallback,
  useContext,
  useEffect,
  useSyncExternalStore,
} from 'react';
import type { Chat } from './chat-types.ts';
import type { ChatState, Conversation, Person, Thread } from './state.ts';

const ChatContext = createContext<Chat | undefined>(undefined);

/** Gives a chat to the hooks below it, and runs it as long as it is shown. */
export function ChatProvider({ chat, children }: { chat: Chat; children?: ReactNode }) {
  useEffect(() => {
    chat.start();
    return chat.stop;
  }, [chat]);
  return createElement(ChatContext.Provider, { value: chat }, children);
}

/** The chat of the nearest ChatProvider. @throws Error outside of one */
export function useChat(): Chat {
  const chat = useContext(ChatContext);
  if (!chat) throw new Error('useChat needs a ChatProvider above it');
  return chat;
}

/** The part of the state that `select` takes; renders again only when that part changes. It must not make new objects. */
export function useChatState<T>(select: (state: ChatState) => T): T {
  const chat = useChat();
  const get = () => select(chat.getState());
  return useSyncExternalStore(chat.subscribe, get, get);
}

/** Newest first; undefined until they are known. */
export const useConversations = (): readonly Conversation[] | undefined => useChatState((state) => state.conversations);

/** Somebody, as far as is known. */
export const usePerson = (id: string): Person | undefined => useChatState((state) => state.people[id]);

/** Whether somebody types to this user now. */
export const useTyping = (id: string): boolean => useChatState((state) => state.typing[id] === true);

/** The unread messages of all conversations. */
export const useUnreadCount = (): number =>
  useChatState(({ conversations }) => (conversations ?? []).reduce((sum, each) => sum + each.unreadCount, 0));

const nothing: Thread = { messages: [], loading: true, hasNewest: false, hasOlder: false, readSeq: 0 };

/** A conversation, loaded when it is first looked at, with what can be done in it. */
export function useThread(peerId: string) {
  const chat = useChat();
  const thread = useChatState((state) => state.threads[peerId]) ?? nothing;
  useEffect(() => {
    chat.open(peerId).catch(() => {}); // Nobody of that id: there is nothing to show.
  }, [chat, peerId]);
  return {
    ...thread,
    send: useCallback((content: string) => chat.send(peerId, content), [chat, peerId]),
    retry: useCallback((key: string) => chat.retry(peerId, key), [chat, peerId]),
    discard: useCallback((key: string) => chat.discard(peerId, key), [chat, peerId]),
    loadOlder: useCallback(() => chat.older(peerId), [chat, peerId]),
    markRead: useCallback(() => chat.read(peerId), [chat, peerId]),
  };
}
