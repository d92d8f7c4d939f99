import type { Conversation, Person } from '@duet/client';
import { useChat, useChatState } from '@duet/client/react';
import { createContext, type ReactNode, useCallback, useContext, useEffect, useMemo, useRef, useState } from 'react';

/** Tells the other tabs of this browser that it has changed. */
const CHANNEL = 'duet.blocks';

/** Undefined where the browser is told that tabs share nothing, as Firefox is by whoever blocks all cookies. */
function openChannel(): BroadcastChannel | undefined {
  try {
    return new BroadcastChannel(CHANNEL);
  } catch {
    return undefined;
  }
}

type Blocked = Pick<Person, 'id' | 'username'>;

/** Whom this user has blocked. All reject when the server does not answer, and then nothing has changed here. */
export interface Blocks {
  /** The last one first; undefined until they are known. */
  blocked: readonly Blocked[] | undefined;
  isBlocked(id: string): boolean;
  /** Of somebody whom one has blocked nothing is waiting. */
  unreadOf(conversation: Pick<Conversation, 'peer' | 'unreadCount'>): number;
  /** Another device may have changed it. */
  refresh(): Promise<void>;
  block(person: Blocked): Promise<void>;
  unblock(id: string): Promise<void>;
}

const BlocksContext = createContext<Blocks | undefined>(undefined);

export function BlocksProvider({ children }: { children: ReactNode }) {
  const chat = useChat();
  const { api } = chat;
  const isOnline = useChatState(({ connection }) => connection === 'online');
  const [blocked, setBlocked] = useState<readonly Blocked[]>();
  /** What was asked before a change, or before another question, is old when it comes. */
  const latest = useRef(0);

  const refresh = useCallback(async () => {
    const mine = ++latest.current;
    const { blocks } = await api.blocks();
    if (latest.current === mine) setBlocked(blocks.map(({ user }) => ({ id: user._id, username: user.username })));
  }, [api]);

  useEffect(() => {
    // The next connection asks again, and so do the settings.
    if (isOnline) refresh().catch(() => {});
  }, [isOnline, refresh]);

  const channel = useRef<BroadcastChannel>(undefined);
  useEffect(() => {
    // No event tells of it. Another device may have changed it when one comes back to this one, or is refused here.
    const look = () => {
      if (document.visibilityState === 'visible') refresh().catch(() => {});
    };
    const others = openChannel();
    others?.addEventListener('message', () => refresh().catch(() => {}));
    channel.current = others;
    document.addEventListener('visibilitychange', look);
    window.addEventListener('focus', look);
    const end = chat.on('failed', look);
    return () => {
      others?.close();
      document.removeEventListener('visibilitychange', look);
      window.removeEventListener('focus', look);
      end();
    };
  }, [chat, refresh]);

  const value = useMemo((): Blocks => {
    const without =
      (id: string) =>
      (known: readonly Blocked[] = []) =>
        known.filter((person) => person.id !== id);
    const changed = (change: Parameters<typeof setBlocked>[0]) => {
      latest.current += 1;
      setBlocked(change);
      channel.current?.postMessage(undefined);
    };
    const isBlocked = (id: string) => blocked?.some((person) => person.id === id) ?? false;
    return {
      blocked,
      isBlocked,
      unreadOf: ({ peer, unreadCount }) => (isBlocked(peer.id) ? 0 : unreadCount),
      refresh,
      async block(person) {
        await api.block(person.id);
        changed((known) => [person, ...without(person.id)(known)]);
      },
      async unblock(id) {
        await api.unblock(id);
        changed(without(id));
      },
    };
  }, [api, blocked, refresh]);
  return <BlocksContext.Provider value={value}>{children}</BlocksContext.Provider>;
}

/** @throws Error outside of a BlocksProvider */
export function useBlocks(): Blocks {
  const blocks = useContext(BlocksContext);
  if (!blocks) throw new Error('useBlocks needs a BlocksProvider above it');
  return blocks;
}
