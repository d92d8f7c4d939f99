import type { DatabaseSync } from 'node:sqlite';
import type { Appended, Draft, Entry, MessageStore } from '@duet/core';
import { messageId, nextEntry } from '@duet/core';
import { answer, inTransaction } from './database.ts';

type Row = Omit<Entry, 'id' | 'sent' | 'hidden'> & { sentLow: number; sentHigh: number; hidden: number };

function toEntry({ sentLow, sentHigh, hidden, ...row }: Row): Entry {
  const entry: Entry = { ...row, id: messageId(row.conversation, row.seq), sent: [sentLow, sentHigh] };
  if (hidden) entry.hidden = true;
  return entry;
}

export function createMessages(db: DatabaseSync): MessageStore {
  const append = prepareAppend(db);
  const newest = db.prepare(`
    SELECT * FROM messages WHERE conversation = :conversation AND seq < :before
    AND NOT (hidden AND receiver = :viewer)
    ORDER BY seq DESC LIMIT :limit OFFSET :skip`);
  const oldest = db.prepare(`
    SELECT * FROM messages WHERE conversation = :conversation AND seq > :after AND seq < :before
    AND NOT (hidden AND receiver = :viewer)
    ORDER BY seq LIMIT :limit OFFSET :skip`);
  const byPlace = db.prepare(`
    SELECT messages.* FROM json_each(?) AS place
    JOIN messages ON conversation = place.value ->> 'conversation' AND seq = place.value ->> 'seq'`);

  return {
    append: (drafts) => answer(() => inTransaction(db, () => append(drafts))),
    page: ({ conversation, before = Number.MAX_SAFE_INTEGER, after, skip = 0, limit, viewer = '' }) =>
      answer(() => {
        const rows =
          after === undefined
            ? newest.all({ conversation, before, skip, limit, viewer }).reverse()
            : oldest.all({ conversation, after, before, skip, limit, viewer });
        return (rows as unknown as Row[]).map(toEntry);
      }),
    get: (places) => answer(() => (byPlace.all(JSON.stringify(places)) as unknown as Row[]).map(toEntry)),
  };
}

/**
 * The statements of an append. They run inside one write transaction, which is the compare-and-set of this store: no
 * other writer can come between reading the last entry and inserting the next.
 */
function prepareAppend(db: DatabaseSync): (drafts: Draft[]) => Appended[] {
  const last = db.prepare(
    'SELECT seq, sentLow, sentHigh FROM messages WHERE conversation = ? ORDER BY seq DESC LIMIT 1',
  );
  const byTempId = db.prepare('SELECT * FROM messages WHERE tempId = ? AND conversation = ? AND sender = ?');
  const insert = db.prepare(`
    INSERT INTO messages
      (conversation, seq, sender, receiver, content, messageType, tempId, createdAt, sentLow, sentHigh, hidden)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (tempId, conversation, sender) DO NOTHING`);
  const join = db.prepare('INSERT OR IGNORE INTO inbox (user, conversation, peer) VALUES (?, ?, ?)');

  function lastOf(conversation: string): Pick<Entry, 'seq' | 'sent'> | undefined {
    const row = last.get(conversation) as Pick<Row, 'seq' | 'sentLow' | 'sentHigh'> | undefined;
    return row && { seq: row.seq, sent: [row.sentLow, row.sentHigh] };
  }

  function store(draft: Draft, tail: Pick<Entry, 'seq' | 'sent'> | undefined): Appended {
    const entry = nextEntry(draft, tail);
    const { conversation, seq, sender, receiver, content, messageType, tempId, createdAt, sent } = entry;
    const { changes } = insert.run(
      ...[conversation, seq, sender, receiver, content, messageType, tempId, createdAt, ...sent, entry.hidden ? 1 : 0],
    );
    if (changes > 0) return { entry, fresh: true };
    return { entry: toEntry(byTempId.get(tempId, conversation, sender) as unknown as Row), fresh: false };
  }

  return (drafts) => {
    const tails = new Map<string, Entry>();
    return drafts.map((draft) => {
      const result = store(draft, tails.get(draft.conversation) ?? lastOf(draft.conversation));
      const { entry, fresh } = result;
      if (fresh) tails.set(entry.conversation, entry);
      if (fresh && entry.seq === 1) {
        join.run(entry.sender, entry.conversation, entry.receiver);
        join.run(entry.receiver, entry.conversation, entry.sender);
      }
      return result;
    });
  };
}
