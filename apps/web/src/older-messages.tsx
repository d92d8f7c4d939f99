import { useChat, useChatState } from '@duet/client/react';
import { Button, Loader } from '@mantine/core';
import { useCallback, useEffect, useState } from 'react';

interface OlderDeps {
  peerId: string;
  /** The first message that is there. */
  first: string;
  /** The first message when the start of the list was last in view; what is there since then may have moved it out. */
  inView: string | undefined;
  hasOlder: boolean;
  loadOlder: () => Promise<void>;
}

/** Loads older messages while the start of the list is in view. What failed waits for a press, or the next connection. */
export function useOlder({ peerId, first, inView, hasOlder, loadOlder }: OlderDeps) {
  const chat = useChat();
  const [hasNewest, setHasNewest] = useState(false);
  useEffect(() => {
    // Until the newest page is there, a list of what is known may be short.
    chat.open(peerId).then(
      () => setHasNewest(true),
      () => undefined,
    );
  }, [chat, peerId]);
  const isOnline = useChatState(({ connection }) => connection === 'online');
  const [loadingBefore, setLoadingBefore] = useState<string>();
  const load = useCallback(() => {
    setLoadingBefore(first);
    loadOlder()
      .catch(() => undefined) // The button is there again.
      .finally(() => setLoadingBefore((known) => (known === first ? undefined : known)));
  }, [first, loadOlder]);
  useEffect(() => {
    if (hasNewest && inView === first && hasOlder && isOnline) load();
  }, [hasNewest, inView, first, hasOlder, isOnline, load]);
  return { isLoading: loadingBefore === first, load };
}

/** Above the first message. */
export function OlderMessages({ isLoading, onLoad }: { isLoading: boolean; onLoad: () => void }) {
  return (
    <div className="older">
      {isLoading ? (
        <Loader size="sm" aria-label="Loading older messages" />
      ) : (
        <Button variant="subtle" size="xs" onClick={onLoad}>
          Load older messages
        </Button>
      )}
    </div>
  );
}
