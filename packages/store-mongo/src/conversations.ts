import {
  type Advanced,
  type ConversationStore,
  type InboxRow,
  type Receipt,
  type ReceiptStore,
  raised,
  type Watermark,
} from '@duet/core';
import { BOUNDED, TIMEOUT_MS } from './bounds.ts';
import { type Database, duplicates } from './database.ts';
import { bumpInbox } from './inbox.ts';
import { createRows } from './rows.ts';
import { type InboxDocument, markId, type StepDocument } from './schemas.ts';

/** Rows whose counters are asked for in one go. */
const STRETCH = 200;
/** Steps of a watermark that are younger stay: another node may be about to take the step behind them. */
const KEEP_STEPS_MS = 60_000;

/** What receipts, one after the other, make of a watermark: one step, and by how much each of them has raised it. */
function raise(before: Watermark, receipts: Receipt[], row: InboxRow): { moved: number[]; after: Watermark } {
  let after = before;
  const moved = receipts.map((receipt) => {
    const { n } = after;
    const next = raised(after, receipt, row);
    if (next !== after) after = { ...next, from: before.n };
    return after.n - n;
  });
  return { moved, after };
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
    get: (keys) => database.answer(() => rows.get(keys)),
    marks: (keys) => database.answer(() => rows.marks(keys)),
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
        sum += await database.answer(() => rows.unread(documents));
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

  const rowOf = async (user: string, conversation: string) => (await rows.get([{ user, conversation }]))[0];

  /** Whoever marks a message has seen it; if there is no row, a node is between the two, or died there. */
  async function makeRow(user: string, conversation: string): Promise<InboxRow | undefined> {
    const last = await rows.tailFor({ user, conversation });
    if (!last || (last.sender !== user && last.receiver !== user)) return undefined;
    await bumpInbox(database, [{ entry: last }]);
    return rowOf(user, conversation);
  }

  /** The step that receipts of one mark make together: each by itself, they would refuse each other. */
  async function prepare(receipts: Receipt[]): Promise<Prepared> {
    const { kind, user, conversation } = receipts[0] as Receipt;
    const row = (await rowOf(user, conversation)) ?? (await makeRow(user, conversation));
    if (!row) return { advanced: receipts.map(() => undefined) };
    const { moved, after } = raise(row[kind], receipts, row);
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
