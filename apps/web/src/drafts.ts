import { keptIn } from './kept.ts';

const kept = keptIn('sessionStorage');
const PREFIX = 'duet.draft.';
const keyOf = (userId: string, peerId: string) => `${PREFIX}${userId}.${peerId}`;

/** What a user has begun to write to somebody, as long as this tab is open. */
export const draftOf = (userId: string, peerId: string): string => kept.getItem(keyOf(userId, peerId)) ?? '';

export function keepDraft(userId: string, peerId: string, text: string): void {
  const key = keyOf(userId, peerId);
  kept.removeItem(key);
  if (text !== '') kept.setItem(key, text);
}

/** Whoever signs out leaves nothing for the next one. */
export function forgetDrafts(): void {
  for (const key of kept.keys()) if (key.startsWith(PREFIX)) kept.removeItem(key);
}
