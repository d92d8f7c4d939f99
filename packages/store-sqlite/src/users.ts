import type { DatabaseSync } from 'node:sqlite';
import { DuetError } from '@duet/contract';
import type { UserRecord, UserStore } from '@duet/core';
import { answer, inTransaction, isConstraint } from './database.ts';

/** Sorts after every string that continues the prefix; names that begin with it are those of nobody. */
const AFTER_ALL = '\u{10FFFF}';

export function createUsers(db: DatabaseSync): UserStore {
  const insert = db.prepare(`
    INSERT INTO users (id, username, usernameKey, email, emailKey, passwordHash, tokensAfter, createdAt, lastSeen)
    VALUES (:id, :username, :usernameKey, :email, :emailKey, :passwordHash, :tokensAfter, :createdAt, :lastSeen)`);
  const byIds = db.prepare('SELECT * FROM users WHERE id IN (SELECT value FROM json_each(?))');
  const byEmail = db.prepare('SELECT * FROM users WHERE emailKey = ?');
  const byName = db.prepare('SELECT 1 FROM users WHERE usernameKey = ?');
  const list = db.prepare(`
    SELECT * FROM users
    WHERE usernameKey >= :prefix AND usernameKey < :prefix || '${AFTER_ALL}' AND usernameKey < '${AFTER_ALL}'
      AND usernameKey > :after AND id <> :except
    ORDER BY usernameKey LIMIT :limit`);
  const seen = db.prepare('UPDATE users SET lastSeen = max(lastSeen, :at) WHERE id = :id');

  const update = db.prepare(`
    UPDATE users SET username = coalesce(:username, username), usernameKey = coalesce(:usernameKey, usernameKey),
      email = coalesce(:email, email), emailKey = coalesce(:emailKey, emailKey),
      passwordHash = coalesce(:passwordHash, passwordHash), tokensAfter = coalesce(:tokensAfter, tokensAfter)
    WHERE id = :id AND usernameKey = coalesce(:overKey, usernameKey) AND passwordHash = coalesce(:overHash, passwordHash)`);

  function conflict(user: UserRecord): DuetError {
    const field = byName.get(user.usernameKey) ? 'username' : 'email';
    return new DuetError('CONFLICT', { details: [{ field, message: 'is already taken' }] });
  }

  return {
    create(user) {
      return answer(() => {
        try {
          insert.run({ ...user });
        } catch (error) {
          throw isConstraint(error) ? conflict(user) : error;
        }
      });
    },
    get: (ids) => answer(() => byIds.all(JSON.stringify(ids)) as unknown as UserRecord[]),
    update(id, fields, over) {
      return answer(() => {
        const { username = null, usernameKey = null, email = null, emailKey = null } = fields;
        const { passwordHash = null, tokensAfter = null } = fields;
        const changed = { username, usernameKey, email, emailKey, passwordHash, tokensAfter };
        try {
          update.run({ id, ...changed, overKey: over?.usernameKey ?? null, overHash: over?.passwordHash ?? null });
        } catch (error) {
          throw isConstraint(error) ? new DuetError('CONFLICT') : error;
        }
      });
    },
    byEmail: (emailKey) => answer(() => byEmail.get(emailKey) as UserRecord | undefined),
    list: ({ prefix = '', after = '', limit, except }) =>
      answer(() => list.all({ prefix, after, limit, except }) as unknown as UserRecord[]),
    seen: (users) =>
      answer(() =>
        inTransaction(db, () => {
          for (const { id, at } of users) seen.run({ id, at });
        }),
      ),
  };
}
