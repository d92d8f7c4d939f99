import type { DatabaseSync } from 'node:sqlite';
import type { ConversationStore, InboxRow, ReceiptStore } from '@duet/core';
import { answer, inTransaction } from './database.ts';

export function createConversations(db: DatabaseSync): ConversationStore {
  const byKey = db.prepare(`
    SELECT inbox_rows.* FROM json_each(?) AS key
    JOIN inbox_rows ON user = key.value ->> 'user' AND conversation = key.value ->> 'conversation'`);
  const list = db.prepare(`
    SELECT * FROM inbox_rows WHERE user = :user AND (lastAt, conversation) < (:lastAt, :conversation)
    ORDER BY lastAt DESC, conversation DESC LIMIT :limit`);
  const unread = db.prepare('SELECT coalesce(sum(peerSent - readN), 0) AS unread FROM inbox_rows WHERE user = ?');

  return {
    get: (keys) => answer(() => byKey.all(JSON.stringify(keys)) as unknown as InboxRow[]),
    list: ({ user, after = { lastAt: Number.MAX_SAFE_INTEGER, conversation: '' }, limit }) =>
      answer(() => {
        const { lastAt, conversation } = after;
        return list.all({ user, lastAt, conversation, limit }) as unknown as InboxRow[];
      }),
    unread: (user) => answer(() => (unread.get(user) as { unread: number }).unread),
  };
}

export function createReceipts(db: DatabaseSync): ReceiptStore {
  const get = db.prepare('SELECT * FROM inbox_rows WHERE user = ? AND conversation = ?');
  const set = db.prepare('UPDATE inbox SET readN = ?, readFrom = ?, readAt = ? WHERE user = ? AND conversation = ?');

  return {
    advance: ({ user, conversation, readN, at }) =>
      answer(() =>
        inTransaction(db, () => {
          const row = get.get(user, conversation) as unknown as InboxRow | undefined;
          if (!row) return undefined;
          const moved = Math.max(0, Math.min(readN, row.peerSent) - row.readN);
          if (moved === 0) return { row, moved };
          const after = { ...row, readN: row.readN + moved, readFrom: row.readN, readAt: at };
          set.run(after.readN, after.readFrom, after.readAt, user, conversation);
          return { row: after, moved };
        }),
      ),
  };
}
