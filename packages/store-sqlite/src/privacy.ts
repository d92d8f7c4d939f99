import type { DatabaseSync } from 'node:sqlite';
import type { Hidable, Privacy, PrivacyStore } from '@duet/core';
import { answer } from './database.ts';

type Row = { user: string; peer: string; at: number } | { user: string; what: Hidable };

export function createPrivacy(db: DatabaseSync): PrivacyStore {
  const blocks = db.prepare('SELECT blocks.* FROM json_each(?) AS asked JOIN blocks ON user = asked.value');
  const hides = db.prepare('SELECT hides.* FROM json_each(?) AS asked JOIN hides ON user = asked.value');
  const block = db.prepare('INSERT OR IGNORE INTO blocks (user, peer, at) VALUES (?, ?, ?)');
  const unblock = db.prepare('DELETE FROM blocks WHERE user = ? AND peer = ?');
  const hide = db.prepare('INSERT OR IGNORE INTO hides (user, what) SELECT ?, value FROM json_each(?)');
  const show = db.prepare('DELETE FROM hides WHERE user = ? AND what IN (SELECT value FROM json_each(?))');

  function get(users: string[]): Privacy[] {
    const asked = JSON.stringify([...new Set(users)]);
    const found = new Map<string, Privacy>();
    for (const row of [...blocks.all(asked), ...hides.all(asked)] as Row[]) {
      const privacy = found.get(row.user) ?? { user: row.user, hides: [], blocked: [] };
      found.set(row.user, privacy);
      if ('peer' in row) privacy.blocked.push({ user: row.peer, at: row.at });
      else privacy.hides.push(row.what);
    }
    return [...found.values()];
  }

  return {
    get: (users) => answer(() => get(users)),
    hide: (user, what) => answer(() => void hide.run(user, JSON.stringify(what))),
    show: (user, what) => answer(() => void show.run(user, JSON.stringify(what))),
    block: (user, peer, at) => answer(() => void block.run(user, peer, at)),
    unblock: (user, peer) => answer(() => void unblock.run(user, peer)),
  };
}
