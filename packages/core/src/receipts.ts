import { DuetError, type ServerEvent } from '@duet/contract';
import type { AccessRules } from './access.ts';
import { ordinal, seqOf } from './conversation.ts';
import type { Caller } from './messages.ts';
import type { Clock, ConversationStore, Fanout, MessageStore, ReceiptStore } from './ports.ts';
import { iso } from './views.ts';

export interface ReceiptDeps {
  access: AccessRules;
  messages: MessageStore;
  conversations: ConversationStore;
  receipts: ReceiptStore;
  fanout: Fanout;
  clock: Clock;
}

type ReadReceipt = ServerEvent<'message_read_receipt'>;

/** Read receipts are watermarks: reading a message reads every earlier one of its sender, and nothing goes back. */
export function createReceipts(deps: ReceiptDeps) {
  function tellSender(sender: string, receipt: ReadReceipt): void {
    deps.fanout.toUser(sender, { name: 'message_read_receipt', payload: receipt });
  }

  return {
    /**
     * The caller has read this message of the sender, and every earlier one.
     * @throws DuetError NOT_FOUND when the caller has received no such message from that sender
     */
    async read(caller: Caller, input: { messageId: string; senderId: string }): Promise<ReadReceipt> {
      const { conversation } = await deps.access.with(caller.user, input.senderId, 'senderId');
      const seq = seqOf(conversation.id, input.messageId);
      const [entry] = seq === undefined ? [] : await deps.messages.get([{ conversation: conversation.id, seq }]);
      if (entry?.sender !== input.senderId) throw new DuetError('NOT_FOUND', { message: 'Message not found' });
      const at = deps.clock.now();
      const advance = { user: caller.user, conversation: conversation.id, readN: ordinal(entry), at };
      const advanced = await deps.receipts.advance(advance);
      // Read before: the time at which it was, not that of this repeat.
      const readAt = advanced?.moved === 0 ? advanced.row.readAt : at;
      const receipt = { messageId: entry.id, readerId: caller.user, readAt: iso(readAt) };
      tellSender(entry.sender, receipt);
      return receipt;
    },

    /**
     * The caller has read everything that this user sent.
     * @returns how many messages were unread
     * @throws DuetError VALIDATION_ERROR, NOT_FOUND (see access)
     */
    async readAll(caller: Caller, peerId: string): Promise<{ modifiedCount: number }> {
      const { conversation } = await deps.access.with(caller.user, peerId, 'userId');
      const [mine] = await deps.conversations.get([{ user: caller.user, conversation: conversation.id }]);
      if (!mine || mine.peerSent === mine.readN) return { modifiedCount: 0 };
      const at = deps.clock.now();
      const advance = { user: caller.user, conversation: conversation.id, readN: mine.peerSent, at };
      const moved = (await deps.receipts.advance(advance))?.moved ?? 0;
      if (moved > 0)
        await tellOfLast(caller.user, peerId, { conversation: conversation.id, lastSeq: mine.lastSeq, at });
      return { modifiedCount: moved };
    },
  };

  /** The receipt names the newest message of the peer: old clients mark that one, newer ones all before it. */
  async function tellOfLast(
    reader: string,
    peer: string,
    where: { conversation: string; lastSeq: number; at: number },
  ) {
    for (let before = where.lastSeq + 1; before > 1; ) {
      const entries = await deps.messages.page({ conversation: where.conversation, before, limit: 100 });
      const last = entries.findLast((entry) => entry.sender === peer);
      if (last) return tellSender(peer, { messageId: last.id, readerId: reader, readAt: iso(where.at) });
      before = entries[0]?.seq ?? 0;
    }
  }
}
export type Receipts = ReturnType<typeof createReceipts>;
