import type { Privacy, SignedInDevice } from '@duet/client';
import { useChat, useChatState } from '@duet/client/react';
import { Alert, Button, Group, Modal, Stack, Switch, Text } from '@mantine/core';
import { useCallback, useEffect, useLayoutEffect, useRef, useState } from 'react';
import { Account } from './account.tsx';
import { useBlocks } from './blocks.tsx';
import { Section } from './section.tsx';
import { dayName, timeOfDay } from './times.ts';

const shown: { name: keyof Privacy; label: string; description: string }[] = [
  { name: 'lastSeen', label: 'Presence', description: 'That you are online, and when you were' },
  { name: 'typing', label: 'Typing', description: 'That you are writing to somebody' },
  { name: 'readReceipts', label: 'Read receipts', description: 'That you have read what somebody wrote' },
];

interface SettingsProps {
  opened: boolean;
  onClose: () => void;
  /** The user has deleted his account. */
  onDeleted: () => void;
}

/** What others see of the user, where he is signed in, whom he has blocked, his password, and the end of his account. */
export function Settings({ opened, onClose, onDeleted }: SettingsProps) {
  return (
    // The page behind it does not scroll.
    <Modal
      opened={opened}
      onClose={onClose}
      title="Settings"
      size="lg"
      lockScroll={false}
      closeButtonProps={{ 'aria-label': 'Close settings' }}
    >
      <SettingsSections onDeleted={onDeleted} />
    </Modal>
  );
}

type Work = () => Promise<unknown>;
const newLine = () => ({ end: Promise.resolve(), changes: new Set<Work>() });

/**
 * Does one thing after the other, and says what went wrong. Each connection, and each outage, has a line of its own, which
 * begins with the changes that the last one has not come to: they may wait there for what never comes.
 */
function useLine() {
  const [problem, setProblem] = useState('');
  const line = useRef(newLine());
  const isOnline = useChatState(({ connection }) => connection === 'online');
  const add = useCallback((work: Work, isChange: boolean) => {
    const mine = line.current;
    const isMine = () => line.current === mine;
    if (isChange) mine.changes.add(work);
    mine.end = mine.end.then(async () => {
      if (!isMine()) return;
      mine.changes.delete(work);
      await work().catch((error: Error) => (isChange || isMine()) && setProblem(error.message));
    });
  }, []);
  // Before anything is loaded in it.
  useLayoutEffect(() => {
    const { changes } = line.current;
    line.current = newLine();
    for (const work of changes) add(work, true);
    setProblem('');
  }, [isOnline, add]);
  /** The next line loads it again. */
  const load = useCallback((work: Work) => add(work, false), [add]);
  const change = useCallback(
    (work: Work) => {
      setProblem('');
      add(work, true);
    },
    [add],
  );
  return { problem, load, change };
}
/** Does it in that line, and again with each new connection: what is asked for during an outage does not come. */
function useLoaded(load: Line['load'], work: Work) {
  const isOnline = useChatState(({ connection }) => connection === 'online');
  useEffect(() => load(work), [load, work, isOnline]);
}
type Line = Pick<ReturnType<typeof useLine>, 'load' | 'change'>;

function SettingsSections({ onDeleted }: Pick<SettingsProps, 'onDeleted'>) {
  const { problem, load, change } = useLine();
  const { devices, refresh } = useDevices();
  return (
    <Stack gap="xl">
      {problem && (
        <Alert color="red" variant="light" role="alert">
          {problem}
        </Alert>
      )}
      <PrivacySettings load={load} change={change} />
      <Devices devices={devices} refresh={refresh} load={load} change={change} />
      <BlockedPeople load={load} change={change} />
      <Account onPasswordChanged={() => load(refresh)} onDeleted={onDeleted} />
    </Stack>
  );
}

function PrivacySettings({ load, change }: Line) {
  const { api } = useChat();
  const [privacy, setPrivacy] = useState<Privacy>();
  useLoaded(
    load,
    useCallback(async () => setPrivacy((await api.privacy()).privacy), [api]),
  );
  return (
    <Section title="What others see of you">
      <Text size="sm" c="dimmed">
        What you hide from others you do not see of them.
      </Text>
      {shown.map(({ name, label, description }) => (
        <Switch
          key={name}
          label={label}
          description={description}
          disabled={!privacy}
          checked={privacy?.[name] ?? false}
          onChange={({ currentTarget: { checked } }) =>
            change(async () => setPrivacy((await api.changePrivacy({ [name]: checked })).privacy))
          }
        />
      ))}
    </Section>
  );
}

/** Where the user is signed in. */
function useDevices() {
  const { api } = useChat();
  const [devices, setDevices] = useState<SignedInDevice[]>([]);
  const refresh = useCallback(async () => setDevices((await api.sessions()).sessions), [api]);
  return { devices, refresh };
}

function Devices({ devices, refresh, load, change }: Line & ReturnType<typeof useDevices>) {
  const { api } = useChat();
  const heading = useRef<HTMLHeadingElement>(null);
  useLoaded(load, refresh);
  const signOut = (id: string) =>
    change(async () => {
      // It may have ended meanwhile: then it is gone from the list all the same.
      await api.endSession(id).finally(refresh);
      heading.current?.focus();
    });
  return (
    <Section title="Devices" heading={heading}>
      {devices.map(({ _id, device, createdAt, lastUsedAt, current }) => (
        <Group key={_id} justify="space-between" wrap="nowrap">
          <div className="breaks">
            <Text size="sm" lineClamp={2}>
              {device || 'Unknown device'}
            </Text>
            {/* Of two phones of one kind this alone tells which is which. */}
            <Text id={`device-${_id}`} size="xs" c="dimmed">
              {current ? 'This device' : `Last used: ${dayName(lastUsedAt)}`} · Signed in: {dayName(createdAt)},{' '}
              {timeOfDay(createdAt)}
            </Text>
          </div>
          {!current && (
            <Button
              size="xs"
              variant="light"
              color="red"
              aria-label={`Sign out ${device || 'unknown device'}`}
              aria-describedby={`device-${_id}`}
              onClick={() => signOut(_id)}
            >
              Sign out
            </Button>
          )}
        </Group>
      ))}
    </Section>
  );
}

function BlockedPeople({ load, change }: Line) {
  const { blocked, refresh, unblock } = useBlocks();
  const heading = useRef<HTMLHeadingElement>(null);
  useLoaded(load, refresh);
  const onUnblock = (id: string) =>
    change(async () => {
      await unblock(id);
      heading.current?.focus();
    });
  return (
    <Section title="Blocked people" heading={heading}>
      {blocked?.length === 0 && (
        <Text size="sm" c="dimmed">
          Nobody. Block somebody in the menu of a chat.
        </Text>
      )}
      {blocked?.map(({ id, username }) => (
        <Group key={id} justify="space-between" wrap="nowrap">
          <Text size="sm" className="breaks">
            {username}
          </Text>
          <Button size="xs" variant="light" aria-label={`Unblock ${username}`} onClick={() => onUnblock(id)}>
            Unblock
          </Button>
        </Group>
      ))}
    </Section>
  );
}
