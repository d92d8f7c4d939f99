import type { Entry } from '@duet/core';
import type { Database } from './database.ts';
import type { MessageDocument } from './schemas.ts';

/** Conversations whose last entry is remembered. */
const MAX_TAILS = 50_000;

export type Tail = Pick<Entry, 'seq' | 'sent'>;

/** The last entry of a conversation that is durable. */
export const readTail = (database: Database, conversation: string) =>
  database.first<Tail & Pick<MessageDocument, 'sender' | 'receiver'>>('messages', {
    filter: { conversation },
    sort: { seq: -1 },
    projection: { _id: 0, seq: 1, sent: 1, sender: 1, receiver: 1 },
  });

/**
 * The last entry of each conversation, remembered. It may be behind what other nodes have written, never ahead of the
 * log: an insert behind an old tail is refused by the unique index, and the tail is read again.
 */
export function createTails(database: Database) {
  const tails = new Map<string, Tail>();

  return {
    /** undefined: the conversation has no entry. */
    get: (conversation: string): Tail | Promise<Tail | undefined> =>
      // Never what has not reached a majority: a failover may take it back, and an entry behind it would stand behind a
      // hole for ever. It holds its place all the same, so an insert there is refused and tried again.
      tails.get(conversation) ?? readTail(database, conversation),
    /** An entry that is durable. */
    set({ conversation, seq, sent }: Entry): void {
      tails.delete(conversation);
      if (tails.size >= MAX_TAILS) tails.delete(tails.keys().next().value as string);
      tails.set(conversation, { seq, sent });
    },
    forget(conversation: string): void {
      tails.delete(conversation);
    },
  };
}
