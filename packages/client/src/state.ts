import type { ConnectionState } from './connection.ts';
import { createEmitter } from './emitter.ts';
import type { ChatMessage, Log } from './log.ts';
import type { User } from './wire.ts';

/** Somebody else, as far as is known. */
export interface Person {
  id: string;
  username: string;
  isOnline: boolean;
  /** ISO 8601; undefined until the server has said it, and while he hides it. */
  lastSeen: string | undefined;
}

/** A line of the list of conversations. */
export interface Conversation {
  peer: Person;
  /** The newest one; it may still be on its way, or have failed. */
  lastMessage: ChatMessage;
  unreadCount: number;
}

/** The messages of a conversation: first those that are stored, in order and without a hole, then those on their way. */
export interface Thread {
  messages: readonly ChatMessage[];
  /** There is nothing to show yet. */
  loading: boolean;
  /** The newest page has been loaded. Before that there may be the newest message alone. */
  hasNewest: boolean;
  hasOlder: boolean;
  /** Up to this place the user has read what the peer has written. */
  readSeq: number;
}

/** Everything that an app shows. Each change makes a new object, and keeps what did not change as it was. */
export interface ChatState {
  connection: ConnectionState;
  /** Nothing was missed, as far as is known. */
  synced: boolean;
  me: User | undefined;
  /** Newest first; undefined until they are known. */
  conversations: readonly Conversation[] | undefined;
  threads: Readonly<Record<string, Thread>>;
  /** Everybody whom the chat has heard of. */
  people: Readonly<Record<string, Person>>;
  /** Those who type to this user now. */
  typing: Readonly<Record<string, true>>;
}

export const initialState: ChatState = {
  connection: 'offline',
  synced: false,
  me: undefined,
  conversations: undefined,
  threads: {},
  people: {},
  typing: {},
};

/** An observable value; `subscribe` and `getState` fit React's useSyncExternalStore. */
export function createStore<S extends object>(initial: S) {
  let state = initial;
  const changes = createEmitter<{ change: undefined }>();
  return {
    getState: (): S => state,
    update(patch: Partial<S>): void {
      state = { ...state, ...patch };
      changes.emit('change', undefined);
    },
    /** @returns a function that ends the subscription */
    subscribe: (listener: () => void): (() => void) => changes.on('change', listener),
  };
}
export type Store<S extends object> = ReturnType<typeof createStore<S>>;

function threadOf({ messages, outgoing, loaded, atStart, marks }: Log): Thread {
  return {
    messages: [...messages, ...outgoing],
    loading: !loaded && messages.length === 0 && outgoing.length === 0,
    hasNewest: loaded,
    hasOlder: !atStart && messages.length > 0,
    readSeq: marks.readSeq,
  };
}

const sameItems = <T>(one: readonly T[], other: readonly T[]): boolean =>
  one.length === other.length && one.every((item, i) => item === other[i]);

const sameThread = ({ messages: one, ...rest }: Thread, { messages: other, ...before }: Thread): boolean =>
  sameItems(Object.values(rest), Object.values(before)) && sameItems(one, other);

/** The threads of these peers made anew; what did not change since `before` stays as it was, all of them included. */
export function threadsOf(
  changed: Iterable<string>,
  logOf: (peerId: string) => Log,
  before: ChatState['threads'],
): ChatState['threads'] {
  const made = [...changed].map((peerId) => [peerId, threadOf(logOf(peerId))] as const);
  const moved = made.filter(([peerId, thread]) => !before[peerId] || !sameThread(thread, before[peerId]));
  return moved.length === 0 ? before : { ...before, ...Object.fromEntries(moved) };
}

function newestFirst(a: Conversation, b: Conversation): number {
  const [one, other] = [a.lastMessage.createdAt, b.lastMessage.createdAt];
  return one === other ? 0 : one < other ? 1 : -1;
}

/** What was refused is the newest one only as long as nothing has come after it. */
function newestOf({ messages, outgoing }: Log): ChatMessage | undefined {
  const [stored, waiting] = [messages.at(-1), outgoing.at(-1)];
  const isOld = waiting?.state === 'failed' && stored && stored.createdAt >= waiting.createdAt;
  return isOld ? stored : (waiting ?? stored);
}

/** The list of conversations; what did not change since `before` stays as it was, the whole list included. */
export function listOf(
  logs: ReadonlyMap<string, Log>,
  personOf: (id: string) => Person,
  before: readonly Conversation[] = [],
): readonly Conversation[] {
  const known = new Map(before.map((conversation) => [conversation.peer.id, conversation]));
  const list: Conversation[] = [];
  for (const [id, log] of logs) {
    const lastMessage = newestOf(log);
    if (!lastMessage) continue;
    const peer = personOf(id);
    const old = known.get(id);
    const same = old?.peer === peer && old.lastMessage === lastMessage && old.unreadCount === log.unread;
    list.push(same ? old : { peer, lastMessage, unreadCount: log.unread });
  }
  list.sort(newestFirst);
  return sameItems(list, before) ? before : list;
}
