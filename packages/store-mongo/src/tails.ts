import type { Entry, Tail } from '@duet/core';
import { TOGETHER_BOUNDED } from './bounds.ts';
import type { Database } from './database.ts';
import type { ReadLine } from './read-line.ts';
import type { MessageDocument } from './schemas.ts';
import { createTogether } from './together.ts';

/** Conversations whose last entry is remembered. */
const MAX_TAILS = 50_000;

/** From so many on, tails are asked for by one question: it costs about as much as this many of the small ones. */
const TOGETHER = 12;
/** Entries that other writers have put behind a place, in the mean, before it is cheaper to ask for each tail. */
const FEW = 16;

/** A place in a conversation that another entry holds. */
export type Taken = Pick<Entry, 'conversation' | 'seq'>;

export type TailDocument = Omit<MessageDocument, '_id' | 'content' | 'messageType' | 'tempId'>;
const TAIL = { _id: 0, content: 0, messageType: 0, tempId: 0 } as const;

/** The last entry of a conversation that is durable, of those that `where` leaves. */
export const readTail = (database: Database, conversation: string, where: object = {}) =>
  database.first<TailDocument>('messages', {
    filter: { conversation, ...where },
    sort: { seq: -1 },
    projection: TAIL,
  });

/** What leaves out of a filter that is hidden from a user. The server looks at all of it: see `lastShown`. */
export const visibleTo = (viewer: string | undefined) =>
  viewer === undefined ? {} : { $nor: [{ hidden: true as const, receiver: viewer }] };

/**
 * Asks for what stands at places and behind them, by one question for all.
 * @returns by conversation; undefined where too much stands there, or this is not worth while
 */
export function createBehind(database: Database) {
  const together = createTogether();

  return async (places: Taken[], line?: ReadLine): Promise<Map<string, TailDocument[]> | undefined> => {
    if (places.length < TOGETHER) return undefined;
    const limit = places.length * FEW;
    const entries = await together(
      () =>
        database
          .collection<MessageDocument>('messages')
          .find(
            { $or: places.map(({ conversation, seq }) => ({ conversation, seq: { $gte: seq } })) },
            TOGETHER_BOUNDED,
          )
          .project<TailDocument>(TAIL)
          .limit(limit)
          .batchSize(limit)
          .toArray(),
      // Each is asked for when its turn comes.
      async () => undefined,
      line,
    );
    if (!entries || entries.length === limit) return undefined;
    return Map.groupBy(entries, ({ conversation }) => conversation);
  };
}

/** The last of some entries. */
export const lastOf = <E extends Pick<Entry, 'seq'>>(entries: E[]): E | undefined =>
  entries.reduce<E | undefined>((last, entry) => (last && last.seq > entry.seq ? last : entry), undefined);

/**
 * The last entry of each conversation, remembered. It may be behind what other nodes have written, never ahead of the
 * log: an insert behind an old tail is refused by the unique index, and the tail is read again.
 */
export function createTails(database: Database) {
  const tails = new Map<string, Tail>();
  const entriesBehind = createBehind(database);

  return {
    /**
     * The tails of conversations in which other writers were a little faster, by one question for all.
     * @returns those that were found; none where too much was written meanwhile, or this is not worth while
     */
    async readBehind(places: Taken[]): Promise<Map<string, Tail>> {
      const found = new Map<string, Tail>();
      for (const [conversation, entries] of (await entriesBehind(places)) ?? []) {
        const last = lastOf(entries);
        // Of what is hidden more has to be known than is worth asking for each time.
        if (last && !last.hidden) found.set(conversation, last);
      }
      return found;
    },
    /** undefined: the conversation has no entry. */
    get: (conversation: string): Tail | Promise<Tail | undefined> =>
      // Never what has not reached a majority: a failover may take it back, and an entry behind it would stand behind a
      // hole for ever. It holds its place all the same, so an insert there is refused and tried again.
      tails.get(conversation) ?? readTail(database, conversation),
    /** An entry that is durable. */
    set({ conversation, seq, sent, hidden, receiver, shown }: Entry): void {
      tails.delete(conversation);
      if (tails.size >= MAX_TAILS) tails.delete(tails.keys().next().value as string);
      const tail: Tail = { seq, sent };
      if (hidden) Object.assign(tail, { hidden, receiver }, shown === undefined ? {} : { shown });
      tails.set(conversation, tail);
    },
    forget(conversation: string): void {
      tails.delete(conversation);
    },
  };
}
