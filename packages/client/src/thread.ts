import type { Message } from '@duet/contract';
import type { Outgoing } from './outbox.ts';

/** A message as an app shows it. */
export interface ChatMessage {
  /** Stays the same from the first moment on: the tempId for own messages, else the id. */
  key: string;
  /** Place in the conversation; undefined until the server has stored it. */
  seq: number | undefined;
  id: string | undefined;
  mine: boolean;
  content: string;
  createdAt: string;
  state: 'sending' | 'sent' | 'read' | 'failed';
  /** Why it failed, for people. */
  problem?: string;
}

/** One conversation as far as it is known here. */
export interface Thread {
  messages: ChatMessage[];
  /** The newest seq up to which nothing is missing. */
  upTo: number;
  /** Whether the oldest message is known. */
  complete: boolean;
  loading: boolean;
}

export const emptyThread: Thread = { messages: [], upTo: 0, complete: false, loading: true };

export function fromServer(message: Message, me: string): ChatMessage {
  const mine = message.sender._id === me;
  return {
    key: (mine && message.tempId) || message._id,
    seq: message.seq,
    id: message._id,
    mine,
    content: message.content,
    createdAt: message.createdAt,
    state: message.isRead ? 'read' : 'sent',
  };
}

export function fromOutbox({ tempId, content, createdAt }: Outgoing): ChatMessage {
  return { key: tempId, seq: undefined, id: undefined, mine: true, content, createdAt, state: 'sending' };
}

/** Stored messages by seq, whatever the order in which they came; what is still on its way stays below them. */
const place = (message: ChatMessage): number => message.seq ?? Number.MAX_SAFE_INTEGER;

/** Each message once, in the conversation's order. Read stays read. */
export function merge(known: readonly ChatMessage[], incoming: readonly ChatMessage[]): ChatMessage[] {
  const byKey = new Map(known.map((message) => [message.key, message]));
  for (const message of incoming) {
    const before = byKey.get(message.key);
    byKey.set(message.key, before?.state === 'read' ? { ...message, state: 'read' } : message);
  }
  return [...byKey.values()].sort((a, b) => place(a) - place(b));
}

/** How far a list has no hole, going on from `upTo`. */
export function contiguous(messages: readonly ChatMessage[], upTo: number): number {
  let end = upTo;
  for (const { seq } of messages) if (seq === end + 1) end = seq;
  return end;
}

/** Marks own messages up to a seq as read. */
export function readUpTo(messages: readonly ChatMessage[], seq: number): ChatMessage[] {
  return messages.map((message) =>
    message.mine && message.seq !== undefined && message.seq <= seq ? { ...message, state: 'read' } : message,
  );
}
