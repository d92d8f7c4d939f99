import { type ConversationStore, type InboxRow, type ReceiptStore, sentBy } from '@duet/core';
import { BOUNDED, type Database, isDuplicate } from './database.ts';
import { type InboxDocument, type ReadDocument, rowId } from './schemas.ts';
import { readTail } from './tails.ts';

/** Steps of a watermark that are younger stay: another node may be about to take the step behind them. */
const KEEP_STEPS_MS = 60_000;

/**
 * Rows are put together when they are read: the list holds their order, the log's last entry their counters, the
 * watermark what was read. Each has one source, so nothing can drift, whoever dies in between.
 */
function createRows(database: Database) {
  async function watermark(user: string, row: string): Promise<Pick<InboxRow, 'readN' | 'readFrom' | 'readAt'>> {
    const [step] = await database
      .collection<ReadDocument>('reads')
      .find({ row, user }, BOUNDED)
      .sort({ readN: -1 })
      .limit(1)
      .toArray();
    return step ? { readN: step.readN, readFrom: step.from, readAt: step.at } : { readN: 0, readFrom: 0, readAt: 0 };
  }

  async function complete({ _id, user, conversation, peer, lastAt }: InboxDocument): Promise<InboxRow[]> {
    const [tail, read] = await Promise.all([readTail(database, conversation, 'majority'), watermark(user, _id)]);
    if (!tail) return [];
    return [{ user, conversation, peer, lastSeq: tail.seq, lastAt, peerSent: sentBy(peer, tail), ...read }];
  }

  return {
    complete: async (rows: InboxDocument[]): Promise<InboxRow[]> => (await Promise.all(rows.map(complete))).flat(),
    async get(user: string, conversation: string): Promise<InboxRow | undefined> {
      // The user stands in every filter: it is the shard key.
      const row = await database
        .collection<InboxDocument>('inbox')
        .findOne({ _id: rowId(user, conversation), user }, BOUNDED);
      return row ? (await complete(row))[0] : undefined;
    },
  };
}

export function createConversations(database: Database): ConversationStore {
  const collection = () => database.collection<InboxDocument>('inbox');
  const rows = createRows(database);

  return {
    get: (keys) =>
      database.answer(async () => {
        const found = await Promise.all(keys.map(({ user, conversation }) => rows.get(user, conversation)));
        return found.filter((row) => row !== undefined);
      }),
    list: ({ user, after, limit }) =>
      database.answer(async () => {
        // To MongoDB a limit of 0 is none.
        if (limit === 0) return [];
        const below = after && {
          lastAt: { $lte: after.lastAt },
          $or: [{ lastAt: { $lt: after.lastAt } }, { conversation: { $lt: after.conversation } }],
        };
        const found = await collection()
          .find({ user, ...below }, BOUNDED)
          .sort({ lastAt: -1, conversation: -1 })
          .limit(limit)
          .toArray();
        return rows.complete(found);
      }),
    unread: (user) =>
      database.answer(async () => {
        let unread = 0;
        for (const row of await rows.complete(await collection().find({ user }, BOUNDED).toArray())) {
          unread += row.peerSent - row.readN;
        }
        return unread;
      }),
  };
}

export function createReceipts(database: Database): ReceiptStore {
  const collection = () => database.collection<ReadDocument>('reads');
  const rows = createRows(database);

  /** Steps that no longer count. What stays behind when this fails is removed by the next one. */
  function prune({ user, conversation, readFrom, readAt }: InboxRow): void {
    const old = {
      row: rowId(user, conversation),
      user,
      readN: { $lte: readFrom },
      at: { $lt: readAt - KEEP_STEPS_MS },
    };
    database.answer(() => collection().deleteMany(old)).catch(() => {});
  }

  return {
    // Compare-and-set as in the log: a step is an insert, and of two steps from the same place one is refused.
    advance: ({ user, conversation, readN, at }) =>
      database.answer(async () => {
        for (;;) {
          const row = await rows.get(user, conversation);
          if (!row) return undefined;
          const moved = Math.max(0, Math.min(readN, row.peerSent) - row.readN);
          if (moved === 0) return { row, moved };
          const after = { ...row, readN: row.readN + moved, readFrom: row.readN, readAt: at };
          const id = rowId(user, conversation);
          const step = { _id: `${id}:${row.readN}`, row: id, user, from: row.readN, readN: after.readN, at };
          try {
            await collection().insertOne(step);
            prune(after);
            return { row: after, moved };
          } catch (error) {
            if (!isDuplicate(error)) throw error;
          }
        }
      }),
  };
}
