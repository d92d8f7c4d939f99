import {
  type ClientEventPayload,
  DuetError,
  type Known,
  type Message,
  type Synced,
  type SyncedConversation,
} from '@duet/contract';
import { conversationOf } from './conversation.ts';
import type { Caller } from './messages.ts';
import type { People } from './people.ts';
import type { ConversationStore, InboxRow, Marks, MessageStore } from './ports.ts';
import { type Sight, type Sights, seenBy } from './privacy.ts';
import { marksSeen, messageView, unreadSeen, watermarksView } from './views.ts';

/** How much of a conversation that is not named comes with `unnamed: 'newest'`. */
const NEWEST = 20;
/** Places that are looked for once more before a client is told to forget: each costs as much as a write. */
const SURE = 5;

export interface SyncDeps {
  conversations: ConversationStore;
  messages: MessageStore;
  people: People;
  sights: Sights;
  /** Messages were handed out. */
  synced: (messages: number) => void;
}

type Request = ClientEventPayload<'sync'>;

/** What an answer will say of a conversation: its messages from `after` on, `take` of them. */
interface Part {
  row: InboxRow;
  peer: Marks;
  after: number;
  take: number;
  /** The place that the client knows, where that lies beyond the end. */
  beyond?: number;
}

/** A conversation that the client names, and the place up to which it knows it. */
interface Named {
  peer: string;
  conversation: string;
  seq: number;
}

/** All rows with ids greater than `from`, up to `to`; without that to the end. */
interface Stretch {
  rows: InboxRow[];
  from: string;
  to: string | undefined;
}

const seqOf = (known: Known): number => (typeof known === 'object' ? known[0] : known);

/** What is said of a conversation that is not there. */
const nothingOf = ({ peer }: Named): SyncedConversation => ({
  userId: peer,
  messages: [],
  lastSeq: 0,
  unreadCount: 0,
  watermarks: { readSeq: 0, peerReadSeq: 0, peerDeliveredSeq: 0 },
  reset: true,
  complete: true,
});

/**
 * What a client does not know yet. `seq` is dense, so what is missing is known before it is read, and an answer is
 * bounded without looking ahead. The rows are walked in an order that no message changes: none is passed over because it
 * moved while the client was asking. (The idea of one call that says whether it is complete is Telegram's getDifference.)
 */
export function createSync(deps: SyncDeps) {
  /** @returns undefined when the client knows it all */
  function compare(row: InboxRow, peer: Marks, request: Request): Omit<Part, 'take'> | undefined {
    const known: Known | undefined = request.conversations[row.peer];
    const [seq, ...marks] = typeof known === 'object' ? known : [known];
    if (seq === undefined || seq > row.lastSeq) {
      const after = request.unnamed === 'all' ? 0 : Math.max(0, row.lastSeq - NEWEST);
      return { row, peer, after, ...(seq === undefined ? {} : { beyond: seq }) };
    }
    const { readSeq, peerReadSeq, peerDeliveredSeq } = watermarksView(row, peer);
    const same = marks.length === 0 || String(marks) === String([readSeq, peerReadSeq, peerDeliveredSeq]);
    return seq === row.lastSeq && same ? undefined : { row, peer, after: seq };
  }

  /**
   * Of the conversations that the client names those that are not there, as after a backup was restored, in the stretch
   * of ids that the answer is about.
   */
  function findUnlisted(caller: Caller, { conversations }: Request, { rows, from, to }: Stretch): Named[] {
    const listed = new Set(rows.map(({ peer }) => peer));
    return Object.entries(conversations).flatMap(([peer, known]) => {
      const seq = seqOf(known);
      if (seq === 0 || listed.has(peer)) return [];
      const { id: conversation } = conversationOf(caller.user, peer);
      const isAsked = conversation > from && (to === undefined || conversation <= to);
      return isAsked ? [{ peer, conversation, seq }] : [];
    });
  }

  /**
   * Nobody is told to forget what is there: the rows may be those of a server that has just been replaced, or one of them
   * may have got lost.
   * @returns those of `unlisted` that are gone
   * @throws DuetError UNAVAILABLE when the rows are older than what the client knows
   */
  async function expectGone(caller: Caller, parts: Part[], unlisted: Named[]): Promise<Named[]> {
    const beyond = parts.flatMap(({ row: { conversation }, beyond: seq }) =>
      seq === undefined ? [] : [{ conversation, seq }],
    );
    // A server that lacks one lacks all that are newer than it knows.
    const places = [...beyond, ...unlisted].slice(0, SURE).map(({ conversation, seq }) => ({ conversation, seq }));
    if (places.length === 0) return [];
    const entries = await deps.messages.get(places, { sure: true });
    // Of what is hidden from him he cannot know.
    const found = new Set(
      entries
        .filter(({ hidden, receiver }) => !(hidden && receiver === caller.user))
        .map(({ conversation }) => conversation),
    );
    if (beyond.some(({ conversation }) => found.has(conversation)))
      throw new DuetError('UNAVAILABLE', { cause: new Error('the rows are older than what the client knows') });
    if (found.size === 0) return unlisted;
    const looked = new Set(places.map(({ conversation }) => conversation));
    return unlisted.filter(({ conversation }) => looked.has(conversation) && !found.has(conversation));
  }

  async function read(caller: Caller, parts: Part[], sight: (user: string) => Sight): Promise<SyncedConversation[]> {
    const found = await deps.people.get([caller.user, ...parts.map(({ row }) => row.peer)]);
    const people = seenBy(caller.user, found, sight);
    const viewer = caller.user;
    return Promise.all(
      parts.map(async ({ row, peer, after, take, beyond }): Promise<SyncedConversation> => {
        const { conversation } = row;
        const entries = take === 0 ? [] : await deps.messages.page({ conversation, viewer, after, limit: take });
        const messages = entries.map((entry): Message => {
          const receiver = entry.receiver === caller.user ? row : peer;
          return messageView(entry, { viewer: caller.user, people, receiver });
        });
        return {
          userId: row.peer,
          messages,
          lastSeq: row.lastSeq,
          unreadCount: unreadSeen(row, sight(row.peer)),
          watermarks: watermarksView(row, peer),
          ...(beyond === undefined ? {} : { reset: true }),
          // Not by counting: what is hidden has its place in the log, and does not come.
          complete: (messages.at(-1)?.seq ?? after) >= row.lastSeq,
        };
      }),
    );
  }

  return {
    /**
     * Asked again with `nextCursor` and what has been learnt, until `complete`, it leaves nothing out that there was
     * when it was asked first.
     * @throws DuetError UNAVAILABLE when the store does not know the newest at this moment
     */
    async sync(caller: Caller, request: Request): Promise<Synced> {
      const after = request.cursor === undefined ? {} : { after: request.cursor };
      const rows = await deps.conversations.walk({ user: caller.user, ...after, limit: request.limit });
      const [peerMarks, sight] = await Promise.all([
        deps.conversations.marks(rows.map(({ peer, conversation }) => ({ user: peer, conversation }))),
        deps.sights.forViewer(
          caller.user,
          rows.map(({ peer }) => peer),
        ),
      ]);
      const parts: Part[] = [];
      let left = request.limit;
      /** The last row of which nothing remains to be told. */
      let done = request.cursor;
      let full = false;
      for (const [i, row] of rows.entries()) {
        const part = compare(row, marksSeen(peerMarks[i] as Marks, sight(row.peer)), request);
        if (part) {
          const missing = row.lastSeq - part.after;
          full = missing > left;
          if (full && left === 0) break;
          parts.push({ ...part, take: Math.min(missing, left) });
          left -= Math.min(missing, left);
          if (full) break;
        }
        done = row.conversation;
      }
      const complete = !full && rows.length < request.limit;
      const stretch = { rows, from: request.cursor ?? '', to: complete ? undefined : (done ?? '') };
      const gone = await expectGone(caller, parts, findUnlisted(caller, request, stretch));
      deps.synced(request.limit - left);
      return {
        conversations: [...(await read(caller, parts, sight)), ...gone.map(nothingOf)],
        complete,
        ...(complete || done === undefined ? {} : { nextCursor: done }),
      };
    },
  };
}
export type Sync = ReturnType<typeof createSync>;
