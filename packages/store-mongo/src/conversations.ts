import {
  type Advanced,
  type ConversationStore,
  type Entry,
  type InboxRow,
  lastShown,
  type Marks,
  type Receipt,
  type ReceiptStore,
  type RowKey,
  sentBy,
  UNMARKED,
  type Watermark,
  type WatermarkKind,
} from '@duet/core';
import { BOUNDED, TIMEOUT_MS } from './bounds.ts';
import { type Database, duplicates } from './database.ts';
import type { FirstQuery } from './finds.ts';
import { bumpInbox } from './inbox.ts';
import type { ReadLine } from './read-line.ts';
import { type InboxDocument, markId, rowId, type StepDocument } from './schemas.ts';
import { readTail, visibleTo } from './tails.ts';

/** Rows whose counters are asked for in one go. */
const STRETCH = 200;
/** Steps of a watermark that are younger stay: another node may be about to take the step behind them. */
const KEEP_STEPS_MS = 60_000;

/**
 * A watermark beside a tail that was read at the same time: what has been stored and read in between is in neither.
 * @param sent how many messages the peer has sent up to the tail
 */
const upTo = (mark: Watermark, { seq }: Pick<Entry, 'seq'>, sent: number): Watermark =>
  mark.seq <= seq ? mark : { ...mark, n: Math.min(mark.n, sent), from: Math.min(mark.from, sent), seq };

/** What receipts, one after the other, make of a watermark: one step, and by how much each of them has raised it. */
function raise(before: Watermark, receipts: Receipt[], peerSent: number): { moved: number[]; after: Watermark } {
  let after = before;
  const moved = receipts.map(({ n, seq, at }) => {
    const rise = Math.max(0, Math.min(n, peerSent) - after.n);
    if (rise > 0) after = { n: after.n + rise, from: before.n, seq, at };
    return rise;
  });
  return { moved, after };
}

/**
 * Rows are put together when they are read: the list holds their order, the log's last entry their counters, the
 * watermarks what was read and delivered. Each has one source, so nothing can drift, whoever dies in between.
 */
function createRows(database: Database, read: ReadLine) {
  const tailOf = (conversation: string, where?: object) => read(() => readTail(database, conversation, where));

  async function watermark({ user, conversation }: RowKey, kind: WatermarkKind): Promise<Watermark> {
    const query: FirstQuery = {
      filter: { mark: markId(user, conversation, kind), user },
      sort: { n: -1 },
      projection: { _id: 0, n: 1, from: 1, seq: 1, at: 1 },
    };
    return (await read(() => database.first<Watermark>('watermarks', query))) ?? UNMARKED;
  }

  async function marks(key: RowKey): Promise<Marks> {
    const [read, delivered] = await Promise.all([watermark(key, 'read'), watermark(key, 'delivered')]);
    return { read, delivered };
  }

  /** The last entry that a user sees of a conversation. */
  async function tailFor({ user, conversation }: RowKey) {
    const last = await tailOf(conversation);
    const seq = lastShown(user, last);
    if (!last || seq === last.seq) return last;
    return seq === 0 ? undefined : tailOf(conversation, seq === undefined ? visibleTo(user) : { seq });
  }

  async function complete(document: InboxDocument): Promise<InboxRow[]> {
    const { user, conversation, peer, lastAt } = document;
    const [tail, marked] = await Promise.all([tailFor(document), marks(document)]);
    if (!tail) return [];
    const peerSent = sentBy(peer, tail);
    const read = upTo(marked.read, tail, peerSent);
    const delivered = upTo(marked.delivered, tail, peerSent);
    return [{ user, conversation, peer, lastSeq: tail.seq, lastAt, peerSent, read, delivered }];
  }

  async function unread(document: InboxDocument): Promise<number> {
    const [tail, read] = await Promise.all([tailFor(document), watermark(document, 'read')]);
    return tail ? Math.max(0, sentBy(document.peer, tail) - read.n) : 0;
  }

  return {
    tailFor,
    marks,
    unread,
    complete: async (rows: InboxDocument[]): Promise<InboxRow[]> => (await Promise.all(rows.map(complete))).flat(),
    async get(user: string, conversation: string): Promise<InboxRow | undefined> {
      // The user stands in every filter: it is the shard key.
      const query = { filter: { _id: rowId(user, conversation), user } };
      const row = await read(() => database.first<InboxDocument>('inbox', query));
      return row ? (await complete(row))[0] : undefined;
    },
  };
}

type Place = Pick<InboxDocument, 'lastAt' | 'conversation'>;

/** Cursors are made when it is their turn: the driver keeps each until it is used up or closed. */
export function createConversations(database: Database): ConversationStore {
  const collection = () => database.collection<InboxDocument>('inbox');
  const rows = createRows(database, database.read);

  const newest = (user: string, limit: number, after: Place | undefined) => {
    const below = after && {
      lastAt: { $lte: after.lastAt },
      $or: [{ lastAt: { $lt: after.lastAt } }, { conversation: { $lt: after.conversation } }],
    };
    const find = () =>
      collection()
        .find({ user, ...below }, BOUNDED)
        .sort({ lastAt: -1, conversation: -1 })
        .limit(limit)
        .toArray();
    return database.read(find);
  };

  const walk = (user: string, limit: number, after: string) => {
    const find = () =>
      collection()
        .find({ user, conversation: { $gt: after } }, BOUNDED)
        .sort({ conversation: 1 })
        .limit(limit)
        .toArray();
    return database.read(find);
  };

  /** As many rows as are wanted, if there are so many: one without a log shows nothing, and a short page means the end. */
  async function fill(
    limit: number,
    read: (limit: number, last: InboxDocument | undefined) => Promise<InboxDocument[]>,
  ): Promise<InboxRow[]> {
    const found: InboxRow[] = [];
    let last: InboxDocument | undefined;
    for (let wanted = limit; wanted > 0; wanted = limit - found.length) {
      const documents = await read(wanted, last);
      found.push(...(await rows.complete(documents)));
      if (documents.length < wanted) break;
      last = documents.at(-1);
    }
    return found;
  }

  return {
    get: (keys) =>
      database.answer(async () => {
        const found = await Promise.all(keys.map(({ user, conversation }) => rows.get(user, conversation)));
        return found.filter((row) => row !== undefined);
      }),
    marks: (keys) => database.answer(() => Promise.all(keys.map(rows.marks))),
    list: ({ user, after, limit }) =>
      database.answer(() => fill(limit, (wanted, last) => newest(user, wanted, last ?? after))),
    walk: ({ user, after = '', limit }) =>
      database.answer(() => fill(limit, (wanted, last) => walk(user, wanted, last?.conversation ?? after))),
    peers: (user, limit) =>
      database.answer(async () => {
        // To MongoDB a limit of 0 is none.
        if (limit === 0) return [];
        const find = () =>
          collection()
            .find({ user }, { ...BOUNDED, projection: { _id: 0, peer: 1 } })
            .sort({ lastAt: -1, conversation: -1 })
            .limit(limit)
            .toArray();
        return (await database.read(find)).map(({ peer }) => peer);
      }),
    // Each stretch with the time of one answer: thousands of rows together would run out of it.
    async unread(user) {
      let sum = 0;
      for (let after: string | undefined = ''; after !== undefined; ) {
        const from: string = after;
        const documents = await database.answer(() => walk(user, STRETCH, from));
        const unread = await database.answer(() => Promise.all(documents.map(rows.unread)));
        sum = unread.reduce((sum, n) => sum + n, sum);
        after = documents.length < STRETCH ? undefined : documents.at(-1)?.conversation;
      }
      return sum;
    },
  };
}

/** What receipts of one mark come to when their step is taken; without one nothing moves. */
interface Prepared {
  advanced: (Advanced | undefined)[];
  step?: StepDocument;
}

export function createReceipts(database: Database): ReceiptStore {
  const collection = () => database.collection<StepDocument>('watermarks');
  const rows = createRows(database, database.readForReceipts);

  /** Steps that no longer count. What stays behind when this fails is removed by the next one. */
  function prune(steps: StepDocument[]): void {
    if (steps.length === 0) return;
    const old = steps.map(({ mark, user, from, at }) => ({
      deleteMany: { filter: { mark, user, n: { $lte: from }, at: { $lt: at - KEEP_STEPS_MS } } },
    }));
    database.answer(() => collection().bulkWrite(old, { ordered: false })).catch(() => {});
  }

  /** Whoever marks a message has seen it; if there is no row, a node is between the two, or died there. */
  async function makeRow(user: string, conversation: string): Promise<InboxRow | undefined> {
    const last = await rows.tailFor({ user, conversation });
    if (!last || (last.sender !== user && last.receiver !== user)) return undefined;
    await bumpInbox(database, [{ entry: last }]);
    return rows.get(user, conversation);
  }

  /** The step that receipts of one mark make together: each by itself, they would refuse each other. */
  async function prepare(receipts: Receipt[]): Promise<Prepared> {
    const { kind, user, conversation } = receipts[0] as Receipt;
    const row = (await rows.get(user, conversation)) ?? (await makeRow(user, conversation));
    if (!row) return { advanced: receipts.map(() => undefined) };
    const { moved, after } = raise(row[kind], receipts, row.peerSent);
    const advanced = moved.map((moved) => ({ row: { ...row, [kind]: after }, moved }));
    if (after === row[kind]) return { advanced };
    const mark = markId(user, conversation, kind);
    return { advanced, step: { _id: `${mark}:${after.from}`, mark, user, ...after } };
  }

  /** @returns those that were refused, because another step was taken from the same place */
  async function take(steps: StepDocument[]): Promise<Set<StepDocument>> {
    if (steps.length === 0) return new Set();
    try {
      await collection().insertMany(steps, { ordered: false });
      return new Set();
    } catch (error) {
      return new Set(duplicates(error).map((index) => steps[index] as StepDocument));
    }
  }

  return {
    /**
     * Compare-and-set as in the log: a step is an insert, and of two steps from the same place one is refused. One
     * command for the steps of all: each by itself, they would take all connections where a majority is slow.
     */
    advance: (receipts) =>
      database.answer(async () => {
        const results: (Advanced | undefined)[] = [];
        const byMark = Map.groupBy(receipts.entries(), ([, { user, conversation, kind }]) =>
          markId(user, conversation, kind),
        );
        const deadline = performance.now() + TIMEOUT_MS;
        for (let left = [...byMark.values()]; left.length > 0; ) {
          if (performance.now() > deadline) throw new Error('other receipts were faster all the time');
          const prepared = await Promise.all(left.map((some) => prepare(some.map(([, receipt]) => receipt))));
          const steps = prepared.flatMap(({ step }) => step ?? []);
          const refused = await take(steps);
          prune(steps.filter((step) => !refused.has(step)));
          left = left.filter((some, i) => {
            const { advanced, step } = prepared[i] as Prepared;
            if (step && refused.has(step)) return true;
            for (const [j, [index]] of some.entries()) results[index] = advanced[j];
            return false;
          });
        }
        return results;
      }),
  };
}
