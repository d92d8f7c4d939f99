import type { DatabaseSync } from 'node:sqlite';
import {
  type Advanced,
  type ConversationStore,
  type InboxRow,
  type Marks,
  type Receipt,
  type ReceiptStore,
  raised,
  UNMARKED,
  type WatermarkKind,
} from '@duet/core';
import { answer, inTransaction } from './database.ts';

type Marked = { [Part in `${WatermarkKind}${'N' | 'From' | 'Seq' | 'At'}`]: number };
/** A line of the view `inbox_rows`. */
type Row = Omit<InboxRow, WatermarkKind> & Marked;

const toMarks = (row: Marked): Marks => ({
  read: { n: row.readN, from: row.readFrom, seq: row.readSeq, at: row.readAt },
  delivered: { n: row.deliveredN, from: row.deliveredFrom, seq: row.deliveredSeq, at: row.deliveredAt },
});

function toInboxRow(row: Row): InboxRow {
  const { user, conversation, peer, lastSeq, lastAt, peerSent } = row;
  return { user, conversation, peer, lastSeq, lastAt, peerSent, ...toMarks(row) };
}
const toInboxRows = (rows: unknown[]): InboxRow[] => (rows as Row[]).map(toInboxRow);

export function createConversations(db: DatabaseSync): ConversationStore {
  const byKey = db.prepare(`
    SELECT inbox_rows.* FROM json_each(?) AS key
    JOIN inbox_rows ON user = key.value ->> 'user' AND conversation = key.value ->> 'conversation'`);
  const marks = db.prepare(`
    SELECT inbox.* FROM json_each(?) AS key
    LEFT JOIN inbox ON user = key.value ->> 'user' AND conversation = key.value ->> 'conversation'
    ORDER BY key.key`);
  const list = db.prepare(`
    SELECT * FROM inbox_rows WHERE user = :user AND (lastAt, conversation) < (:lastAt, :conversation)
    ORDER BY lastAt DESC, conversation DESC LIMIT :limit`);
  const walk = db.prepare(`
    SELECT * FROM inbox_rows WHERE user = :user AND conversation > :after ORDER BY conversation LIMIT :limit`);
  const peers = db.prepare(
    'SELECT peer FROM inbox_rows WHERE user = ? ORDER BY lastAt DESC, conversation DESC LIMIT ?',
  );
  const unread = db.prepare('SELECT coalesce(sum(peerSent - readN), 0) AS unread FROM inbox_rows WHERE user = ?');

  return {
    get: (keys) => answer(() => toInboxRows(byKey.all(JSON.stringify(keys)))),
    marks: (keys) =>
      answer(() =>
        (marks.all(JSON.stringify(keys)) as unknown as (Marked | Record<keyof Marked, null>)[]).map((row) =>
          row.readN === null ? { read: UNMARKED, delivered: UNMARKED } : toMarks(row as Marked),
        ),
      ),
    list: ({ user, after = { lastAt: Number.MAX_SAFE_INTEGER, conversation: '' }, limit }) =>
      answer(() => {
        const { lastAt, conversation } = after;
        return toInboxRows(list.all({ user, lastAt, conversation, limit }));
      }),
    walk: ({ user, after = '', limit }) => answer(() => toInboxRows(walk.all({ user, after, limit }))),
    peers: (user, limit) => answer(() => (peers.all(user, limit) as { peer: string }[]).map(({ peer }) => peer)),
    unread: (user) => answer(() => (unread.get(user) as { unread: number }).unread),
  };
}

export function createReceipts(db: DatabaseSync): ReceiptStore {
  const get = db.prepare('SELECT * FROM inbox_rows WHERE user = ? AND conversation = ?');
  const setOf = (kind: WatermarkKind) =>
    db.prepare(`
      UPDATE inbox SET ${kind}N = ?, ${kind}From = ?, ${kind}Seq = ?, ${kind}At = ? WHERE user = ? AND conversation = ?`);
  const set = { read: setOf('read'), delivered: setOf('delivered') };

  function advance(receipt: Receipt): Advanced | undefined {
    const { kind, user, conversation } = receipt;
    const found = get.get(user, conversation) as unknown as Row | undefined;
    if (!found) return undefined;
    const row = toInboxRow(found);
    const before = row[kind];
    const after = raised(before, receipt, row);
    if (after === before) return { row, moved: 0 };
    set[kind].run(after.n, after.from, after.seq, after.at, user, conversation);
    return { row: { ...row, [kind]: after }, moved: after.n - before.n };
  }

  return { advance: (receipts) => answer(() => inTransaction(db, () => receipts.map(advance))) };
}
