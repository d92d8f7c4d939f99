import type { User } from '@duet/client';
import { useChat, useChatState } from '@duet/client/react';
import { createContext, type ReactNode, useCallback, useContext, useEffect, useMemo, useState } from 'react';

/** Whom this user has blocked. What changes it rejects when the server does not take it. */
export interface Blocks {
  /** Those who were blocked last come first. */
  blocked: readonly User[];
  block(id: string): Promise<void>;
  unblock(id: string): Promise<void>;
}

const BlocksContext = createContext<Blocks | undefined>(undefined);

/** Asks at each connection: another device may have changed it. */
export function BlocksProvider({ children }: { children: ReactNode }) {
  const chat = useChat();
  const isOnline = useChatState(({ connection }) => connection === 'online');
  const [blocked, setBlocked] = useState<readonly User[]>([]);
  const load = useCallback(async () => {
    const { blocks } = await chat.api.blocks();
    setBlocked(blocks.map(({ user }) => user));
  }, [chat]);

  useEffect(() => {
    // The next connection asks again.
    if (isOnline) load().catch(() => {});
  }, [isOnline, load]);

  const value = useMemo((): Blocks => {
    const then = async (change: Promise<unknown>) => {
      await change;
      await load();
      // Counts of what is unread are others now.
      chat.foreground();
    };
    return {
      blocked,
      block: (id) => then(chat.api.block(id)),
      unblock: (id) => then(chat.api.unblock(id)),
    };
  }, [chat, blocked, load]);
  return <BlocksContext.Provider value={value}>{children}</BlocksContext.Provider>;
}

/** @throws Error outside of a BlocksProvider */
export function useBlocks(): Blocks {
  const blocks = useContext(BlocksContext);
  if (!blocks) throw new Error('useBlocks needs a BlocksProvider above it');
  return blocks;
}

export const useIsBlocked = (id: string): boolean => useBlocks().blocked.some(({ _id }) => _id === id);
