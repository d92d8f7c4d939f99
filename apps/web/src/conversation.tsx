import type { Person } from '@duet/client';
import { useChat, useChatState, usePerson, useTyping } from '@duet/client/react';
import { ActionIcon, Alert, Button, Menu, Text } from '@mantine/core';
import { IconArrowLeft, IconBan, IconDotsVertical } from '@tabler/icons-react';
import { useCallback, useEffect, useRef, useState } from 'react';
import { useBlocks } from './blocks.tsx';
import { Composer } from './composer.tsx';
import { Messages } from './messages.tsx';
import { PersonAvatar, usePresenceCount } from './person.tsx';
import { lastSeenText } from './times.ts';

interface ConversationProps {
  userId: string;
  peer: Person;
  onBack: () => void;
}

/** Where Escape closes a menu, and nothing else. */
const isInMenu = (target: EventTarget): boolean =>
  (target as Element).closest('[role=menu], [aria-haspopup=menu][aria-expanded=true]') !== null;

export function Conversation({ userId, peer: opened, onBack }: ConversationProps) {
  const known = usePerson(opened.id);
  // He may have lost his name since it was opened; of whoever has only come online nobody has said it yet.
  const peer = known ? { ...known, username: known.username || opened.username } : opened;
  const blocks = useBlocks();
  const isBlocked = blocks.isBlocked(peer.id);
  const [problem, setProblem] = useState('');
  const [isNotKept, setNotKept] = useState(false);
  const [written, setWritten] = useState<string>();
  const chat = useChat();
  useEffect(() => chat.on('notKept', () => setNotKept(true)), [chat]);
  const input = useRef<HTMLTextAreaElement>(null);
  const unblock = useRef<HTMLButtonElement>(null);
  const goOn = useCallback(() => (input.current ?? unblock.current)?.focus(), []);
  useEffect(() => {
    // Blocked on another device, while something was being written here.
    if (isBlocked && document.activeElement === document.body) goOn();
  }, [isBlocked, goOn]);
  // Who unblocks in the settings keeps the focus there, and so does who searches already when the page comes up again.
  const [takesFocus, setTakesFocus] = useState(() => !(document.activeElement instanceof HTMLInputElement));
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
      {isNotKept && (
        <Alert color="yellow" variant="light" role="alert">
          This browser keeps no messages: what has not been sent when this page is closed is lost.
        </Alert>
      )}
      <Messages peer={peer} written={written} onAnswered={goOn} />
      {isBlocked ? (
        <div className="composer" role="status">
          <Text size="sm" c="dimmed" className="breaks">
            You have blocked {peer.username}: nothing that is written to you comes, and {peer.username} is not told.
          </Text>
          <Button ref={unblock} variant="light" onClick={turn}>
            Unblock
          </Button>
        </div>
      ) : (
        <Composer userId={userId} peerId={peer.id} input={input} autoFocus={takesFocus} onSent={setWritten} />
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
  const { username, isOnline, lastSeen } = peer;
  const chat = useChat();
  const isConnected = useChatState(({ connection }) => connection === 'online');
  const presenceCount = usePresenceCount();
  const isUnknown = !isOnline && lastSeen === undefined;
  useEffect(() => {
    // No list says it of somebody to whom nothing has been written yet. His whole name comes first.
    if (isConnected && isUnknown && username) chat.findPeople({ q: username, limit: 1 }).catch(() => {});
  }, [chat, username, isConnected, isUnknown, presenceCount]);
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
      <PersonAvatar id={peer.id} name={peer.username} isOnline={isOnline && !isBlocked} size={38} />
      <div className="row-text">
        <Text component="h1" fw={600} size="md" truncate>
          {peer.username}
        </Text>
        <Text
          size="xs"
          c={!isBlocked && (typing || isOnline) ? 'var(--live)' : 'dimmed'}
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
          <Menu.Item
            leftSection={<IconBan size={16} />}
            {...(isBlocked ? {} : { c: 'var(--mantine-color-error)' })}
            onClick={onTurn}
          >
            {isBlocked ? 'Unblock' : 'Block'}
          </Menu.Item>
        </Menu.Dropdown>
      </Menu>
    </header>
  );
}
