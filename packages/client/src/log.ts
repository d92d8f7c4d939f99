import type { Outgoing } from './storage.ts';
import type { Message, MessageType, SyncedConversation, Watermarks } from './wire.ts';

/** A message as an app shows it. */
export interface ChatMessage {
  /** Stays the same from the first moment on: the tempId for own messages, else the id. */
  key: string;
  /** Place in the conversation: 1, 2, 3 …; undefined until the server has stored it. */
  seq: number | undefined;
  id: string | undefined;
  mine: boolean;
  content: string;
  messageType: MessageType;
  /** ISO 8601. */
  createdAt: string;
  /** How far an own message has come; a message of the peer is `received`. */
  state: 'sending' | 'sent' | 'delivered' | 'read' | 'failed' | 'received';
  /** Why it failed, for people. */
  problem?: string;
  /** The server cannot read any more what it said; the content is empty. */
  unreadable?: true;
}

type Stored = ChatMessage & { seq: number; id: string };

/** One conversation as far as it is known here. Each change makes a new one; messages that did not change stay. */
export interface Log {
  /** A stretch of the conversation without a hole, ending at the newest message that can be placed. */
  messages: readonly Stored[];
  /** What came before something that precedes it. */
  ahead: readonly Stored[];
  /** Own messages that are not stored yet, or not placed yet. */
  outgoing: readonly ChatMessage[];
  marks: Watermarks;
  /** The peer knows that messages of his up to here have come. */
  deliveredSeq: number;
  /** Unread messages up to `unreadAt`. */
  unread: number;
  unreadAt: number;
  /** Whether the newest page has been loaded for somebody to look at. */
  loaded: boolean;
  /** Whether there is nothing before the first message. */
  atStart: boolean;
}

export const emptyLog: Log = {
  messages: [],
  ahead: [],
  outgoing: [],
  marks: { readSeq: 0, peerReadSeq: 0, peerDeliveredSeq: 0 },
  deliveredSeq: 0,
  unread: 0,
  unreadAt: 0,
  loaded: false,
  atStart: false,
};

/** The last seq without a hole; 0 when nothing is known. */
export const lastSeqOf = ({ messages }: Log): number => messages.at(-1)?.seq ?? 0;
const firstSeqOf = ({ messages }: Log): number => messages[0]?.seq ?? 1;

/** A message that waits on the device, as it is shown: on its way, or failed with what the server said. */
export function fromOutbox({ tempId, content, messageType, createdAt, problem }: Outgoing): ChatMessage {
  const base = { key: tempId, seq: undefined, id: undefined, mine: true, content, messageType, createdAt };
  return problem === undefined ? { ...base, state: 'sending' } : { ...base, state: 'failed', problem };
}

function fromServer(message: Message, peerId: string): Stored {
  const mine = message.sender._id !== peerId;
  return {
    key: (mine && message.tempId) || message._id,
    seq: message.seq,
    id: message._id,
    mine,
    content: message.content,
    messageType: message.messageType,
    createdAt: message.createdAt,
    state: mine ? 'sent' : 'received',
    ...(message.unreadable ? { unreadable: true } : {}),
  };
}

function stateOf({ mine, seq }: Stored, marks: Watermarks): ChatMessage['state'] {
  if (!mine) return 'received';
  if (seq <= marks.peerReadSeq) return 'read';
  return seq <= marks.peerDeliveredSeq ? 'delivered' : 'sent';
}

/** Marks only rise, and what was read was delivered. */
function highest(one: Watermarks, other: Partial<Watermarks>): Watermarks {
  const peerReadSeq = Math.max(one.peerReadSeq, other.peerReadSeq ?? 0);
  return {
    readSeq: Math.max(one.readSeq, other.readSeq ?? 0),
    peerReadSeq,
    peerDeliveredSeq: Math.max(one.peerDeliveredSeq, other.peerDeliveredSeq ?? 0, peerReadSeq),
  };
}

/** Everything that is unread is known here: no message between the read mark and the first one is missing. */
const coversUnread = (log: Log, readSeq: number): boolean => log.atStart || firstSeqOf(log) <= readSeq + 1;

/** Brings messages' states and the unread count in line with the marks. */
function settled(log: Log): Log {
  const { marks } = log;
  const update = <T extends ChatMessage>(message: T): T => {
    if (message.seq === undefined) return message;
    const state = stateOf(message as Stored & T, marks);
    return state === message.state ? message : { ...message, state };
  };
  const unreadAfter = (seq: number) => log.messages.filter((message) => !message.mine && message.seq > seq).length;
  const counted = coversUnread(log, marks.readSeq);
  return {
    ...log,
    messages: log.messages.map(update),
    outgoing: log.outgoing.map(update),
    unread: counted ? unreadAfter(marks.readSeq) : log.unread + unreadAfter(log.unreadAt),
    unreadAt: counted ? lastSeqOf(log) : Math.max(log.unreadAt, lastSeqOf(log)),
  };
}

/** Puts what came ahead of its turn in its place as far as nothing is missing before it. */
function closeUp(log: Log, waiting: readonly Stored[]): Log {
  const messages = [...log.messages];
  const ahead: Stored[] = [];
  for (const message of [...waiting].sort((a, b) => a.seq - b.seq)) {
    const next = (messages.at(-1)?.seq ?? 0) + 1;
    if (message.seq === next) messages.push(message);
    else if (message.seq > next && ahead.at(-1)?.seq !== message.seq) ahead.push(message);
  }
  const outgoing = log.outgoing.flatMap((message) => {
    if (messages.findLast(({ key }) => key === message.key)) return [];
    // What is stored and neither here nor ahead has its place above what is shown.
    return ahead.find(({ key }) => key === message.key) ?? (message.seq === undefined ? message : []);
  });
  return settled({ ...log, messages, ahead, outgoing });
}

/** What is left when a log turns out to be another one, as after a backup was restored: what was never stored. */
const cleared = (log: Log): Log => ({
  ...emptyLog,
  loaded: log.loaded,
  outgoing: log.outgoing.filter(({ seq }) => seq === undefined),
});

/** The log, or what is left of it when another message stands at one of these places. */
function unlessRewritten(log: Log, stored: readonly Stored[]): Log {
  const known = new Map(log.messages.map((message) => [message.seq, message]));
  const isOther = ({ seq, createdAt }: Stored) => (known.get(seq)?.createdAt ?? createdAt) !== createdAt;
  return stored.some(isOther) ? cleared(log) : log;
}

/**
 * A single message, from a live event or an answer: in whatever order they come, each stands once, at its place.
 * @returns the same log when the message is known
 */
export function arrive(before: Log, peerId: string, message: Message): Log {
  const stored = fromServer(message, peerId);
  const log = unlessRewritten(before, [stored]);
  const isOnItsWay = log.outgoing.some(({ key, seq }) => key === stored.key && seq === undefined);
  const isKnown = stored.seq <= lastSeqOf(log) || log.ahead.some(({ seq }) => seq === stored.seq);
  if (isKnown && !isOnItsWay) return log;
  // The answer to a repeat: it may have its place far above what is shown.
  const known = stored.seq <= lastSeqOf(log) ? dropOutgoing(log, stored.key) : log;
  return closeUp(known, [...log.ahead, stored]);
}

/** Messages as the store has them, in order, and next to which place they were asked for. */
interface Stretch {
  messages: readonly Message[];
  /** They lie right behind this place, the last that was known. */
  after?: number | undefined;
  /** They lie right before this place, the first that was known. */
  before?: number | undefined;
}

/**
 * A stretch of the log, from the store: nothing of it is missing, though places may be that are for others alone. Where it
 * does not touch what is known, the newer one stays.
 */
export function addStretch(known: Log, peerId: string, { messages: page, after, before }: Stretch): Log {
  const stretch = page.map((message) => fromServer(message, peerId));
  const log = unlessRewritten(known, stretch);
  const [first, last] = [stretch[0], stretch.at(-1)];
  if (!first || !last) return closeUp(log, log.ahead);
  const [from, to] = [firstSeqOf(log), lastSeqOf(log)];
  let messages: Stored[];
  const isBehind = first.seq <= to + 1 || (after !== undefined && after > 0 && after <= to);
  const isBefore = last.seq >= from - 1 || (before !== undefined && before >= from);
  if (to === 0 || !isBehind) messages = stretch;
  else if (!isBefore) messages = [...log.messages];
  else
    messages = [...stretch.filter(({ seq }) => seq < from), ...log.messages, ...stretch.filter(({ seq }) => seq > to)];
  const start = messages[0]?.seq ?? 0;
  const theirs = page.findLast(({ sender, isDelivered, isRead }) => sender._id === peerId && (isDelivered || isRead));
  const deliveredSeq = Math.max(log.deliveredSeq, theirs?.seq ?? 0);
  const atStart = start === 1 || (log.atStart && start === from);
  return closeUp({ ...log, messages, deliveredSeq, atStart }, log.ahead);
}

/** A page of which nothing more is known than what is in it. */
export const addPage = (log: Log, peerId: string, messages: readonly Message[]): Log =>
  addStretch(log, peerId, { messages });

/** What a list or a sync says of a conversation: as it stood when `lastSeq` was its newest message. */
export type Standing = Pick<SyncedConversation, 'messages' | 'lastSeq' | 'unreadCount' | 'watermarks'> & {
  reset?: true | undefined;
  /** The last place that was known when it was asked for. */
  after?: number | undefined;
};

/** A list or a sync says how the conversation stands. Its unread count is old, and ignored, if its read mark is. */
export function addStanding(log: Log, peerId: string, standing: Standing): Log {
  const { messages, lastSeq, unreadCount, watermarks, reset, after } = standing;
  const base = reset ? cleared(log) : log;
  const isNews = watermarks.readSeq >= base.marks.readSeq;
  const count = isNews ? { unread: unreadCount, unreadAt: lastSeq } : {};
  return addStretch({ ...base, ...count, marks: highest(base.marks, watermarks) }, peerId, { messages, after });
}

/** Watermarks as far as they are higher than those that are known. */
export const raise = (log: Log, marks: Partial<Watermarks>): Log =>
  settled({ ...log, marks: highest(log.marks, marks) });

/** The user has read up to there on another device. @returns undefined when the unread count cannot be known here */
export function readElsewhere(log: Log, seq: number): Log | undefined {
  return coversUnread(log, seq) ? raise(log, { readSeq: seq }) : undefined;
}

/** The newest message of the peer that has not been acknowledged as delivered, or as read. */
export function unacknowledged(log: Log, how: 'delivered' | 'read'): { messageId: string; seq: number } | undefined {
  const known = how === 'read' ? log.marks.readSeq : Math.max(log.deliveredSeq, log.marks.readSeq);
  const last = log.messages.findLast(({ mine }) => !mine);
  return last && last.seq > known ? { messageId: last.id, seq: last.seq } : undefined;
}

/** Shows an own message that is on its way, or was refused; in the order in which they were written. */
export function addOutgoing(log: Log, message: ChatMessage): Log {
  const known = (messages: readonly ChatMessage[]) => messages.some(({ key }) => key === message.key);
  if (known(log.messages) || known(log.ahead)) return log;
  const isShown = known(log.outgoing);
  const outgoing = isShown
    ? log.outgoing.map((each) => (each.key === message.key ? message : each))
    : [...log.outgoing, message].sort((a, b) => (a.key < b.key ? -1 : 1));
  return { ...log, outgoing };
}

/** Nothing of that key is on its way any more: it was given up, or is known to be stored. */
export function dropOutgoing(log: Log, key: string): Log {
  const outgoing = log.outgoing.filter((message) => message.key !== key);
  return outgoing.length === log.outgoing.length ? log : { ...log, outgoing };
}
