import { useChat, useChatState } from '@duet/client/react';
import { Button, Loader } from '@mantine/core';
import { useCallback, useEffect, useState } from 'react';

/** Says whether the newest page of a conversation could be loaded. What failed waits for a press, or the next connection. */
export function useNewest(peerId: string) {
  const chat = useChat();
  const [isLoading, setLoading] = useState(true);
  const load = useCallback(() => {
    setLoading(true);
    const end = () => setLoading(false);
    chat.open(peerId).then(end, end);
  }, [chat, peerId]);
  useEffect(load, [load]);
  return { isLoading, hasFailed: !isLoading, load };
}

interface OlderDeps {
  /** The first message that is there. */
  first: string;
  /** The first message when the start of the list was last in view; what is there since then may have moved it out. */
  inView: string | undefined;
  /** Until the newest page is there, a list of what is known may be short. */
  hasNewest: boolean;
  hasOlder: boolean;
  loadOlder: () => Promise<void>;
}

/** Loads older messages while the start of the list is in view. What failed waits for a press, or the next connection. */
export function useOlder({ first, inView, hasNewest, hasOlder, loadOlder }: OlderDeps) {
  const isOnline = useChatState(({ connection }) => connection === 'online');
  const [loadingBefore, setLoadingBefore] = useState<string>();
  const [failedBefore, setFailedBefore] = useState<string>();
  const load = useCallback(() => {
    setLoadingBefore(first);
    setFailedBefore(undefined);
    loadOlder()
      .catch(() => setFailedBefore(first))
      .finally(() => setLoadingBefore((known) => (known === first ? undefined : known)));
  }, [first, loadOlder]);
  useEffect(() => {
    if (hasNewest && inView === first && hasOlder && isOnline) load();
  }, [hasNewest, inView, first, hasOlder, isOnline, load]);
  return { isLoading: loadingBefore === first, hasFailed: failedBefore === first, load };
}

interface MissingMessagesProps {
  what: string;
  isLoading: boolean;
  hasFailed: boolean;
  load: () => void;
}

/** Stands where messages are missing. */
export function MissingMessages({ what, isLoading, hasFailed, load }: MissingMessagesProps) {
  if (isLoading) {
    return (
      <div className="missing">
        <Loader size="sm" aria-label={`Loading ${what}`} />
      </div>
    );
  }
  return (
    <div className="missing">
      {hasFailed && <span role="alert">The {what} could not be loaded.</span>}
      <Button variant="subtle" size="xs" onClick={load}>
        {hasFailed ? 'Try again' : `Load ${what}`}
      </Button>
    </div>
  );
}
