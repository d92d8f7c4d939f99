import {
  addOutgoing,
  addStanding,
  addStretch,
  arrive,
  type ChatMessage,
  dropOutgoing,
  emptyLog,
  type Log,
  lastSeqOf,
  raise,
  readElsewhere,
  type Standing,
  unacknowledged,
} from './log.ts';
import { type ChatState, listOf, type Person, type Store, threadsOf } from './state.ts';
import type { Message, Participant, User, Watermarks } from './wire.ts';

/** A page of history, as the server gives it. */
interface Page {
  messages: Message[];
  watermarks: Watermarks;
}

export interface BookDeps {
  store: Store<ChatState>;
  /** A message of a peer stands at its place for the first time, and has not been read on another device. */
  onMessage: (peerId: string, message: ChatMessage) => void;
  /** This device has the peer's messages up to this one. */
  onDelivered: (peerId: string, messageId: string) => void;
}

/** Conversations that a sync names: the newest ones, as many as one request may hold. */
const MAX_NAMED = 1_000;

/** Somebody of whom it is not known, or not to be seen, whether he is there. */
const unknown = { isOnline: false, lastSeen: undefined };

/** Everything that is known of conversations and people: takes facts from whichever side, and shows them as state. */
export function createBook({ store, onMessage, onDelivered }: BookDeps) {
  const logs = new Map<string, Log>();
  const people = new Map<string, Person>();
  /** Messages that were there before the first sync are no news. */
  let announces = false;
  let isListed = false;
  let peopleMoved = false;
  /** Counts what is asked, and what is told, of presence: an answer is as old as its question. */
  let moment = 0;
  /** Since which moment it is known of somebody. */
  const presentSince = new Map<string, number>();
  /** Found while what is known is being changed, told when it is shown: whoever hears of a message finds it. */
  let news: [peerId: string, message: ChatMessage][] = [];

  const logOf = (peerId: string): Log => logs.get(peerId) ?? emptyLog;
  const personOf = (id: string): Person => people.get(id) ?? { id, username: '', isOnline: false, lastSeen: undefined };

  function notePerson(id: string, news: Partial<Person>): void {
    const known = personOf(id);
    const person = { ...known, ...news };
    const isNew = !people.has(id) || (Object.keys(news) as (keyof Person)[]).some((key) => known[key] !== person[key]);
    if (!isNew) return;
    people.set(id, person);
    peopleMoved = true;
  }
  /** @param at when it was so; now, when it is told */
  function notePresence(id: string, presence: Pick<Person, 'isOnline' | 'lastSeen'>, at = ++moment): void {
    if ((presentSince.get(id) ?? 0) > at) return;
    presentSince.set(id, at);
    notePerson(id, presence);
  }
  /** Of whoever hides himself the server says that he was last seen when he registered, as if never. */
  function noteUser({ _id, username, isOnline, lastSeen, createdAt }: User, asked: number): Person {
    notePerson(_id, { username });
    notePresence(_id, { isOnline, lastSeen: lastSeen === createdAt ? undefined : lastSeen }, asked);
    return personOf(_id);
  }
  /** What a message says of presence may be old. */
  function noteParticipants(peerId: string, [message]: readonly Message[]): void {
    if (!message) return;
    const peer: Participant = message.sender._id === peerId ? message.sender : message.receiver;
    if (people.has(peerId)) notePerson(peerId, { username: peer.username });
    else notePerson(peerId, { username: peer.username, isOnline: peer.isOnline });
  }

  function set(peerId: string, next: Log): void {
    const before = lastSeqOf(logOf(peerId));
    const due = unacknowledged(next, 'delivered');
    logs.set(peerId, due ? { ...next, deliveredSeq: due.seq } : next);
    if (due) onDelivered(peerId, due.messageId);
    if (!announces) return;
    const known = Math.max(before, next.marks.readSeq);
    for (const message of next.messages) if (!message.mine && message.seq > known) news.push([peerId, message]);
  }

  function show(changed: Iterable<string>, patch: Partial<ChatState> = {}): void {
    const state = store.getState();
    const threads = threadsOf(changed, logOf, state.threads);
    const conversations = isListed ? listOf(logs, personOf, state.conversations) : undefined;
    store.update({ threads, conversations, ...(peopleMoved ? { people: Object.fromEntries(people) } : {}), ...patch });
    peopleMoved = false;
    const told = news;
    news = [];
    for (const [peerId, message] of told) onMessage(peerId, message);
  }

  function change(peerId: string, how: (log: Log) => Log): void {
    const known = logOf(peerId);
    const next = how(known);
    if (next !== known) set(peerId, next);
    else if (!peopleMoved) return; // Nobody is told of what changes nothing.
    show(next === known ? [] : [peerId]);
  }

  const peerOf = ({ sender, receiver }: Message, me: string): string => (sender._id === me ? receiver._id : sender._id);

  return {
    logOf,
    personOf,
    /** Somebody has come or gone; or hides himself from now on: then he was last seen before what is known. */
    noteStatus(id: string, isOnline: boolean, lastSeen: string): void {
      const isHidden = lastSeen < (personOf(id).lastSeen ?? '');
      notePresence(id, { isOnline, lastSeen: isHidden ? undefined : lastSeen });
      show([]);
    },
    /** Something is asked for that says who is online. @returns the moment, for what is answered */
    ask: (): number => ++moment,
    noteUsers(users: User[], asked: number): Person[] {
      const found = users.map((user) => noteUser(user, asked));
      show([]);
      return found;
    },
    /** All that could be asked then has been answered: of whoever was not in it, it is not known any more. */
    answered(asked: number): void {
      for (const [id, at] of presentSince) if (at < asked) notePresence(id, unknown, asked);
      if (peopleMoved) show([]);
    },
    /** Of nobody it is seen any more whether he is online, also of those who stand in no list. */
    hidePresence(): void {
      for (const id of people.keys()) notePresence(id, unknown);
      show([]);
    },
    /** @returns the peer */
    arrived(message: Message, me: string): string {
      const peerId = peerOf(message, me);
      noteParticipants(peerId, [message]);
      change(peerId, (log) => arrive(log, peerId, message));
      return peerId;
    },
    /** A page of history. */
    paged(peerId: string, { messages, watermarks }: Page, before?: number): void {
      noteParticipants(peerId, messages);
      change(peerId, (log) => ({ ...raise(addStretch(log, peerId, { messages, before }), watermarks), loaded: true }));
    },
    /** There is nothing before what is known. */
    beginsHere: (peerId: string) => change(peerId, (log) => raise({ ...log, atStart: true }, {})),
    /** What a list, asked for at that moment, or a sync says, all at once. */
    stand(standings: { userId: string; peer?: User; standing: Standing }[], asked = moment): void {
      for (const { userId, peer, standing } of standings) {
        if (peer) noteUser(peer, asked);
        isListed ||= peer !== undefined;
        noteParticipants(userId, standing.messages);
        set(userId, addStanding(logOf(userId), userId, standing));
      }
      show(standings.map(({ userId }) => userId));
    },
    /** The first complete sync has come: from now on messages are news. */
    complete(): void {
      announces = true;
      isListed = true;
      show([], { synced: true });
    },
    raise: (peerId: string, marks: Partial<Watermarks>) =>
      logs.has(peerId) && change(peerId, (log) => raise(log, marks)),
    /** @returns whether it could be told what is left unread */
    readElsewhere(peerId: string, seq: number): boolean {
      const next = readElsewhere(logOf(peerId), seq);
      if (next) change(peerId, () => next);
      return next !== undefined;
    },
    /** The user has seen what is shown. @returns the message to acknowledge, if it is one more than before */
    read(peerId: string): { messageId: string; seq: number } | undefined {
      const due = unacknowledged(logOf(peerId), 'read');
      if (due) change(peerId, (log) => raise(log, { readSeq: due.seq }));
      return due;
    },
    outgoing: (peerId: string, message: ChatMessage) => change(peerId, (log) => addOutgoing(log, message)),
    dropped: (peerId: string, key: string) => change(peerId, (log) => dropOutgoing(log, key)),
    typing(peerId: string, isTyping: boolean): void {
      const { [peerId]: before, ...others } = store.getState().typing;
      if (Boolean(before) !== isTyping) store.update({ typing: isTyping ? { ...others, [peerId]: true } : others });
    },
    hasHole: (): boolean => [...logs.values()].some(({ ahead }) => ahead.length > 0),
    /** What is known, as a sync names it. */
    known(): Record<string, [number, number, number, number]> {
      const named = [...logs].filter(([, log]) => log.messages.length > 0);
      const createdAt = ([, log]: [string, Log]) => log.messages.at(-1)?.createdAt ?? '';
      if (named.length > MAX_NAMED) named.sort((a, b) => (createdAt(a) < createdAt(b) ? 1 : -1));
      return Object.fromEntries(
        named.slice(0, MAX_NAMED).map(([peerId, log]) => {
          const { readSeq, peerReadSeq, peerDeliveredSeq } = log.marks;
          return [peerId, [lastSeqOf(log), readSeq, peerReadSeq, peerDeliveredSeq]];
        }),
      );
    },
  };
}
export type Book = ReturnType<typeof createBook>;
