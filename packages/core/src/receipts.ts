import { type ClientEventAnswer, DuetError, type ServerEvent } from '@duet/contract';
import type { AccessRules } from './access.ts';
import { ordinal, seqOf } from './conversation.ts';
import type { GroupCommit } from './group-commit.ts';
import type { Caller } from './messages.ts';
import type {
  Advanced,
  Clock,
  ConversationStore,
  Entry,
  Fanout,
  InboxRow,
  MessageStore,
  Receipt,
  WatermarkKind,
} from './ports.ts';
import type { Sights } from './privacy.ts';
import { iso } from './views.ts';

export interface ReceiptDeps {
  access: AccessRules;
  sights: Sights;
  messages: MessageStore;
  conversations: ConversationStore;
  commit: GroupCommit<Receipt, Advanced | undefined>;
  fanout: Fanout;
  clock: Clock;
}

type ReadReceipt = ServerEvent<'message_read_receipt'>;
/** A message that the caller says to have got from somebody. */
type Received = { messageId: string; senderId: string };

/** A message to the caller; receipts for those of somebody whom he has blocked are answered and leave no trace. */
type ReceivedEntry = { entry: Entry; isIgnored: boolean };

/**
 * Receipts are watermarks: a receipt for a message is one for every earlier message of its sender, and nothing goes
 * back. (tinode/chat#869 tells why single receipts cannot be kept.)
 */
export function createReceipts(deps: ReceiptDeps) {
  /** @throws DuetError NOT_FOUND when the caller has received no such message from that sender */
  async function received(caller: Caller, { messageId, senderId }: Received): Promise<ReceivedEntry> {
    const { conversation, hasBlocked } = await deps.access.with(caller.user, senderId, 'senderId');
    const seq = seqOf(conversation.id, messageId);
    const [entry] = seq === undefined ? [] : await deps.messages.get([{ conversation: conversation.id, seq }]);
    if (entry?.sender !== senderId || entry.hidden) throw new DuetError('NOT_FOUND', { message: 'Message not found' });
    return { entry, isIgnored: hasBlocked };
  }

  /** @returns what has become of the receipt, and when these messages were marked: now, or before */
  async function mark(kind: WatermarkKind, entry: Entry): Promise<{ advanced: Advanced | undefined; at: number }> {
    const { receiver: user, conversation, seq } = entry;
    const now = deps.clock.now();
    const advanced = await deps.commit.add({ kind, user, conversation, n: ordinal(entry), seq, at: now });
    return { advanced, at: advanced?.moved === 0 ? advanced.row[kind].at : now };
  }

  /** The reader's other devices take the badge away. */
  function tellReader(row: InboxRow, caller: Caller): void {
    const { seq, at } = row.read;
    const payload = { userId: row.peer, seq, readAt: iso(at), unreadCount: row.peerSent - row.read.n };
    deps.fanout.toUser(row.user, { name: 'conversation_read', payload }, { except: caller.socket });
  }

  const readReceipt = (entry: Entry, at: number): ReadReceipt => ({
    messageId: entry.id,
    readerId: entry.receiver,
    readAt: iso(at),
    seq: entry.seq,
  });

  async function tellSender(entry: Entry, at: number): Promise<ReadReceipt> {
    const payload = readReceipt(entry, at);
    const sight = (await deps.sights.forViewer(entry.sender, [entry.receiver]))(entry.receiver);
    if (sight.readReceipts) deps.fanout.toUser(entry.sender, { name: 'message_read_receipt', payload });
    return payload;
  }

  /** The newest message of the peer up to a place: old clients mark that one, newer ones all before it. */
  async function lastOf({ user: viewer, peer, conversation, lastSeq: seq }: InboxRow): Promise<Entry | undefined> {
    for (let before = seq + 1; before > 1; ) {
      const entries = await deps.messages.page({ conversation, viewer, before, limit: 100 });
      const last = entries.findLast((entry) => entry.sender === peer);
      if (last) return last;
      before = entries[0]?.seq ?? 0;
    }
    return undefined;
  }

  return {
    /**
     * The caller has read this message of the sender, and every earlier one.
     * @throws DuetError NOT_FOUND when the caller has received no such message from that sender
     */
    async read(caller: Caller, input: Received): Promise<ReadReceipt> {
      const { entry, isIgnored } = await received(caller, input);
      if (isIgnored) return readReceipt(entry, deps.clock.now());
      const { advanced, at } = await mark('read', entry);
      if (advanced && advanced.moved > 0) tellReader(advanced.row, caller);
      return tellSender(entry, at);
    },

    /**
     * A device of the caller has stored these messages, and every earlier one of their senders.
     * @throws DuetError NOT_FOUND when one of them is not a message to the caller: then nothing is marked
     */
    async delivered(caller: Caller, input: { receipts: Received[] }): Promise<ClientEventAnswer<'message_delivered'>> {
      const entries = await Promise.all(input.receipts.map((each) => received(caller, each)));
      const now = { advanced: undefined, at: deps.clock.now() };
      const marked = await Promise.all(
        entries.map(({ entry, isIgnored }) => (isIgnored ? now : mark('delivered', entry))),
      );
      const receipts = marked.map(({ advanced, at }, i) => {
        const { entry } = entries[i] as ReceivedEntry;
        const payload = { messageId: entry.id, receiverId: entry.receiver, deliveredAt: iso(at), seq: entry.seq };
        // What another device has told already is no news.
        if (advanced && advanced.moved > 0)
          deps.fanout.toUser(entry.sender, { name: 'message_delivered_receipt', payload });
        return payload;
      });
      return { receipts };
    },

    /**
     * The caller has read everything that this user sent.
     * @returns how many messages were unread
     * @throws DuetError VALIDATION_ERROR, NOT_FOUND (see access)
     */
    async readAll(caller: Caller, peerId: string): Promise<{ modifiedCount: number }> {
      const { conversation, hasBlocked } = await deps.access.with(caller.user, peerId, 'userId');
      if (hasBlocked) return { modifiedCount: 0 };
      const [mine] = await deps.conversations.get([{ user: caller.user, conversation: conversation.id }]);
      if (!mine || mine.peerSent === mine.read.n) return { modifiedCount: 0 };
      const last = await lastOf(mine);
      if (!last) return { modifiedCount: 0 };
      const { advanced, at } = await mark('read', last);
      if (!advanced || advanced.moved === 0) return { modifiedCount: 0 };
      tellReader(advanced.row, caller);
      await tellSender(last, at);
      return { modifiedCount: advanced.moved };
    },

    /** Resolves when every receipt under way has been answered. */
    idle: deps.commit.idle,
  };
}
export type Receipts = ReturnType<typeof createReceipts>;
