import type { Chat, ChatMessage } from '@duet/client';
import { ActionIcon, Loader, Text } from '@mantine/core';
import { IconArrowLeft } from '@tabler/icons-react';
import { Fragment, useEffect, useLayoutEffect, useRef } from 'react';
import { Composer } from './composer.tsx';
import { MessageBubble } from './message-bubble.tsx';
import { PersonAvatar } from './person.tsx';
import { dayKey, dayName, lastSeenText } from './times.ts';
import { useChat } from './use-chat.ts';

/** Whom the user chats with. */
export interface Peer {
  id: string;
  username: string;
  isOnline: boolean;
  lastSeen: string;
}

interface ConversationProps {
  chat: Chat;
  peer: Peer;
  onBack: () => void;
}

export function Conversation({ chat, peer, onBack }: ConversationProps) {
  const online = useChat(chat, (state) => state.connection === 'online');
  useEffect(() => {
    // What could not be loaded while offline is loaded when the connection is back.
    if (online) chat.open(peer.id).catch(() => undefined);
  }, [chat, peer.id, online]);

  return (
    <main
      className="conversation"
      aria-label={`Conversation with ${peer.username}`}
      onKeyDown={(event) => event.key === 'Escape' && onBack()}
    >
      <PeerBar chat={chat} peer={peer} onBack={onBack} />
      <Messages chat={chat} peer={peer} />
      <Composer chat={chat} peerId={peer.id} />
    </main>
  );
}

function PeerBar({ chat, peer, onBack }: ConversationProps) {
  const heard = useChat(chat, (state) => state.presence[peer.id]);
  const typing = useChat(chat, (state) => state.typing[peer.id] === true);
  const { isOnline, lastSeen } = heard ?? peer;
  const status = typing ? 'typing…' : isOnline ? 'online' : lastSeenText(lastSeen);
  return (
    <header className="bar">
      <ActionIcon
        className="back"
        variant="subtle"
        color="gray"
        size="lg"
        aria-label="Back to the list"
        onClick={onBack}
      >
        <IconArrowLeft size={22} />
      </ActionIcon>
      <PersonAvatar id={peer.id} name={peer.username} isOnline={isOnline} size={38} />
      <div className="row-text">
        <Text component="h1" fw={600} size="md" truncate>
          {peer.username}
        </Text>
        <Text size="xs" c={typing || isOnline ? 'teal' : 'dimmed'} role="status" className="peer-status">
          {status}
        </Text>
      </div>
    </header>
  );
}

/** Nearer to the end than this, new messages pull the list along. */
const NEAR_END = 120;
const NEAR_START = 200;

function Messages({ chat, peer }: Pick<ConversationProps, 'chat' | 'peer'>) {
  const thread = useChat(chat, (state) => state.threads[peer.id]);
  const messages = thread?.messages ?? [];
  const box = useRef<HTMLDivElement>(null);
  const view = useRef({ atEnd: true, height: 0, first: '' });
  const loadingOlder = useRef(false);
  const first = messages[0]?.key ?? '';
  const last = messages.at(-1)?.key ?? '';

  useLayoutEffect(() => {
    const element = box.current;
    if (!element) return;
    const { atEnd, height, first: before } = view.current;
    // Older messages push the rest down: stay on what the reader looks at.
    if (before !== '' && before !== first && !atEnd) element.scrollTop += element.scrollHeight - height;
    else if (atEnd || messages.at(-1)?.state === 'sending') element.scrollTop = element.scrollHeight;
    view.current = { ...view.current, height: element.scrollHeight, first };
  }, [first, last, messages.length]);

  useEffect(() => {
    const element = box.current;
    if (!element) return;
    // The pane shrinks when the text below grows or a keyboard comes up: whoever reads the end stays there.
    const observer = new ResizeObserver(() => {
      if (view.current.atEnd) element.scrollTop = element.scrollHeight;
    });
    observer.observe(element);
    return () => observer.disconnect();
  }, [thread?.loading]);

  useEffect(() => {
    const read = () => document.visibilityState === 'visible' && chat.read(peer.id);
    read();
    document.addEventListener('visibilitychange', read);
    return () => document.removeEventListener('visibilitychange', read);
  }, [chat, peer.id, last, thread?.loading]);

  const onScroll = () => {
    const element = box.current;
    if (!element) return;
    view.current.atEnd = element.scrollHeight - element.scrollTop - element.clientHeight < NEAR_END;
    view.current.height = element.scrollHeight;
    if (element.scrollTop > NEAR_START || loadingOlder.current || !thread || thread.complete) return;
    loadingOlder.current = true;
    chat
      .older(peer.id)
      .catch(() => undefined)
      .finally(() => {
        loadingOlder.current = false;
      });
  };

  if (!thread || thread.loading) {
    return (
      <div className="messages waiting">
        <Loader aria-label="Loading messages" />
      </div>
    );
  }
  return (
    <div
      className="messages"
      ref={box}
      onScroll={onScroll}
      role="log"
      aria-label="Messages"
      aria-live="polite"
      // biome-ignore lint/a11y/noNoninteractiveTabindex: a list that scrolls must be reachable by keyboard
      tabIndex={0}
    >
      {messages.length === 0 && <p className="empty">Say hello to {peer.username}.</p>}
      {!thread.complete && messages.length > 0 && <Loader size="sm" m="sm auto" />}
      {messages.map((message, i) => (
        <Fragment key={message.key}>
          <DayHeading message={message} before={messages[i - 1]} />
          <MessageBubble
            message={message}
            startsGroup={messages[i - 1]?.mine !== message.mine}
            endsGroup={messages[i + 1]?.mine !== message.mine}
            onRetry={() => chat.retry(peer.id, message)}
          />
        </Fragment>
      ))}
    </div>
  );
}

function DayHeading({ message, before }: { message: ChatMessage; before: ChatMessage | undefined }) {
  if (before && dayKey(before.createdAt) === dayKey(message.createdAt)) return null;
  return <h2 className="day">{dayName(message.createdAt)}</h2>;
}
