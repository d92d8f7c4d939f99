import type { Message, Participant, User, Watermarks } from '@duet/contract';
import { ordinal, UNMARKED } from './conversation.ts';
import type { Entry, InboxRow, Marks, SessionRecord, UserRecord, Watermark } from './ports.ts';

/** Times on the wire. */
export const iso = (ms: number): string => new Date(ms).toISOString();

/** What stands in the place of a deleted user's name. */
const DELETED_NAME = 'Deleted user';
/** Sorts behind every key, and no name or email begins with it. */
const NOBODY = '\u{10FFFF}';

/** What stands in the place of a name or an email that there is none of. */
export const keyOfNobody = (id: string): string => NOBODY + id;

/** What is left of a deleted user: whom the messages of others refer to. Name and email can be taken again. */
export const deletedFields = (id: string) => ({
  username: DELETED_NAME,
  usernameKey: keyOfNobody(id),
  email: '',
  emailKey: keyOfNobody(id),
  passwordHash: '',
});
export const isDeleted = ({ usernameKey }: Pick<UserRecord, 'usernameKey'>): boolean => usernameKey.startsWith(NOBODY);
/** The mark of a deleted user on the wire. */
export const deletedMark = (user: Pick<UserRecord, 'usernameKey'>): { isDeleted?: true } =>
  isDeleted(user) ? { isDeleted: true } : {};

/** A session as its user, and who looks after him, may see it. */
export const sessionView = ({ device, createdAt, lastUsedAt }: SessionRecord) => ({
  device,
  createdAt: iso(createdAt),
  lastUsedAt: iso(lastUsedAt),
});

/** A user as the wire shows it: field by field, so that a new column never leaks. */
export function userView(user: UserRecord, isOnline: boolean): User {
  return {
    _id: user.id,
    username: user.username,
    email: user.email,
    isOnline,
    lastSeen: iso(user.lastSeen),
    createdAt: iso(user.createdAt),
    ...deletedMark(user),
  };
}

/** Somebody as another one may see him, who may know whether he is there or not. */
export const personSeen = (person: Participant, presence: boolean): Participant =>
  presence || !person.isOnline ? person : { ...person, isOnline: false };

export const unreadOf = ({ peerSent, read }: Pick<InboxRow, 'peerSent' | 'read'>): number => peerSent - read.n;
/** Of somebody whom one has blocked nothing is waiting. */
export const unreadSeen = (row: InboxRow, { hasBlocked }: { hasBlocked: boolean }): number =>
  hasBlocked ? 0 : unreadOf(row);

/** Marks of somebody as another one may see them: who hides that he has read shows what has come, and no more. */
export const marksSeen = ({ read, delivered }: Marks, { readReceipts }: { readReceipts: boolean }): Marks => ({
  read: readReceipts ? read : UNMARKED,
  delivered,
});

export interface MessageViewer {
  /** Who looks at it: only the sender sees its tempId. */
  viewer: string;
  people: Map<string, Participant>;
  /** How far the receiver has got in this conversation. */
  receiver: Marks | undefined;
}

/**
 * Whether a mark takes an entry in. One that is hidden from its receiver counts for nobody and goes by its place: unread
 * for ever between messages that were read, it would tell its sender that he had been blocked.
 */
const markedIn =
  (entry: Entry) =>
  ({ n, seq }: Watermark): boolean =>
    entry.hidden ? entry.seq <= seq : ordinal(entry) <= n;

/** A log entry as the wire shows it to one of its two users. */
export function messageView(entry: Entry, { viewer, people, receiver }: MessageViewer): Message {
  const isMarked = markedIn(entry);
  const isRead = receiver !== undefined && isMarked(receiver.read);
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
  if (entry.unreadable) message.unreadable = true;
  if (viewer === entry.sender) message.tempId = entry.tempId;
  if (receiver === undefined) return message;
  const { read, delivered } = receiver;
  const isDelivered = isMarked(delivered);
  // The last of those that a mark took in: when the ones before were marked is not known any more.
  const isAmongLast = ({ from }: Watermark) => ordinal(entry) + (entry.hidden ? 1 : 0) > from;
  if (isRead || isDelivered) message.isDelivered = true;
  if (isDelivered && isAmongLast(delivered)) message.deliveredAt = iso(delivered.at);
  if (isRead && isAmongLast(read)) message.readAt = iso(read.at);
  return message;
}

/** Both sides' marks as one of them sees them. What was read has been delivered. */
export function watermarksView(mine: Marks, peer: Marks): Watermarks {
  return {
    readSeq: mine.read.seq,
    peerReadSeq: peer.read.seq,
    peerDeliveredSeq: Math.max(peer.delivered.seq, peer.read.seq),
  };
}
