import type { AdminStore, LogSummary, RightRow, RowKey, StoredRow, WatermarkKind } from '@duet/core';
import { BOUNDED } from './bounds.ts';
import { type Database, upserted } from './database.ts';
import { bumpInbox } from './inbox.ts';
import { type InboxDocument, type MessageDocument, markId, rowId, type StepDocument } from './schemas.ts';
import { readTail, visibleTo } from './tails.ts';

/** Entries that one command looks at: however long a conversation is, each has its answer in time. */
const STRETCH = 10_000;

type Tail = LogSummary['last'];
type First = Pick<MessageDocument, 'conversation' | 'sender' | 'receiver'>;

export function createAdmin(database: Database): AdminStore {
  const messages = () => database.collection<MessageDocument>('messages');
  const inbox = () => database.collection<InboxDocument>('inbox');
  const watermarks = () => database.collection<StepDocument>('watermarks');
  const size = async (name: 'users' | 'sessions' | 'inbox' | 'messages') =>
    database.collection(name).estimatedDocumentCount(BOUNDED);

  const lastOf = (conversation: string, viewer?: string) =>
    database.first<Tail>('messages', {
      filter: { conversation, ...visibleTo(viewer) },
      sort: { seq: -1 },
      projection: { _id: 0, seq: 1, sent: 1, createdAt: 1 },
    });

  /**
   * Any entry of the next conversation, whichever it has lost: from each one straight to the next, so that a command looks
   * at one place of the index, however long the logs are (a loose index scan, which the server has no word for).
   */
  const firstAfter = (conversation: string) =>
    database.answer(() =>
      database.first<First>('messages', {
        filter: { conversation: { $gt: conversation } },
        sort: { conversation: 1, seq: 1 },
        projection: { _id: 0, conversation: 1, sender: 1, receiver: 1 },
      }),
    );

  /** The sum of what `work` does to each stretch of a log, up to `end`. */
  async function eachStretch(
    { conversation, end }: { conversation: string; end: number },
    work: (stretch: { conversation: string; seq: { $gt: number; $lte: number } }) => Promise<number>,
  ): Promise<number> {
    let sum = 0;
    for (let from = 0; from < end; from += STRETCH) {
      const seq = { $gt: from, $lte: Math.min(end, from + STRETCH) };
      sum += await database.answer(() => work({ conversation, seq }));
    }
    return sum;
  }

  async function summarise({ conversation, sender, receiver }: First): Promise<LogSummary[]> {
    const last = await database.answer(() => lastOf(conversation));
    if (!last) return [];
    // Up to what was read: nodes go on writing, and a count that came later would be another moment's.
    const log = { conversation, end: last.seq };
    const entries = await eachStretch(log, (stretch) => messages().countDocuments(stretch, BOUNDED));
    const hidden = await eachStretch(log, (stretch) =>
      messages().countDocuments({ ...stretch, hidden: true }, BOUNDED),
    );
    const users: LogSummary['users'] = sender < receiver ? [sender, receiver] : [receiver, sender];
    return [{ conversation, users, entries, hidden, last }];
  }

  async function marked({ user, conversation }: RowKey, kind: WatermarkKind): Promise<number> {
    const step = await database.first<StepDocument>('watermarks', {
      filter: { mark: markId(user, conversation, kind), user },
      sort: { n: -1 },
    });
    return step?.n ?? 0;
  }

  async function complete({ user, conversation, peer, lastAt }: InboxDocument): Promise<StoredRow> {
    const key = { user, conversation };
    const [readN, deliveredN] = await Promise.all([marked(key, 'read'), marked(key, 'delivered')]);
    // After the watermarks, so that none seems to lie beyond what was written meanwhile.
    const last = (await lastOf(conversation, user)) ?? (await lastOf(conversation));
    return { user, conversation, peer, lastAt, readN, deliveredN, last };
  }

  async function lower({ user, conversation, lastSeq, lastAt, ...row }: RightRow, kind: WatermarkKind): Promise<void> {
    const n = row[`${kind}N`];
    if (n === undefined) return;
    const mark = markId(user, conversation, kind);
    const beyond = { mark, user, n: { $gt: n } };
    if (!(await database.first<StepDocument>('watermarks', { filter: beyond }))) return;
    // First what is right: who dies between the two leaves a watermark that is found too far again, not one that is gone.
    if (n > 0) {
      const step = { $set: { mark, n, from: n - 1, seq: lastSeq, at: lastAt } };
      await upserted(() => watermarks().updateOne({ _id: `${mark}:${n - 1}`, user }, step, { upsert: true }));
    }
    await watermarks().deleteMany(beyond);
  }

  async function correct(row: RightRow): Promise<void> {
    const { user, conversation, peer, lastAt, lastSeq } = row;
    const update = { $set: { peer, lastSeq }, $max: { lastAt }, $setOnInsert: { conversation } };
    const _id = rowId(user, conversation);
    await upserted(() => inbox().updateOne({ _id, user }, update, { upsert: true }));
    await lower(row, 'read');
    await lower(row, 'delivered');
  }

  async function remove({ user, conversation }: RowKey): Promise<void> {
    await inbox().deleteOne({ _id: rowId(user, conversation), user });
    // Whoever wrote here before that believes the row to be there.
    const entry = await readTail(database, conversation, visibleTo(user));
    if (entry && (entry.sender === user || entry.receiver === user)) return bumpInbox(database, [{ entry }]);
    const kinds: WatermarkKind[] = ['read', 'delivered'];
    await watermarks().deleteMany({ mark: { $in: kinds.map((kind) => markId(user, conversation, kind)) }, user });
  }

  return {
    counts: () =>
      database.answer(async () => {
        const [users, sessions, rows, entries] = await Promise.all([
          size('users'),
          size('sessions'),
          size('inbox'),
          size('messages'),
        ]);
        return { users, sessions, conversations: Math.floor(rows / 2), messages: entries };
      }),
    async logs({ after = '', limit }) {
      const firsts: First[] = [];
      for (let first = await firstAfter(after); first; first = await firstAfter(first.conversation))
        if (firsts.push(first) === limit) break;
      return (await Promise.all(firsts.map(summarise))).flat();
    },
    rows: (query) =>
      database.answer(async () => {
        if ('keys' in query) {
          const ids = query.keys.map(({ user, conversation }) => rowId(user, conversation));
          const users = [...new Set(query.keys.map(({ user }) => user))];
          const found = await inbox()
            .find({ _id: { $in: ids }, user: { $in: users } }, BOUNDED)
            .toArray();
          return Promise.all(found.map(complete));
        }
        const { after, limit } = query;
        const _id = after && { $gt: rowId(after.user, after.conversation) };
        const found = await inbox()
          .find(_id ? { _id } : {}, BOUNDED)
          .sort({ _id: 1 })
          .limit(limit)
          .toArray();
        return Promise.all(found.map(complete));
      }),
    repair: ({ right, gone }) =>
      database.answer(async () => {
        await Promise.all([...right.map(correct), ...gone.map(remove)]);
      }),
    async erase({ conversation, sender }) {
      const last = await database.answer(() => lastOf(conversation));
      const emptied = { $set: { content: '', messageType: 'text' as const } };
      return eachStretch({ conversation, end: last?.seq ?? 0 }, async (stretch) => {
        return (await messages().updateMany({ ...stretch, sender }, emptied)).matchedCount;
      });
    },
  };
}
