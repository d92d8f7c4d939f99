import { DatabaseSync } from 'node:sqlite';

/** How long the database is waited for while somebody changes its files. */
const TIMEOUT_MS = 5_000;

/**
 * As often as it is repeated the same comes of it. Both sides have the same schema. Places of ends go on from where they
 * are, because nodes that run have cursors of them. Whoever has registered since the copy was made is gone: his sessions
 * end, and his sockets with them.
 */
const KEEP = `
  BEGIN;
  DELETE FROM main.sessions WHERE user IN (SELECT id FROM present.users);
  INSERT INTO main.sessions SELECT * FROM present.sessions WHERE user IN (SELECT id FROM main.users);
  DELETE FROM main.sessionEnds;
  INSERT INTO main.sessionEnds SELECT * FROM present.sessionEnds;
  UPDATE main.sqlite_sequence SET seq = max(seq, coalesce(
    (SELECT known.seq FROM present.sqlite_sequence AS known WHERE known.name = main.sqlite_sequence.name), 0
  ));
  INSERT INTO main.sessionEnds (user, id)
    SELECT user, id FROM present.sessions WHERE user NOT IN (SELECT id FROM main.users);
  UPDATE main.users SET tokensAfter = max(tokensAfter, coalesce(
    (SELECT known.tokensAfter FROM present.users AS known WHERE known.id = main.users.id), 0
  ));
  COMMIT`;
const UNKNOWN = 'SELECT count(*) AS unknown FROM main.users WHERE id NOT IN (SELECT id FROM present.users)';

/**
 * Gives a copy, before it takes the place of the database, the sessions of it: what has ended since the copy was made stays
 * over, and whoever has signed in or refreshed since stays signed in.
 * @param copy is changed, @param file is read; both are of this version
 * @returns how many users of the copy the database does not know: their sessions are those of the copy
 */
export function keepSessions(copy: string, file: string): number {
  const db = new DatabaseSync(copy, { timeout: TIMEOUT_MS });
  try {
    db.prepare('ATTACH ? AS present').run(file);
    db.exec(KEEP);
    return (db.prepare(UNKNOWN).get() as { unknown: number }).unknown;
  } finally {
    db.close();
  }
}
