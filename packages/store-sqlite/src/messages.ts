import type { DatabaseSync } from 'node:sqlite';
import type { Appended, Draft, Entry, MessageStore, Tail } from '@duet/core';
import { messageId, nextEntry, StoreReplaced } from '@duet/core';
import { answer, inTransaction } from './database.ts';

type Row = Omit<Entry, 'id' | 'sent' | 'hidden' | 'shown'> & {
  sentLow: number;
  sentHigh: number;
  hidden: number;
  shown: number | null;
};

const hiddenOf = ({ hidden, shown }: Pick<Row, 'hidden' | 'shown'>): Pick<Entry, 'hidden' | 'shown'> =>
  hidden ? { hidden: true, ...(shown === null ? {} : { shown }) } : {};

function toEntry({ sentLow, sentHigh, hidden, shown, ...row }: Row): Entry {
  const entry: Entry = { ...row, id: messageId(row.conversation, row.seq), sent: [sentLow, sentHigh] };
  return hidden ? Object.assign(entry, hiddenOf({ hidden, shown })) : entry;
}

/** Whom nothing is hidden from. */
const NOBODY = '';

/** The place of the last entry that the viewer sees, of those for which `where` holds. */
const lastSeen = (where: string) => `(
  SELECT CASE
    WHEN NOT (hidden AND receiver = :viewer) THEN seq
    WHEN shown IS NOT NULL THEN shown
    ELSE (
      SELECT max(lower.seq) FROM messages AS lower
      WHERE lower.conversation = :conversation AND NOT (lower.hidden AND lower.receiver = :viewer)
        AND lower.seq < found.seq
    )
  END
  FROM messages AS found WHERE conversation = :conversation AND ${where} ORDER BY seq DESC LIMIT 1
)`;

/** The first one: behind all that is hidden in one piece, of which entries of old versions are looked at one by one. */
const firstSeen = (where: string) => `(
  SELECT CASE
    WHEN NOT (hidden AND receiver = :viewer) THEN seq
    ELSE (
      SELECT min(higher.seq) FROM messages AS higher
      WHERE higher.conversation = :conversation AND NOT (higher.hidden AND higher.receiver = :viewer)
        AND higher.seq > coalesce((
          SELECT max(run.seq) FROM messages AS run
          WHERE run.hidden AND run.conversation = :conversation AND run.receiver = :viewer AND run.shown = found.shown
        ), found.seq)
    )
  END
  FROM messages AS found WHERE conversation = :conversation AND ${where} ORDER BY seq LIMIT 1
)`;

/** Pages of what a viewer sees where something is hidden: a step for each entry, and one for all that is hidden between two. */
function preparePagesOfShown(db: DatabaseSync) {
  // Places alone until the page is known: what is left out is not read. CROSS JOIN: in this order, or the planner looks
  // at every entry for the sake of ORDER BY.
  const prepare = (seen: typeof lastSeen, [from, next]: [string, string], direction: 'DESC' | 'ASC') =>
    db.prepare(`
      WITH RECURSIVE place(seq) AS (
        SELECT ${seen(from)}
        UNION ALL
        SELECT ${seen(next)} FROM place WHERE place.seq > 0
        LIMIT :limit + :skip
      )
      SELECT messages.* FROM (
        SELECT seq FROM place WHERE seq > 0 AND seq < :before ORDER BY seq ${direction} LIMIT :limit OFFSET :skip
      ) AS page CROSS JOIN messages ON conversation = :conversation AND messages.seq = page.seq
      ORDER BY messages.seq ${direction}`);
  return {
    newest: prepare(lastSeen, ['seq < :before', 'seq < place.seq'], 'DESC'),
    oldest: prepare(firstSeen, ['seq > :after', 'seq > place.seq'], 'ASC'),
  };
}

export function createMessages(db: DatabaseSync): MessageStore {
  const append = prepareAppend(db);
  // Where nothing was hidden a moment ago something may be by now.
  const ofAll = {
    newest: db.prepare(`
      SELECT * FROM messages WHERE conversation = :conversation AND seq < :before AND NOT (hidden AND receiver = :viewer)
      ORDER BY seq DESC LIMIT :limit OFFSET :skip`),
    oldest: db.prepare(`
      SELECT * FROM messages
      WHERE conversation = :conversation AND seq > :after AND seq < :before AND NOT (hidden AND receiver = :viewer)
      ORDER BY seq LIMIT :limit OFFSET :skip`),
  };
  const ofShown = preparePagesOfShown(db);
  const counted = db.prepare(
    'SELECT sentLow + sentHigh < seq AS hides FROM messages WHERE conversation = ? ORDER BY seq DESC LIMIT 1',
  );
  /** Whether a conversation has anything that is hidden from one of its two: hardly any has. */
  const hides = (conversation: string) => Boolean((counted.get(conversation) as { hides: number } | undefined)?.hides);
  const byPlace = db.prepare(`
    SELECT messages.* FROM json_each(?) AS place
    JOIN messages ON conversation = place.value ->> 'conversation' AND seq = place.value ->> 'seq'`);

  const generation = db.prepare('PRAGMA application_id');
  const readGeneration = () => (generation.get() as { application_id: number }).application_id;
  let known = readGeneration();

  /** Within the transaction: what was sealed by a key of the database before would be unreadable in this one. */
  function expectSame(): void {
    const now = readGeneration();
    if (now === known) return;
    known = now;
    throw new StoreReplaced();
  }

  return {
    append: (drafts) =>
      answer(() =>
        inTransaction(db, () => {
          expectSame();
          return append(drafts);
        }),
      ),
    page: ({ conversation, before = Number.MAX_SAFE_INTEGER, after, skip = 0, limit, viewer = NOBODY }) =>
      answer(() => {
        const pages = viewer !== NOBODY && hides(conversation) ? ofShown : ofAll;
        const query = { conversation, before, skip, limit, viewer };
        const rows = after === undefined ? pages.newest.all(query).reverse() : pages.oldest.all({ ...query, after });
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
    'SELECT seq, sentLow, sentHigh, receiver, hidden, shown FROM messages WHERE conversation = ? ORDER BY seq DESC LIMIT 1',
  );
  const byTempId = db.prepare('SELECT * FROM messages WHERE tempId = ? AND conversation = ? AND sender = ?');
  const insert = db.prepare(`
    INSERT INTO messages
      (conversation, seq, sender, receiver, content, messageType, tempId, createdAt, sentLow, sentHigh, hidden, shown)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (tempId, conversation, sender) DO NOTHING`);
  const join = db.prepare('INSERT OR IGNORE INTO inbox (user, conversation, peer) VALUES (?, ?, ?)');

  const seenBy = db.prepare(
    'SELECT coalesce(max(seq), 0) AS shown FROM messages WHERE conversation = ? AND NOT (hidden AND receiver = ?)',
  );

  function lastOf(conversation: string): Tail | undefined {
    const row = last.get(conversation) as Row | undefined;
    // Of a version that did not know it: found once, and known from the next one on.
    if (row?.hidden && row.shown === null) Object.assign(row, seenBy.get(conversation, row.receiver));
    return row && { seq: row.seq, sent: [row.sentLow, row.sentHigh], receiver: row.receiver, ...hiddenOf(row) };
  }

  function store(draft: Draft, tail: Tail | undefined): Appended {
    const entry = nextEntry(draft, tail);
    const { conversation, seq, sender, receiver, content, messageType, tempId, createdAt, sent } = entry;
    const { changes } = insert.run(
      ...[conversation, seq, sender, receiver, content, messageType, tempId, createdAt, ...sent],
      entry.hidden ? 1 : 0,
      entry.shown ?? null,
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
