import type { Message, Participant, User } from '@duet/contract';
import { ordinal } from './conversation.ts';
import type { Entry, InboxRow, UserRecord } from './ports.ts';

/** Times on the wire. */
export const iso = (ms: number): string => new Date(ms).toISOString();

/** A user as the wire shows it: field by field, so that a new column never leaks. */
export function userView(user: UserRecord, isOnline: boolean): User {
  return {
    _id: user.id,
    username: user.username,
    email: user.email,
    isOnline,
    lastSeen: iso(user.lastSeen),
    createdAt: iso(user.createdAt),
  };
}

/** How far somebody has read: the part of an inbox row that message views need. */
export type Watermark = Pick<InboxRow, 'readN' | 'readFrom' | 'readAt'>;

export interface MessageViewer {
  /** Who looks at it: only the sender sees its tempId. */
  viewer: string;
  people: Map<string, Participant>;
  /** The receiver's watermark in this conversation. */
  receiverRead: Watermark | undefined;
}

/** A log entry as the wire shows it to one of its two users. */
export function messageView(entry: Entry, { viewer, people, receiverRead }: MessageViewer): Message {
  const n = ordinal(entry);
  const isRead = receiverRead !== undefined && n <= receiverRead.readN;
  const person = (id: string): Participant => people.get(id) ?? { _id: id, username: '', isOnline: false };
  const message: Message = {
    _id: entry.id,
    sender: person(entry.sender),
    receiver: person(entry.receiver),
    content: entry.content,
    isRead,
    messageType: entry.messageType,
    createdAt: iso(entry.createdAt),
    seq: entry.seq,
  };
  if (viewer === entry.sender) message.tempId = entry.tempId;
  if (isRead && n > receiverRead.readFrom) message.readAt = iso(receiverRead.readAt);
  return message;
}
