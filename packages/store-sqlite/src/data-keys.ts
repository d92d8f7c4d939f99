import type { DatabaseSync } from 'node:sqlite';
import type { DataKeyStore, WrappedKey } from '@duet/core';
import { answer, inTransaction } from './database.ts';

/** Sorts after every conversation. */
const AFTER_ALL = 'g';

export function createDataKeys(db: DatabaseSync): DataKeyStore {
  const columns = 'conversation, id, ringKey, wrapped';
  const get = db.prepare(`
    SELECT ${columns} FROM dataKeys WHERE conversation IN (SELECT value FROM json_each(?))`);
  const insert = db.prepare(`
    INSERT OR IGNORE INTO dataKeys (${columns}) VALUES (:conversation, :id, :ringKey, :wrapped)`);
  const replace = db.prepare(`
    UPDATE dataKeys SET id = :id, ringKey = :ringKey, wrapped = :wrapped
    WHERE conversation = :conversation AND wrapped = :over`);
  const list = db.prepare(`
    SELECT ${columns} FROM dataKeys WHERE (ringKey, conversation) > (:ringKey, :conversation)
    ORDER BY ringKey, conversation LIMIT :limit`);
  const remove = db.prepare('DELETE FROM dataKeys WHERE conversation = ?');

  const all = (conversations: string[]) => get.all(JSON.stringify(conversations)) as unknown as WrappedKey[];

  return {
    get: (conversations) => answer(() => all(conversations)),
    put: (keys) =>
      answer(() =>
        inTransaction(db, () => {
          for (const { key, over } of keys) {
            if (over) replace.run({ ...key, over: over.wrapped });
            else insert.run({ ...key });
          }
          return all(keys.map(({ key }) => key.conversation));
        }),
      ),
    list: ({ after = { ringKey: '' }, limit }) =>
      answer(() => {
        const { ringKey, conversation = AFTER_ALL } = after;
        return list.all({ ringKey, conversation, limit }) as unknown as WrappedKey[];
      }),
    remove: (conversation) =>
      answer(() => {
        // What is deleted is overwritten, in the file too once the log is in it.
        db.exec('PRAGMA secure_delete = ON');
        remove.run(conversation);
        db.exec('PRAGMA secure_delete = OFF; PRAGMA wal_checkpoint(PASSIVE)');
      }),
  };
}
