import type { ChatMessage, Person } from '@duet/client';
import { usePerson, useThread, useTyping } from '@duet/client/react';
import { ActionIcon, Alert, Button, Loader, Menu, Text } from '@mantine/core';
import { IconArrowLeft, IconBan, IconDotsVertical } from '@tabler/icons-react';
import { Fragment, useEffect, useLayoutEffect, useRef, useState } from 'react';
import { useBlocks } from './blocks.tsx';
import { Composer } from './composer.tsx';
import { MessageBubble } from './message-bubble.tsx';
import { PersonAvatar } from './person.tsx';
import { dayKey, dayName, lastSeenText } from './times.ts';

interface ConversationProps {
  userId: string;
  peer: Person;
  onBack: () => void;
}

/** Where Escape closes a menu, and nothing else. */
const isInMenu = (target: EventTarget): boolean =>
  (target as Element).closest('[role=menu], [aria-haspopup=menu][aria-expanded=true]') !== null;

export function Conversation({ userId, peer, onBack }: ConversationProps) {
  const blocks = useBlocks();
  const isBlocked = blocks.isBlocked(peer.id);
  const [problem, setProblem] = useState('');
  // Who unblocks in the settings keeps the focus there.
  const [takesFocus, setTakesFocus] = useState(true);
  const turn = () => {
    setProblem('');
    setTakesFocus(isBlocked);
    const change = isBlocked ? blocks.unblock(peer.id) : blocks.block(peer);
    change.catch((error: Error) => setProblem(error.message));
  };
  return (
    <main
      className="conversation"
      aria-label={`Conversation with ${peer.username}`}
      onKeyDown={(event) => event.key === 'Escape' && !isInMenu(event.target) && onBack()}
    >
      <PeerBar peer={peer} onBack={onBack} isBlocked={isBlocked} onTurn={turn} />
      {problem && (
        <Alert color="red" variant="light" role="alert">
          {problem}
        </Alert>
      )}
      <Messages peer={peer} />
      {isBlocked ? (
        <div className="composer" role="status">
          <Text size="sm" c="dimmed" flex={1}>
            You have blocked {peer.username}: nothing that is written to you comes, and {peer.username} is not told.
          </Text>
          <Button variant="light" onClick={turn}>
            Unblock
          </Button>
        </div>
      ) : (
        <Composer userId={userId} peerId={peer.id} autoFocus={takesFocus} />
      )}
    </main>
  );
}

interface PeerBarProps extends Omit<ConversationProps, 'userId'> {
  isBlocked: boolean;
  /** Blocks the peer, or unblocks. */
  onTurn: () => void;
}

function PeerBar({ peer, onBack, isBlocked, onTurn }: PeerBarProps) {
  const typing = useTyping(peer.id);
  const { isOnline, lastSeen } = usePerson(peer.id) ?? peer;
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
        <Text
          size="xs"
          c={!isBlocked && (typing || isOnline) ? 'teal' : 'dimmed'}
          role="status"
          className="peer-status"
        >
          {isBlocked ? 'blocked' : status}
        </Text>
      </div>
      <Menu position="bottom-end" withinPortal={false}>
        <Menu.Target>
          <ActionIcon variant="subtle" color="gray" size="lg" aria-label={`More about ${peer.username}`}>
            <IconDotsVertical size={20} />
          </ActionIcon>
        </Menu.Target>
        <Menu.Dropdown>
          <Menu.Item leftSection={<IconBan size={16} />} {...(isBlocked ? {} : { color: 'red' })} onClick={onTurn}>
            {isBlocked ? 'Unblock' : 'Block'}
          </Menu.Item>
        </Menu.Dropdown>
      </Menu>
    </header>
  );
}

/** Nearer to the end than this, new messages pull the list along. */
const NEAR_END = 120;
const NEAR_START = 200;

function Messages({ peer }: { peer: Person }) {
  const { messages, loading, hasOlder, loadOlder, markRead, retry, discard } = useThread(peer.id);
  const box = useRef<HTMLDivElement>(null);
  const view = useRef({ atEnd: true, height: 0, first: '' });
  const loadingOlder = useRef(false);
  const first = messages[0]?.key ?? '';
  const last = messages.at(-1)?.key ?? '';
  // Own messages that are on their way stand last, whatever comes before them.
  const lastOfPeer = messages.findLast(({ mine }) => !mine)?.key;

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
  }, [loading]);

  useEffect(() => {
    const read = () => document.visibilityState === 'visible' && markRead();
    read();
    document.addEventListener('visibilitychange', read);
    return () => document.removeEventListener('visibilitychange', read);
  }, [markRead, lastOfPeer]);

  const onScroll = () => {
    const element = box.current;
    if (!element) return;
    view.current.atEnd = element.scrollHeight - element.scrollTop - element.clientHeight < NEAR_END;
    view.current.height = element.scrollHeight;
    if (element.scrollTop > NEAR_START || loadingOlder.current || !hasOlder) return;
    loadingOlder.current = true;
    loadOlder()
      .catch(() => undefined)
      .finally(() => {
        loadingOlder.current = false;
      });
  };

  if (loading) {
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
      {hasOlder && <Loader size="sm" m="sm auto" />}
      {messages.map((message, i) => (
        <Fragment key={message.key}>
          <DayHeading message={message} before={messages[i - 1]} />
          <MessageBubble
            message={message}
            startsGroup={messages[i - 1]?.mine !== message.mine}
            endsGroup={messages[i + 1]?.mine !== message.mine}
            onRetry={retry}
            onDiscard={discard}
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
