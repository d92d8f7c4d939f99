import { type ClientEventAnswer, DuetError, type ServerEvent } from '@duet/contract';
import type { Access, AccessRules } from './access.ts';
import { ordinal, sentBy, seqOf } from './conversation.ts';
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

/**
 * A message to the caller. Receipts for those of somebody whom he has blocked are answered and leave no trace; of those
 * for somebody who has blocked him nobody is told.
 */
type ReceivedEntry = { entry: Entry; isIgnored: boolean; isBlocked: boolean };

type Place = { conversation: string; seq: number };
const messageNotFound = () => new DuetError('NOT_FOUND', { message: 'Message not found' });

/**
 * Receipts are watermarks: a receipt for a message is one for every earlier message of its sender, and nothing goes
 * back. (tinode/chat#869 tells why single receipts cannot be kept.)
 */
export function createReceipts(deps: ReceiptDeps) {
  /**
   * One that is missing is asked for once more, surely. Of several none: whoever names them is told that one does not
   * exist, and names them one by one; made-up ones by the hundred must not cost as much as they would.
   */
  async function findMissing(places: Map<string, Place>, found: Map<string, Entry>): Promise<Entry[]> {
    const [missing, another] = [...places].filter(([id]) => !found.has(id));
    return missing === undefined || another !== undefined ? [] : deps.messages.get([missing[1]], { sure: true });
  }

  /**
   * Whatever there are of them, senders are looked up once each, and messages all together.
   * @throws DuetError VALIDATION_ERROR, NOT_FOUND, UNAUTHORIZED (see access); NOT_FOUND when the caller has received no such
   * message from that sender
   */
  async function received(caller: Caller, all: Received[]): Promise<ReceivedEntry[]> {
    const senders = new Map<string, Access>();
    for (const senderId of new Set(all.map((each) => each.senderId)))
      senders.set(senderId, await deps.access.with(caller.user, senderId, 'senderId'));
    const places = new Map<string, Place>();
    for (const { messageId, senderId } of all) {
      const conversation = (senders.get(senderId) as Access).conversation.id;
      const seq = seqOf(conversation, messageId);
      if (seq === undefined) throw messageNotFound();
      places.set(messageId, { conversation, seq });
    }
    const entries = new Map((await deps.messages.get([...places.values()])).map((entry) => [entry.id, entry]));
    for (const entry of await findMissing(places, entries)) entries.set(entry.id, entry);
    return all.map(({ messageId, senderId }) => {
      const entry = entries.get(messageId);
      if (entry?.sender !== senderId || entry.hidden) throw messageNotFound();
      const { hasBlocked, isBlocked } = senders.get(senderId) as Access;
      return { entry, isIgnored: hasBlocked, isBlocked };
    });
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

  async function tellSender(entry: Entry, at: number, isBlocked: boolean): Promise<ReadReceipt> {
    const payload = readReceipt(entry, at);
    if (isBlocked) return payload;
    const sight = (await deps.sights.forViewer(entry.sender, [entry.receiver]))(entry.receiver);
    if (sight.readReceipts) deps.fanout.toUser(entry.sender, { name: 'message_read_receipt', payload });
    return payload;
  }

  /** The first entry up to a place by which the peer has sent so many. Every entry knows that number, so it is halved. */
  async function firstWith({ peer, conversation, peerSent }: InboxRow, last: number): Promise<Entry | undefined> {
    let found: Entry | undefined;
    for (let [low, high] = [1, last]; low <= high; ) {
      const seq = low + Math.floor((high - low) / 2);
      const [entry] = await deps.messages.get([{ conversation, seq }]);
      if (!entry) return undefined;
      if (sentBy(peer, entry) < peerSent) {
        low = seq + 1;
      } else {
        found = entry;
        high = seq - 1;
      }
    }
    return found;
  }

  /** The newest message of the peer: old clients mark that one, newer ones all before it. */
  async function lastOf(row: InboxRow): Promise<Entry | undefined> {
    const { user: viewer, peer, conversation, lastSeq } = row;
    const entries = await deps.messages.page({ conversation, viewer, before: lastSeq + 1, limit: 100 });
    const last = entries.findLast((entry) => entry.sender === peer);
    // Whoever goes on writing without reading must not make his reading expensive.
    return last ?? firstWith(row, (entries[0]?.seq ?? 1) - 1);
  }

  return {
    /**
     * The caller has read this message of the sender, and every earlier one.
     * @throws DuetError VALIDATION_ERROR, NOT_FOUND, UNAUTHORIZED (see access); NOT_FOUND when the caller has received no
     * such message from that sender
     */
    async read(caller: Caller, input: Received): Promise<ReadReceipt> {
      const [{ entry, isIgnored, isBlocked }] = (await received(caller, [input])) as [ReceivedEntry];
      if (isIgnored) return readReceipt(entry, deps.clock.now());
      const { advanced, at } = await mark('read', entry);
      if (advanced && advanced.moved > 0) tellReader(advanced.row, caller);
      return tellSender(entry, at, isBlocked);
    },

    /**
     * A device of the caller has stored these messages, and every earlier one of their senders.
     * @throws DuetError VALIDATION_ERROR, NOT_FOUND, UNAUTHORIZED (see access); NOT_FOUND when one of them is not a message
     * to the caller: nothing is marked then
     */
    async delivered(caller: Caller, input: { receipts: Received[] }): Promise<ClientEventAnswer<'message_delivered'>> {
      const all = await received(caller, input.receipts);
      // The newest of each sender: it stands for those before it.
      const newest = new Map<string, ReceivedEntry>();
      for (const each of all.toSorted((a, b) => a.entry.seq - b.entry.seq)) newest.set(each.entry.sender, each);
      const at = new Map<string, string>();
      const receiptFor = ({ id, sender, receiver, seq }: Entry) => ({
        messageId: id,
        receiverId: receiver,
        deliveredAt: at.get(sender) as string,
        seq,
      });
      async function markNewest({ entry, isIgnored, isBlocked }: ReceivedEntry): Promise<void> {
        const marked = isIgnored ? { advanced: undefined, at: deps.clock.now() } : await mark('delivered', entry);
        at.set(entry.sender, iso(marked.at));
        // What another device has told already is no news.
        if (isBlocked || !marked.advanced || marked.advanced.moved === 0) return;
        deps.fanout.toUser(entry.sender, { name: 'message_delivered_receipt', payload: receiptFor(entry) });
      }
      await Promise.all([...newest.values()].map(markNewest));
      return { receipts: all.map(({ entry }) => receiptFor(entry)) };
    },

    /**
     * The caller has read everything that this user sent.
     * @returns how many messages were unread
     * @throws DuetError VALIDATION_ERROR, NOT_FOUND, UNAUTHORIZED (see access)
     */
    async readAll(caller: Caller, peerId: string): Promise<{ modifiedCount: number }> {
      const { conversation, hasBlocked, isBlocked } = await deps.access.with(caller.user, peerId, 'userId');
      if (hasBlocked) return { modifiedCount: 0 };
      const [mine] = await deps.conversations.get([{ user: caller.user, conversation: conversation.id }]);
      if (!mine || mine.peerSent === mine.read.n) return { modifiedCount: 0 };
      const last = await lastOf(mine);
      if (!last) return { modifiedCount: 0 };
      const { advanced, at } = await mark('read', last);
      if (!advanced || advanced.moved === 0) return { modifiedCount: 0 };
      tellReader(advanced.row, caller);
      await tellSender(last, at, isBlocked);
      return { modifiedCount: advanced.moved };
    },

    /** Resolves when every receipt under way has been answered. */
    idle: deps.commit.idle,
  };
}
export type Receipts = ReturnType<typeof createReceipts>;
