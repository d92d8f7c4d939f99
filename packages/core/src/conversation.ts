import { hash } from 'node:crypto';
import type { Draft, Entry, InboxRow, Receipt, Tail, Watermark } from './ports.ts';

const ID_LENGTH = 32;

/** The conversation of two users: its id, the same for both, and the users in the order that `Entry.sent` counts them. */
export interface ConversationKey {
  id: string;
  users: [low: string, high: string];
}

/**
 * A fixed hash of both user ids: nothing to look up, and evenly spread over shards.
 * @returns an id of 32 hex digits (128 bits of SHA-256)
 */
export function conversationOf(one: string, other: string): ConversationKey {
  const users: [string, string] = one < other ? [one, other] : [other, one];
  return { id: hash('sha256', users[0] + users[1]).slice(0, ID_LENGTH), users };
}

/** The id of the message at a place: 8 bytes of the conversation, 4 of seq. Unique without asking anybody, and it finds itself. */
export function messageId(conversation: string, seq: number): string {
  return conversation.slice(0, 16) + seq.toString(16).padStart(8, '0');
}

/** The place that a message id of this conversation names; undefined when it belongs to another one. */
export function seqOf(conversation: string, id: string): number | undefined {
  return id.startsWith(conversation.slice(0, 16)) ? Number.parseInt(id.slice(16), 16) : undefined;
}

/** The place of the last entry that a user sees, of those up to `last`; 0: none, undefined: to be found by reading. */
export function lastShown(viewer: string, last: Tail | undefined): number | undefined {
  if (last === undefined) return 0;
  return last.hidden && last.receiver === viewer ? last.shown : last.seq;
}

/** The entry that a draft becomes behind `last`, the newest entry of its conversation (undefined: it is the first). */
export function nextEntry(draft: Draft, last: Tail | undefined): Entry {
  const seq = (last?.seq ?? 0) + 1;
  const [low, high] = last?.sent ?? [0, 0];
  const more = draft.hidden ? 0 : 1;
  const sent: [number, number] = draft.sender < draft.receiver ? [low + more, high] : [low, high + more];
  const entry: Entry = { ...draft, id: messageId(draft.conversation, seq), seq, sent };
  const shown = draft.hidden ? lastShown(draft.receiver, last) : undefined;
  if (shown !== undefined) entry.shown = shown;
  return entry;
}

/** The watermark of somebody who has marked nothing. */
export const UNMARKED: Watermark = { n: 0, from: 0, seq: 0, at: 0 };

/**
 * What a receipt makes of a watermark. It ends with what the row knows, in number and in place: the row may be older than
 * the message that the receipt is for, and what follows in it is not marked.
 */
export function raised(
  before: Watermark,
  { n, seq, at }: Receipt,
  { peerSent, lastSeq }: Pick<InboxRow, 'peerSent' | 'lastSeq'>,
): Watermark {
  const most = Math.min(n, peerSent);
  return most > before.n ? { n: most, from: before.n, seq: Math.min(seq, lastSeq), at } : before;
}

type Counted = Pick<Entry, 'sender' | 'receiver' | 'sent'>;

/** The number of a message among those of its sender in this conversation: what read watermarks count. */
export function ordinal(entry: Counted): number {
  return entry.sent[entry.sender < entry.receiver ? 0 : 1];
}

/** How many messages a user of the entry has sent up to it. */
export function sentBy(user: string, entry: Counted): number {
  return user === entry.sender ? ordinal(entry) : entry.sent[entry.sender < entry.receiver ? 1 : 0];
}
