import type { Chat, ChatState } from '@duet/client';
import { useSyncExternalStore } from 'react';

/** The part of the chat's state that `select` takes; renders again only when that part changes. */
export function useChat<T>(chat: Chat, select: (state: ChatState) => T): T {
  return useSyncExternalStore(chat.subscribe, () => select(chat.getState()));
}
