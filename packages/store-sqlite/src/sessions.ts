import type { DatabaseSync } from 'node:sqlite';
import type { EndedSession, SessionRecord, SessionStore } from '@duet/core';
import { answer, inTransaction } from './database.ts';

export function createSessions(db: DatabaseSync): SessionStore {
  const insert = db.prepare(`
    INSERT INTO sessions
      (id, user, device, createdAt, lastUsedAt, expiresAt, refreshHash, previousHash, rotatedAt)
    VALUES
      (:id, :user, :device, :createdAt, :lastUsedAt, :expiresAt, :refreshHash, :previousHash, :rotatedAt)`);
  const byKey = db.prepare(`
    SELECT sessions.* FROM json_each(?) AS key
    JOIN sessions ON sessions.user = key.value ->> 'user' AND sessions.id = key.value ->> 'id'`);
  const byUser = db.prepare('SELECT * FROM sessions WHERE user = ?');
  const replace = db.prepare(`
    UPDATE sessions SET lastUsedAt = :lastUsedAt, expiresAt = :expiresAt, refreshHash = :refreshHash,
      previousHash = :previousHash, rotatedAt = :rotatedAt
    WHERE user = :user AND id = :id AND refreshHash = :expected`);
  const remove = db.prepare('DELETE FROM sessions WHERE user = :user AND id = :id');
  const note = db.prepare('INSERT INTO sessionEnds (user, id) VALUES (:user, :id)');
  const last = db.prepare("SELECT coalesce(max(seq), 0) AS place FROM sqlite_sequence WHERE name = 'sessionEnds'");
  const since = db.prepare('SELECT user, id FROM sessionEnds WHERE place > ?');
  const purgeSessions = db.prepare('DELETE FROM sessions WHERE expiresAt < ?');
  const purgeEnds = db.prepare('DELETE FROM sessionEnds WHERE at < ?');

  return {
    create: (session) =>
      answer(() => {
        insert.run({ ...session });
      }),
    get: (keys) => answer(() => byKey.all(JSON.stringify(keys)) as unknown as SessionRecord[]),
    list: (user) => answer(() => byUser.all(user) as unknown as SessionRecord[]),
    replace: ({ device: _device, createdAt: _createdAt, ...session }, expected) =>
      answer(() => replace.run({ ...session, expected }).changes === 1),
    end: (sessions) =>
      answer(() =>
        inTransaction(db, () => {
          for (const { user, id } of sessions) {
            remove.run({ user, id });
            note.run({ user, id });
          }
        }),
      ),
    ended: (cursor) =>
      answer(() => {
        const { place } = last.get() as { place: number };
        const from = cursor === undefined ? place : Number(cursor);
        // A backup that was restored stands before the cursor: then everything may be news.
        const sessions = since.all(from > place ? 0 : from) as unknown as EndedSession[];
        return { sessions, cursor: String(place) };
      }),
    purge: ({ expired, ended }) =>
      answer(() => {
        purgeSessions.run(expired);
        purgeEnds.run(ended);
      }),
  };
}
