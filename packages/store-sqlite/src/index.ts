import type { Store } from '@duet/core';
import { createAdmin } from './admin.ts';
import { createConversations, createReceipts } from './conversations.ts';
import { createDataKeys } from './data-keys.ts';
import { answer, openDatabase } from './database.ts';
import { createMessages } from './messages.ts';
import { createPrivacy } from './privacy.ts';
import { createSessions } from './sessions.ts';
import { createUsers } from './users.ts';

export { backUp, type Progress, restore, ringKeysOf } from './backup.ts';

/**
 * The embedded store: one SQLite file in WAL mode, safe for several processes of one machine.
 * Statements run on the event loop; what they cost is kept small by group commit and by indexes.
 * @param options.file path of the database, or `:memory:`
 * @throws Error with a plain explanation when the file or its folder cannot be used
 */
export function createSqliteStore(options: { file: string }): Store {
  const db = openDatabase(options.file);
  const ping = db.prepare('SELECT user_version FROM pragma_user_version');
  return {
    users: createUsers(db),
    sessions: createSessions(db),
    privacy: createPrivacy(db),
    messages: createMessages(db),
    conversations: createConversations(db),
    receipts: createReceipts(db),
    dataKeys: createDataKeys(db),
    admin: createAdmin(db),
    ready: () =>
      answer(() => {
        ping.get();
      }),
    async close() {
      if (db.isOpen) db.close();
    },
  };
}
