import type { Conversation, Message, User } from '@duet/contract';
import type { DuetError } from '@duet/contract/errors';
import { type Api, createApi, type GetToken } from './api.ts';
import { type ConnectionState, createConnection } from './connection.ts';
import { createOutbox, type Outgoing } from './outbox.ts';
import {
  type ChatMessage,
  contiguous,
  emptyThread,
  fromOutbox,
  fromServer,
  merge,
  readUpTo,
  type Thread,
} from './thread.ts';

const PAGE = 40;
/** A typing mark without news disappears after this time: its end may have been lost. */
const TYPING_MS = 6_000;

/** Everything that an app shows. Each change makes a new object, so it can be compared by identity. */
export interface ChatState {
  connection: ConnectionState;
  me: User | undefined;
  /** Newest first; undefined until they are known. */
  conversations: Conversation[] | undefined;
  threads: Record<string, Thread>;
  /** Users who type to this one. */
  typing: Record<string, true>;
  /** What has been heard of people's presence since the start. */
  presence: Record<string, { isOnline: boolean; lastSeen: string }>;
}

export interface ChatOptions {
  /** Where the server is, such as `https://chat.example.org`. */
  url: string;
  getToken: GetToken;
  /** An id of this device that is kept between starts; not secret. */
  deviceId?: string;
}

/** Unique enough for one user's messages; not every runtime has crypto.randomUUID (it needs https in browsers). */
const newId = (): string =>
  globalThis.crypto?.randomUUID?.() ??
  `${Date.now().toString(36)}-${Math.random().toString(36).slice(2)}${Math.random().toString(36).slice(2)}`;

/**
 * A user's chat: keeps a connection, sends what is written exactly once, and holds what an app shows as one observable
 * state (`subscribe` and `getState` fit React's useSyncExternalStore).
 */
export function createChat(options: ChatOptions) {
  const api = createApi(options);
  const store = createState();
  const { getState, update } = store;
  const typingTimers = new Map<string, ReturnType<typeof setTimeout>>();

  const connection = createConnection({
    url: options.url,
    getToken: options.getToken,
    deviceId: options.deviceId ?? newId(),
    onState(state) {
      update({ connection: state });
      if (state === 'online') void catchUp().catch(ignoreOffline);
    },
  });

  const outbox = createOutbox({
    send: async ({ peerId, content, tempId }) =>
      (await connection.emit('send_message', { receiverId: peerId, content, tempId })).message,
    isOnline: connection.isOnline,
    sent: (_, stored) => received(stored),
    failed: (message, error) =>
      show(message.peerId, [{ ...fromOutbox(message), state: 'failed', problem: error.message }]),
  });

  const me = (): string => getState().me?._id ?? '';
  const thread = (peerId: string): Thread | undefined => getState().threads[peerId];

  function setThread(peerId: string, patch: Partial<Thread>): void {
    const { threads } = getState();
    update({ threads: { ...threads, [peerId]: { ...(threads[peerId] ?? emptyThread), ...patch } } });
  }

  function show(peerId: string, messages: ChatMessage[]): void {
    const merged = merge(thread(peerId)?.messages ?? [], messages);
    setThread(peerId, { messages: merged, upTo: contiguous(merged, thread(peerId)?.upTo ?? 0) });
  }

  /** A stored message, from whichever way it came. */
  function received(message: Message): void {
    const peer = message.sender._id === me() ? message.receiver : message.sender;
    setTyping(peer._id, false);
    noteConversation(peer._id, message);
    if (!thread(peer._id)) return;
    show(peer._id, [fromServer(message, me())]);
    fillHole(peer._id);
  }

  /** A hole: something was sent meanwhile that did not come here. While the first page is loading nothing is one. */
  function fillHole(peerId: string): void {
    const known = thread(peerId);
    if (!known || known.loading) return;
    if ((known.messages.findLast(({ seq }) => seq !== undefined)?.seq ?? 0) > known.upTo)
      void fetchMissed(peerId).catch(ignoreOffline);
  }

  function noteConversation(peerId: string, message: Message): void {
    const { conversations } = getState();
    const known = conversations?.find((conversation) => conversation.peer._id === peerId);
    if (!conversations || !known) return void loadConversations().catch(ignoreOffline);
    if (message.seq <= known.lastMessage.seq) return;
    const unread = message.sender._id === peerId ? known.unreadCount + 1 : known.unreadCount;
    const moved = { ...known, lastMessage: message, unreadCount: unread };
    update({ conversations: [moved, ...conversations.filter((conversation) => conversation !== known)] });
  }

  async function loadConversations(): Promise<void> {
    update({ conversations: (await api.conversations({ limit: 100 })).conversations });
  }

  async function fetchMissed(peerId: string): Promise<void> {
    for (;;) {
      const after = thread(peerId)?.upTo ?? 0;
      const { messages } = await api.history(peerId, { after, limit: 100 });
      show(
        peerId,
        messages.map((message) => fromServer(message, me())),
      );
      if (messages.length < 100) return;
    }
  }

  /** After every connect: what was missed, then what was written meanwhile. */
  async function catchUp(): Promise<void> {
    if (!getState().me) update({ me: (await api.me()).user });
    outbox.flush();
    await loadConversations();
    await Promise.all(
      Object.entries(getState().threads)
        .filter(([, { loading }]) => !loading)
        .map(([peerId]) => refresh(peerId)),
    );
  }

  /** The newest page again, for read marks, and whatever lies between it and what is known. */
  async function refresh(peerId: string): Promise<void> {
    await fetchMissed(peerId);
    const { messages } = await api.history(peerId, { limit: PAGE });
    show(
      peerId,
      messages.map((message) => fromServer(message, me())),
    );
  }

  function setTyping(peerId: string, isTyping: boolean): void {
    clearTimeout(typingTimers.get(peerId));
    const { [peerId]: before, ...others } = getState().typing;
    if (isTyping)
      typingTimers.set(
        peerId,
        setTimeout(() => setTyping(peerId, false), TYPING_MS),
      );
    if (Boolean(before) !== isTyping) update({ typing: isTyping ? { ...others, [peerId]: true } : others });
  }

  connection.on('resync', () => void catchUp().catch(ignoreOffline));
  connection.on('receive_message', ({ message }) => received(message));
  connection.on('user_typing', ({ userId, isTyping }) => setTyping(userId, isTyping));
  connection.on('user_status', ({ userId, isOnline, lastSeen }) =>
    update({ presence: { ...getState().presence, [userId]: { isOnline, lastSeen } } }),
  );
  connection.on('message_read_receipt', ({ messageId, readerId }) => {
    const messages = thread(readerId)?.messages;
    const seq = messages?.find((message) => message.id === messageId)?.seq;
    if (messages && seq !== undefined) setThread(readerId, { messages: readUpTo(messages, seq) });
    // It overtook the message that it is about.
    else if (messages) void refresh(readerId).catch(ignoreOffline);
  });

  return {
    ...store.observable,
    api,
    /** Connects, and stays connected until `stop`. */
    start: connection.start,
    stop(): void {
      outbox.stop();
      connection.stop();
      for (const timer of typingTimers.values()) clearTimeout(timer);
    },
    /** Call it when the device or the app wakes up. */
    wake: connection.nudge,
    /** Loads the newest messages of a conversation; repeated calls do nothing. @throws DuetError */
    async open(peerId: string): Promise<void> {
      if (thread(peerId) && !thread(peerId)?.loading) return;
      setThread(peerId, { loading: true });
      const { messages } = await api.history(peerId, { limit: PAGE });
      setThread(peerId, { loading: false, complete: messages.length < PAGE, upTo: messages.at(-1)?.seq ?? 0 });
      show(
        peerId,
        messages.map((message) => fromServer(message, me())),
      );
      fillHole(peerId);
    },
    /** Loads the page before the oldest known message. @throws DuetError */
    async older(peerId: string): Promise<void> {
      const oldest = thread(peerId)?.messages.find(({ seq }) => seq !== undefined)?.seq;
      if (oldest === undefined || thread(peerId)?.complete) return;
      const { messages } = await api.history(peerId, { before: oldest, limit: PAGE });
      show(
        peerId,
        messages.map((message) => fromServer(message, me())),
      );
      if (messages.length < PAGE) setThread(peerId, { complete: true });
    },
    /** Shows the message at once and sends it until the server has answered. */
    send(peerId: string, content: string): void {
      const message: Outgoing = { tempId: newId(), peerId, content, createdAt: new Date().toISOString() };
      show(peerId, [fromOutbox(message)]);
      outbox.add(message);
    },
    /** Sends a failed message again, as the same message. */
    retry(peerId: string, { key, content, createdAt }: ChatMessage): void {
      const message: Outgoing = { tempId: key, peerId, content, createdAt };
      show(peerId, [fromOutbox(message)]);
      outbox.add(message);
    },
    typing(peerId: string, isTyping: boolean): void {
      if (!connection.isOnline()) return;
      connection.emit(isTyping ? 'typing_start' : 'typing_stop', { receiverId: peerId }).catch(ignoreOffline);
    },
    /** The user has seen the conversation. */
    read(peerId: string): void {
      const { conversations } = getState();
      const known = conversations?.find((conversation) => conversation.peer._id === peerId);
      if (!conversations || !known || known.unreadCount === 0) return;
      update({ conversations: conversations.map((each) => (each === known ? { ...each, unreadCount: 0 } : each)) });
      api.markRead(peerId).catch(ignoreOffline);
    },
  };
}
export type Chat = ReturnType<typeof createChat>;
export type { Api };

/** What failed because the server could not be reached is asked again when the connection is back. */
function ignoreOffline(_: DuetError | unknown): void {}

function createState() {
  let state: ChatState = {
    connection: 'offline',
    me: undefined,
    conversations: undefined,
    threads: {},
    typing: {},
    presence: {},
  };
  const listeners = new Set<() => void>();
  const getState = (): ChatState => state;
  return {
    getState,
    update(patch: Partial<ChatState>): void {
      state = { ...state, ...patch };
      for (const listener of listeners) listener();
    },
    observable: {
      getState,
      /** @returns a function that ends the subscription */
      subscribe(listener: () => void): () => void {
        listeners.add(listener);
        return () => void listeners.delete(listener);
      },
    },
  };
}
