import { type Conversation, invalid } from '@duet/contract';
import type { Caller } from './messages.ts';
import type { People } from './people.ts';
import type { ConversationStore, Entry, InboxRow, MessageStore, UserStore } from './ports.ts';
import { messageView, userView } from './views.ts';

export interface ConversationDeps {
  users: UserStore;
  conversations: ConversationStore;
  messages: MessageStore;
  people: People;
}

function decodeCursor(cursor: string): { lastAt: number; conversation: string } {
  const [, lastAt, conversation] = /^(\d{1,15})_([0-9a-f]{32})$/.exec(cursor) ?? [];
  if (lastAt === undefined || conversation === undefined) {
    throw invalid([{ field: 'cursor', message: 'must be a cursor of an earlier answer' }]);
  }
  return { lastAt: Number(lastAt), conversation };
}

export function createConversations(deps: ConversationDeps) {
  /** What a page of rows needs beside itself, read in one go whatever its length. */
  async function around(rows: InboxRow[]) {
    const peers = rows.map((row) => row.peer);
    const [users, entries, peerRows] = await Promise.all([
      deps.users.get(peers),
      deps.messages.get(rows.map((row) => ({ conversation: row.conversation, seq: row.lastSeq }))),
      deps.conversations.get(rows.map((row) => ({ user: row.peer, conversation: row.conversation }))),
    ]);
    return {
      users: new Map(users.map((user) => [user.id, user])),
      entries: new Map(entries.map((entry) => [entry.conversation, entry])),
      peerRows: new Map(peerRows.map((row) => [row.conversation, row])),
    };
  }

  return {
    /**
     * The caller's conversations, newest first, with what a list shows of each.
     * @throws DuetError VALIDATION_ERROR for a cursor that no answer gave
     */
    async list(caller: Caller, query: { limit: number; cursor?: string | undefined }) {
      const after = query.cursor === undefined ? {} : { after: decodeCursor(query.cursor) };
      const rows = await deps.conversations.list({ user: caller.user, limit: query.limit, ...after });
      const [{ users, entries, peerRows }, people] = await Promise.all([
        around(rows),
        deps.people.get([caller.user, ...rows.map((row) => row.peer)]),
      ]);
      const receiverRow = (entry: Entry, row: InboxRow) =>
        entry.receiver === caller.user ? row : peerRows.get(row.conversation);
      const conversations = rows.flatMap((row): Conversation[] => {
        const peer = users.get(row.peer);
        const entry = entries.get(row.conversation);
        if (!peer || !entry) return [];
        const isOnline = people.get(peer.id)?.isOnline ?? false;
        const view = { viewer: caller.user, people, receiverRead: receiverRow(entry, row) };
        return [
          {
            peer: userView(peer, isOnline),
            lastMessage: messageView(entry, view),
            unreadCount: row.peerSent - row.readN,
          },
        ];
      });
      const last = rows.length === query.limit ? rows.at(-1) : undefined;
      return last ? { conversations, nextCursor: `${last.lastAt}_${last.conversation}` } : { conversations };
    },

    /** The caller's unread messages, all conversations together. */
    async unread(caller: Caller): Promise<{ unreadCount: number }> {
      return { unreadCount: await deps.conversations.unread(caller.user) };
    },
  };
}
export type Conversations = ReturnType<typeof createConversations>;
