import type { DatabaseSync } from 'node:sqlite';
import { setTimeout as pause } from 'node:timers/promises';
import type { AdminStore, LogSummary, RightRow, RowKey, StoredRow, WatermarkKind } from '@duet/core';
import { answer, inTransaction } from './database.ts';

/** Entries that are emptied in one transaction; nodes stand still while another process writes. */
const STRETCH = 2_000;
/** In which they write what has come meanwhile. */
const PAUSE_MS = 20;

type Last = { lastSeq: number; lastAt: number; sentLow: number; sentHigh: number };
const toLast = ({ lastSeq, lastAt, sentLow, sentHigh }: Last): LogSummary['last'] => ({
  seq: lastSeq,
  sent: [sentLow, sentHigh],
  createdAt: lastAt,
});

type LogRow = Last & { conversation: string; sender: string; receiver: string; entries: number; hidden: number };
function toSummary({ conversation, sender, receiver, entries, hidden, ...last }: LogRow): LogSummary {
  const users: LogSummary['users'] = sender < receiver ? [sender, receiver] : [receiver, sender];
  return { conversation, users, entries, hidden, last: toLast(last) };
}

type InboxLine = Omit<StoredRow, 'last' | 'lastAt'> & { [K in keyof Last]: Last[K] | null };
function toRow({ user, conversation, peer, readN, deliveredN, ...last }: InboxLine): StoredRow {
  const found = last.lastSeq === null ? undefined : toLast(last as Last);
  return { user, conversation, peer, readN, deliveredN, lastAt: found?.createdAt ?? 0, last: found };
}

const LAST = 'last.seq AS lastSeq, last.createdAt AS lastAt, last.sentLow, last.sentHigh';
const ROWS = `
  SELECT inbox.user, inbox.conversation, inbox.peer, inbox.readN, inbox.deliveredN, ${LAST}
  FROM inbox LEFT JOIN messages AS last ON last.conversation = inbox.conversation
    AND last.seq = (SELECT max(seq) FROM messages WHERE conversation = inbox.conversation)`;

/** The bounds of a watermark: none where it is right. */
const lowered = (kind: WatermarkKind, n: number | undefined, seq: number) => ({
  [`${kind}N`]: n ?? Number.MAX_SAFE_INTEGER,
  [`${kind}Seq`]: n === undefined ? Number.MAX_SAFE_INTEGER : seq,
});

export function createAdmin(db: DatabaseSync): AdminStore {
  const count = db.prepare(`
    SELECT (SELECT count(*) FROM users) AS users, (SELECT count(*) FROM sessions) AS sessions,
      (SELECT count(*) FROM inbox) / 2 AS conversations, (SELECT count(*) FROM messages) AS messages`);
  // From each conversation straight to the next one: what lies between is not read.
  const logs = db.prepare(`
    WITH RECURSIVE found (conversation) AS (
      SELECT min(conversation) FROM messages WHERE conversation > :after
      UNION ALL
      SELECT (SELECT min(conversation) FROM messages WHERE conversation > found.conversation)
      FROM found WHERE found.conversation IS NOT NULL
      LIMIT :limit
    )
    SELECT last.conversation, last.sender, last.receiver, ${LAST},
      (SELECT count(*) FROM messages WHERE conversation = found.conversation) AS entries,
      (SELECT total(hidden) FROM messages WHERE conversation = found.conversation) AS hidden
    FROM found JOIN messages AS last ON last.conversation = found.conversation
      AND last.seq = (SELECT max(seq) FROM messages WHERE conversation = found.conversation)
    ORDER BY last.conversation`);
  const rows = db.prepare(`${ROWS} WHERE (inbox.user, inbox.conversation) > (:user, :conversation)
    ORDER BY inbox.user, inbox.conversation LIMIT :limit`);
  const byKey = db.prepare(`${ROWS} JOIN json_each(?) AS key
    ON inbox.user = key.value ->> 'user' AND inbox.conversation = key.value ->> 'conversation'`);
  const correct = db.prepare(`
    INSERT INTO inbox (user, conversation, peer) VALUES (:user, :conversation, :peer)
    ON CONFLICT (user, conversation) DO UPDATE SET peer = :peer,
      readN = min(readN, :readN), readFrom = min(readFrom, :readN), readSeq = min(readSeq, :readSeq),
      deliveredN = min(deliveredN, :deliveredN), deliveredFrom = min(deliveredFrom, :deliveredN),
      deliveredSeq = min(deliveredSeq, :deliveredSeq)`);
  const remove = db.prepare(`
    DELETE FROM inbox WHERE user = :user AND conversation = :conversation AND NOT EXISTS (
      SELECT 1 FROM messages WHERE conversation = :conversation AND :user IN (sender, receiver))`);
  const end = db.prepare('SELECT max(seq) AS seq FROM messages WHERE conversation = ?');
  const erase = db.prepare(`
    UPDATE messages SET content = '', messageType = 'text'
    WHERE conversation = :conversation AND sender = :sender AND seq > :after AND seq <= :to`);

  return {
    counts: () => answer(() => count.get() as Awaited<ReturnType<AdminStore['counts']>>),
    logs: ({ after = '', limit }) => answer(() => (logs.all({ after, limit }) as unknown as LogRow[]).map(toSummary)),
    rows: (query) =>
      answer(() => {
        if ('keys' in query) return (byKey.all(JSON.stringify(query.keys)) as unknown as InboxLine[]).map(toRow);
        const { after = { user: '', conversation: '' }, limit } = query;
        const { user, conversation } = after;
        return (rows.all({ user, conversation, limit }) as unknown as InboxLine[]).map(toRow);
      }),
    repair: ({ right, gone }) =>
      answer(() =>
        inTransaction(db, () => {
          for (const { user, conversation, peer, readN, deliveredN, lastSeq } of right satisfies RightRow[]) {
            const read = lowered('read', readN, lastSeq);
            correct.run({ user, conversation, peer, ...read, ...lowered('delivered', deliveredN, lastSeq) });
          }
          for (const { user, conversation } of gone satisfies RowKey[]) remove.run({ user, conversation });
        }),
      ),
    async erase({ conversation, sender }) {
      const last = await answer(() => (end.get(conversation) as { seq: number | null }).seq ?? 0);
      let emptied = 0;
      for (let after = 0; after < last; after += STRETCH) {
        if (after > 0) await pause(PAUSE_MS);
        const to = Math.min(after + STRETCH, last);
        emptied += await answer(() => Number(erase.run({ conversation, sender, after, to }).changes));
      }
      return emptied;
    },
  };
}
