import type { Privacy, SignedInDevice } from '@duet/client';
import { useChat } from '@duet/client/react';
import { Alert, Button, Group, Modal, Stack, Switch, Text, Title } from '@mantine/core';
import { type ReactNode, useCallback, useEffect, useId, useState } from 'react';
import { useBlocks } from './blocks.tsx';
import { dayName } from './times.ts';

const shown: { name: keyof Privacy; label: string; description: string }[] = [
  { name: 'lastSeen', label: 'Presence', description: 'That you are online, and when you were' },
  { name: 'typing', label: 'Typing', description: 'That you are writing to somebody' },
  { name: 'readReceipts', label: 'Read receipts', description: 'That you have read what somebody wrote' },
];

interface SettingsProps {
  opened: boolean;
  onClose: () => void;
}

/** What others see of the user, where he is signed in, and whom he has blocked. */
export function Settings({ opened, onClose }: SettingsProps) {
  return (
    // The page behind it does not scroll.
    <Modal opened={opened} onClose={onClose} title="Settings" size="lg" lockScroll={false}>
      <SettingsSections />
    </Modal>
  );
}

/** Runs changes one at a time, and says what went wrong. */
function useChanges() {
  const [problem, setProblem] = useState('');
  const [busy, setBusy] = useState(false);
  const run = useCallback(async (change: () => Promise<unknown>) => {
    setBusy(true);
    setProblem('');
    await change().catch((error: Error) => setProblem(error.message));
    setBusy(false);
  }, []);
  return { problem, busy, run };
}
type Run = ReturnType<typeof useChanges>['run'];

function SettingsSections() {
  const { problem, busy, run } = useChanges();
  return (
    <Stack gap="xl">
      {problem && (
        <Alert color="red" variant="light" role="alert">
          {problem}
        </Alert>
      )}
      <PrivacySettings run={run} busy={busy} />
      <Devices run={run} busy={busy} />
      <Blocked run={run} busy={busy} />
    </Stack>
  );
}

interface SectionProps {
  run: Run;
  busy: boolean;
}

function Section({ title, children }: { title: string; children: ReactNode }) {
  const id = useId();
  return (
    <Stack component="section" gap="sm" aria-labelledby={id}>
      <Title order={2} size="h5" id={id}>
        {title}
      </Title>
      {children}
    </Stack>
  );
}

function PrivacySettings({ run, busy }: SectionProps) {
  const { api } = useChat();
  const [privacy, setPrivacy] = useState<Privacy>();
  useEffect(() => {
    void run(async () => setPrivacy((await api.privacy()).privacy));
  }, [api, run]);
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
          disabled={!privacy || busy}
          checked={privacy?.[name] ?? false}
          onChange={({ currentTarget: { checked } }) =>
            void run(async () => setPrivacy((await api.changePrivacy({ [name]: checked })).privacy))
          }
        />
      ))}
    </Section>
  );
}

function Devices({ run, busy }: SectionProps) {
  const { api } = useChat();
  const [devices, setDevices] = useState<SignedInDevice[]>([]);
  const load = useCallback(async () => setDevices((await api.sessions()).sessions), [api]);
  useEffect(() => void run(load), [run, load]);
  const signOut = (id: string) => run(() => api.endSession(id).then(load));
  return (
    <Section title="Devices">
      {devices.map(({ _id, device, lastUsedAt, current }) => (
        <Group key={_id} justify="space-between" wrap="nowrap">
          <div>
            <Text size="sm" lineClamp={2}>
              {device || 'Unknown device'}
            </Text>
            <Text size="xs" c="dimmed">
              {current ? 'This device' : `Last used: ${dayName(lastUsedAt)}`}
            </Text>
          </div>
          {!current && (
            <Button size="xs" variant="light" color="red" disabled={busy} onClick={() => void signOut(_id)}>
              Sign out
            </Button>
          )}
        </Group>
      ))}
    </Section>
  );
}

function Blocked({ run, busy }: SectionProps) {
  const { blocked, unblock } = useBlocks();
  return (
    <Section title="Blocked people">
      {blocked.length === 0 && (
        <Text size="sm" c="dimmed">
          Nobody. Block somebody in the menu of a chat.
        </Text>
      )}
      {blocked.map(({ _id, username }) => (
        <Group key={_id} justify="space-between" wrap="nowrap">
          <Text size="sm">{username}</Text>
          <Button
            size="xs"
            variant="light"
            disabled={busy}
            aria-label={`Unblock ${username}`}
            onClick={() => void run(() => unblock(_id))}
          >
            Unblock
          </Button>
        </Group>
      ))}
    </Section>
  );
}
