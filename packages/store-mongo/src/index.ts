import type { Store } from '@duet/core';
import { createAdmin } from './admin.ts';
import { createConversations, createReceipts } from './conversations.ts';
import { createDataKeys } from './data-keys.ts';
import { createDatabase } from './database.ts';
import { createMessages } from './messages.ts';
import { createPrivacy } from './privacy.ts';
import { createSessions } from './sessions.ts';
import { createUsers } from './users.ts';

/**
 * The store for many nodes: MongoDB, a replica set or a sharded cluster. It needs no transaction and no change stream:
 * unique indexes and single-document updates carry everything.
 * @param options.uri a `mongodb://` address with the name of the database
 */
export function createMongoStore(options: { uri: string }): Store {
  const database = createDatabase(options.uri);
  return {
    users: createUsers(database),
    sessions: createSessions(database),
    privacy: createPrivacy(database),
    messages: createMessages(database),
    conversations: createConversations(database),
    receipts: createReceipts(database),
    dataKeys: createDataKeys(database),
    admin: createAdmin(database),
    ready: database.ready,
    close: database.close,
  };
}
