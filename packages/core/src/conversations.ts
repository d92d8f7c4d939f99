import { type Conversation, invalid, type RouteData } from '@duet/contract';
import { conversationOf } from './conversation.ts';
import type { Caller } from './messages.ts';
import type { People } from './people.ts';
import type { ConversationStore, InboxRow, Marks, MessageStore, UserStore } from './ports.ts';
import { type Sights, seenBy, userSeen } from './privacy.ts';
import { marksSeen, messageView, unreadOf, unreadSeen, watermarksView } from './views.ts';

export interface ConversationDeps {
  users: UserStore;
  conversations: ConversationStore;
  messages: MessageStore;
  people: People;
  sights: Sights;
}

function decodeCursor(cursor: string): { lastAt: number; conversation: string } {
  const [, lastAt, conversation] = /^(\d{1,15})_([0-9a-f]{32})$/.exec(cursor) ?? [];
  if (lastAt === undefined || conversation === undefined) {
    throw invalid([{ field: 'cursor', message: 'must be a cursor of an earlier answer' }]);
  }
  return { lastAt: Number(lastAt), conversation };
}

/** Conversations as a list shows them to one of their two people. */
export function createConversations(deps: ConversationDeps) {
  /** What a page of rows needs beside itself, read in one go whatever its length. */
  async function around(rows: InboxRow[]) {
    const peers = rows.map((row) => row.peer);
    const [users, entries, peerMarks] = await Promise.all([
      deps.users.get(peers),
      deps.messages.get(rows.map((row) => ({ conversation: row.conversation, seq: row.lastSeq }))),
      deps.conversations.marks(rows.map((row) => ({ user: row.peer, conversation: row.conversation }))),
    ]);
    return {
      users: new Map(users.map((user) => [user.id, user])),
      entries: new Map(entries.map((entry) => [entry.conversation, entry])),
      peerMarks,
    };
  }

  async function views(caller: Caller, rows: InboxRow[]): Promise<Conversation[]> {
    const peers = rows.map((row) => row.peer);
    const [{ users, entries, peerMarks }, found, sight] = await Promise.all([
      around(rows),
      deps.people.get([caller.user, ...peers]),
      deps.sights.forViewer(caller.user, peers),
    ]);
    const people = seenBy(caller.user, found, sight);
    return rows.flatMap((row, i): Conversation[] => {
      const peer = users.get(row.peer);
      const entry = entries.get(row.conversation);
      if (!peer || !entry) return [];
      const isOnline = people.get(peer.id)?.isOnline ?? false;
      const theirs = marksSeen(peerMarks[i] as Marks, sight(peer.id));
      const receiver = entry.receiver === caller.user ? row : theirs;
      return [
        {
          peer: userSeen(peer, isOnline, sight(peer.id)),
          lastMessage: messageView(entry, { viewer: caller.user, people, receiver }),
          unreadCount: unreadSeen(row, sight(peer.id)),
          watermarks: watermarksView(row, theirs),
        },
      ];
    });
  }

  return {
    /**
     * The caller's conversations, newest first, with what a list shows of each.
     * @throws DuetError VALIDATION_ERROR for a cursor that no answer gave
     */
    async list(
      caller: Caller,
      query: { limit: number; cursor?: string | undefined },
    ): Promise<RouteData<'conversations'>> {
      const after = query.cursor === undefined ? {} : { after: decodeCursor(query.cursor) };
      const rows = await deps.conversations.list({ user: caller.user, limit: query.limit, ...after });
      const conversations = await views(caller, rows);
      const last = rows.length === query.limit ? rows.at(-1) : undefined;
      return last ? { conversations, nextCursor: `${last.lastAt}_${last.conversation}` } : { conversations };
    },

    /** One conversation as the list shows it; undefined when there is none with this user. */
    async one(caller: Caller, peerId: string): Promise<Conversation | undefined> {
      const { id } = conversationOf(caller.user, peerId);
      const [view] = await views(caller, await deps.conversations.get([{ user: caller.user, conversation: id }]));
      return view;
    },

    /** The caller's unread messages, all conversations together. */
    async unread(caller: Caller): Promise<{ unreadCount: number }> {
      const [all, kept] = await Promise.all([deps.conversations.unread(caller.user), deps.sights.of([caller.user])]);
      const blocked = [...kept(caller.user).blocked.keys()];
      const rows = await deps.conversations.get(
        blocked.map((peer) => ({ user: caller.user, conversation: conversationOf(caller.user, peer).id })),
      );
      return { unreadCount: rows.reduce((left, row) => left - unreadOf(row), all) };
    },
  };
}
export type Conversations = ReturnType<typeof createConversations>;
