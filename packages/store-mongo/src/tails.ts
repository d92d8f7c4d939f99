import { type Entry, messageId, type Tail } from '@duet/core';
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

/** A place in a conversation. */
export type Place = Pick<Entry, 'conversation' | 'seq'>;

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

/** What stands at these places, by one question: an id names its place, and the conversations say which shards have them. */
export function readPlaces<T extends object>(
  database: Database,
  places: Place[],
  projection: object = {},
): Promise<T[]> {
  const _id = { $in: places.map(({ conversation, seq }) => messageId(conversation, seq)) };
  const conversation = { $in: [...new Set(places.map((place) => place.conversation))] };
  return (
    database
      .collection<MessageDocument>('messages')
      .find({ _id, conversation }, { ...TOGETHER_BOUNDED, hint: { _id: 1 } })
      .project<T>(projection)
      // One more than there can be, or the server would have to be asked whether that is all.
      .batchSize(places.length + 1)
      .toArray()
  );
}

/**
 * Finds the last entries of conversations by where they were a while ago, by one question for all: `seq` is dense, so an
 * entry behind which nothing stands is the last.
 * @returns those that were found; none where this is not worth while
 */
export function createEnds(database: Database) {
  const together = createTogether();

  return async (places: Place[], line: ReadLine): Promise<Map<string, TailDocument>> => {
    if (places.length < TOGETHER) return new Map();
    const both = places.flatMap(({ conversation, seq }) => [0, 1].map((more) => ({ conversation, seq: seq + more })));
    const found = await together<TailDocument[]>(
      () => readPlaces(database, both, TAIL),
      // Each is asked for when its turn comes.
      async () => [],
      line,
    );
    const entries = Map.groupBy(found, ({ conversation }) => conversation);
    return new Map(
      places.flatMap(({ conversation, seq }): [string, TailDocument][] => {
        const [end, behind] = entries.get(conversation) ?? [];
        return end?.seq === seq && !behind ? [[conversation, end]] : [];
      }),
    );
  };
}

/**
 * The last entry of each conversation, remembered. It may be behind what other nodes have written, never ahead of the
 * log: an insert behind an old tail is refused by the unique index, and the tail is read again.
 */
export function createTails(database: Database) {
  const tails = new Map<string, Tail>();
  const together = createTogether();

  /** What stands at these places and behind them; undefined where that cannot be had in a moment. */
  const entriesBehind = (places: Place[], limit: number): Promise<(Tail & Place)[] | undefined> =>
    together(
      () =>
        database
          .collection<MessageDocument>('messages')
          .find(
            { $or: places.map(({ conversation, seq }) => ({ conversation, seq: { $gte: seq } })) },
            TOGETHER_BOUNDED,
          )
          .project<Tail & Place>({ _id: 0, conversation: 1, seq: 1, sent: 1, hidden: 1 })
          .limit(limit)
          .batchSize(limit)
          .toArray(),
      // Each is asked for when its turn comes.
      async () => undefined,
    );

  return {
    /**
     * The tails of conversations in which other writers were a little faster, by one question for all.
     * @returns those that were found; none where too much was written meanwhile, or this is not worth while
     */
    async readBehind(places: Place[]): Promise<Map<string, Tail>> {
      const found = new Map<string, Tail>();
      if (places.length < TOGETHER) return found;
      const limit = places.length * FEW;
      const entries = await entriesBehind(places, limit);
      if (!entries || entries.length === limit) return found;
      for (const entry of entries) {
        if (entry.seq > (found.get(entry.conversation)?.seq ?? 0)) found.set(entry.conversation, entry);
      }
      // Of what is hidden more has to be known than is worth asking for each time.
      for (const [conversation, { hidden }] of found) if (hidden) found.delete(conversation);
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
