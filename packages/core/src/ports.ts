/**
 * What the rules need of the world. Adapters implement these; this file is their manual.
 *
 * Law for every adapter:
 * - A promise that resolves has happened: a write that resolved is durable.
 * - Only two codes are thrown: CONFLICT (a unique value is taken) and UNAVAILABLE (the backing service did not answer or
 *   refused; the outcome of a write is then unknown and the call is safe to repeat). Drivers' errors go into `cause`.
 *   Of UNAVAILABLE there are two kinds that say more, SomeUnfit and StoreReplaced: nothing was stored.
 * - No rule lives here. What two adapters would both decide belongs into core.
 * - Ids are strings of hex digits, times are milliseconds since 1970.
 */
import type { MessageType, ServerEvent, ServerEventName } from '@duet/contract';
import type { AdminStore } from './admin-ports.ts';

export interface UserRecord {
  id: string;
  username: string;
  /** Normalised username and email: what uniqueness is judged by. Those of a deleted user begin with U+10FFFF. */
  usernameKey: string;
  email: string;
  emailKey: string;
  /** Empty when nobody signs in with a password. */
  passwordHash: string;
  /** Of the host application's tokens those are good that it has issued later than this. */
  tokensAfter: number;
  createdAt: number;
  lastSeen: number;
}

export interface UserStore {
  /** @throws DuetError CONFLICT, with `details` naming `username` or `email`, when the key is taken */
  create(user: UserRecord): Promise<void>;
  /** The users that exist among these ids, in any order. */
  get(ids: string[]): Promise<UserRecord[]>;
  byEmail(emailKey: string): Promise<UserRecord | undefined>;
  /**
   * Changes some fields of a user; of nobody when there is no such user. With `over`, only while these fields still are
   * as it says.
   * @throws DuetError CONFLICT when a new key is taken; then nothing has changed
   */
  update(
    id: string,
    fields: Partial<Omit<UserRecord, 'id' | 'createdAt' | 'lastSeen'>>,
    over?: Partial<Pick<UserRecord, 'usernameKey' | 'passwordHash'>>,
  ): Promise<void>;
  /**
   * Ordered by usernameKey, those greater than `after` whose key begins with `prefix`, without `except`. A key that begins
   * with U+10FFFF, which sorts behind everything, is in no list.
   */
  list(query: { prefix?: string; after?: string; limit: number; except: string }): Promise<UserRecord[]>;
  /** Moves each user's lastSeen forward to `at`, all in one go; an earlier time changes nothing. */
  seen(users: { id: string; at: number }[]): Promise<void>;
}

/**
 * With `sure` a read finds whatever was durable when it was begun, whoever answers. Without it a server that led the
 * others until a moment ago may not know the newest; so before somebody is told that something is gone, it is asked for
 * like that. It costs as much as a write, and throws UNAVAILABLE where that cannot be known now.
 */
export interface ReadOptions {
  sure?: boolean;
}

/** A message that wants a place in the log. */
export interface Draft {
  /** `conversationOf(sender, receiver).id` */
  conversation: string;
  sender: string;
  receiver: string;
  content: string;
  messageType: MessageType;
  /** The sender's own id of it; (conversation, sender, tempId) is unique for ever. */
  tempId: string;
  createdAt: number;
  /** The receiver has blocked the sender: it has its place, and is for its sender alone. Counters leave it out. */
  hidden?: true;
}

/** An entry of a conversation's append-only log. */
export interface Entry extends Draft {
  /** 24 hex digits, made of conversation and seq: see `messageId`. */
  id: string;
  /** Dense in the conversation: 1, 2, 3 … */
  seq: number;
  /** How many messages the lower and the higher user id have sent up to and including this one, hidden ones left out. */
  sent: [low: number, high: number];
  /**
   * Of a hidden one: the last entry before it that its receiver sees, 0 if there is none. So whoever reads for him jumps
   * over what is hidden, however much that is. Entries from before there was this lack it.
   */
  shown?: number;
  /** Its content cannot be had any more, and is empty here: damaged, or its key was deleted. Never stored. */
  unreadable?: true;
}

/** What has to be known of the newest entry of a conversation to write behind it. */
export type Tail = Pick<Entry, 'seq' | 'sent' | 'hidden' | 'shown'> & { receiver?: string };

/** `fresh: false`: this (conversation, sender, tempId) had been stored before, and this is what was stored. */
export type Appended = { entry: Entry; fresh: boolean };

export interface MessageStore {
  /**
   * Stores drafts in the order given, as one group commit. For each: compare-and-set against the last entry of its
   * conversation, seq and insert in one step, so that a reader never sees seq n + 1 before n, and a crash leaves no
   * hole. The inbox rows of both users are brought up to the entry before the promise resolves, for repeats as well
   * (so a crash between insert and bump heals). At most MAX_GROUP drafts; two of them may be the same message.
   * @throws DuetError UNAVAILABLE: any part of the group may have been stored; repeating is safe
   * @throws SomeUnfit when some of the drafts cannot be stored now: nothing was stored, and the others can be
   * @throws StoreReplaced the first time after a backup has taken the database's place; nothing was stored
   */
  append(drafts: Draft[]): Promise<Appended[]>;
  /**
   * Entries of a conversation, ascending by seq: with `after` the oldest ones above it; else the newest ones below
   * `before` (or the newest of all), leaving out the newest `skip`. With `viewer`: without what is hidden from him.
   */
  page(query: {
    conversation: string;
    before?: number;
    after?: number;
    skip?: number;
    limit: number;
    viewer?: string;
  }): Promise<Entry[]>;
  /** The entries that exist at these places, in any order. */
  get(places: { conversation: string; seq: number }[], options?: ReadOptions): Promise<Entry[]>;
}

/**
 * A watermark over the messages of one side: the first `n` of them are marked. Never goes back.
 * The messages from + 1 … n were marked last, at `at`; `seq` is a place in the log that lies behind all of them and
 * before every message that is not marked.
 */
export interface Watermark {
  n: number;
  from: number;
  seq: number;
  at: number;
}
export type WatermarkKind = 'read' | 'delivered';

/** How far a user has got with what the peer has sent. */
export interface Marks {
  /** What he has read. */
  read: Watermark;
  /** What a device of his has stored. May lie below `read`, which then counts for it. */
  delivered: Watermark;
}

/** A user's side of a conversation, by what finds it. */
export interface RowKey {
  user: string;
  conversation: string;
}

/**
 * One user's side of one conversation, without what is hidden from him; there is none when that is all.
 * Unread = peerSent - read.n: derived, so it cannot drift.
 */
export interface InboxRow extends RowKey, Marks {
  peer: string;
  /** seq and time of the last entry. */
  lastSeq: number;
  lastAt: number;
  /** How many messages the peer has sent. */
  peerSent: number;
}

export interface ConversationStore {
  /** The rows that exist among these, in any order. */
  get(keys: RowKey[]): Promise<InboxRow[]>;
  /** The marks of each of these rows, in their order; UNMARKED where there is none. Cheaper than the rows. */
  marks(keys: RowKey[]): Promise<Marks[]>;
  /** A user's rows by (lastAt, conversation), newest first, those that come after `after` in that order. */
  list(query: { user: string; after?: { lastAt: number; conversation: string }; limit: number }): Promise<InboxRow[]>;
  /** All rows of a user in an order that never changes: by conversation id, those greater than `after`. */
  walk(query: { user: string; after?: string; limit: number }): Promise<InboxRow[]>;
  /** Those whom a user talks to, the newest conversations first. */
  peers(user: string, limit: number): Promise<string[]>;
  /** Sum of peerSent - read.n over all rows of the user. */
  unread(user: string): Promise<number>;
}

/** Marks that a user sets on what the peer has sent: the first `n` messages, all of them at or before `seq`. */
export interface Receipt {
  kind: WatermarkKind;
  user: string;
  conversation: string;
  n: number;
  seq: number;
  at: number;
}
/** The row as it now is, and by how much the watermark rose. */
export type Advanced = { row: InboxRow; moved: number };

export interface ReceiptStore {
  /**
   * Raises watermarks, each to `n` or to peerSent, whichever is smaller, and no further than lastSeq; a lower value changes
   * nothing. Durable when it resolves; at most MAX_GROUP receipts, in their order.
   * @returns for each what became of it; undefined when there is no such row
   */
  advance(receipts: Receipt[]): Promise<(Advanced | undefined)[]>;
}

/** The key that the messages of a conversation are sealed with, itself sealed by a key of the deployment's key ring. */
export interface WrappedKey {
  conversation: string;
  /** 8 hex digits; another one for each key that a conversation has in its life. */
  id: string;
  /** The name of the ring's key that wraps it. */
  ringKey: string;
  /** base64 */
  wrapped: string;
}

/** Keys of conversations, at most one for each. No message can be opened without its key. */
export interface DataKeyStore {
  /** The keys that these conversations have, in any order. */
  get(conversations: string[]): Promise<WrappedKey[]>;
  /**
   * Compare-and-set: stores each key if its conversation has none, or still the one that is given as `over`. Of two
   * writers that race one wins, and both learn which. Durable when it resolves.
   * @returns the keys that these conversations have now, in any order
   */
  put(keys: { key: WrappedKey; over?: WrappedKey }[]): Promise<WrappedKey[]>;
  /** Keys ordered by (ringKey, conversation), those that come after `after`; without its conversation, after that ringKey. */
  list(query: { after?: { ringKey: string; conversation?: string }; limit: number }): Promise<WrappedKey[]>;
  /**
   * Deletes the key of a conversation, and with it whatever copies of its messages said: for when all of them have been
   * emptied and nobody can write to it any more. Nodes forget keys that they remember within minutes.
   */
  remove(conversation: string): Promise<void>;
}

/** Somebody who is signed in on a device: a family of refresh tokens, each the successor of the one before. */
export interface SessionRecord {
  id: string;
  user: string;
  /** What the device calls itself. */
  device: string;
  createdAt: number;
  lastUsedAt: number;
  /** It is over then, unless it is used before. */
  expiresAt: number;
  /** Hash of the refresh token that is good now. */
  refreshHash: string;
  /** Hash of its predecessor, empty when there is none, and when that was replaced. */
  previousHash: string;
  rotatedAt: number;
}
/** A session that has ended; with the user's own id: everything of that user. */
export interface EndedSession {
  user: string;
  id: string;
}

export interface SessionStore {
  /** The store's clock, where nodes do not share that of a machine. @throws DuetError UNAVAILABLE */
  now?(): Promise<number>;
  create(session: SessionRecord): Promise<void>;
  /** The sessions that exist among these, in any order. */
  get(keys: { user: string; id: string }[], options?: ReadOptions): Promise<SessionRecord[]>;
  /** All sessions of a user, in any order. */
  list(user: string): Promise<SessionRecord[]>;
  /**
   * Compare-and-set: stores `session` if its refreshHash is `expected` until now.
   * @returns whether it was
   */
  replace(session: SessionRecord, expected: string): Promise<boolean>;
  /** Removes sessions and notes for `ended` that they are over, whether they were there or not. Safe to repeat. */
  end(sessions: EndedSession[]): Promise<void>;
  /** All that has ended since `cursor` was given, by no clock of the caller's, some perhaps again. Without it: a cursor. */
  ended(cursor?: string): Promise<{ sessions: EndedSession[]; cursor: string }>;
  /** Forgets sessions that expired before the one time, and notes of `end` from before the other. */
  purge(before: { expired: number; ended: number }): Promise<void>;
}

/** What users may keep from others. */
export type Hidable = 'lastSeen' | 'typing' | 'readReceipts';

/** What one user keeps from others: from all of them, and everything from some. */
export interface Privacy {
  user: string;
  hides: Hidable[];
  blocked: { user: string; at: number }[];
}

export interface PrivacyStore {
  /** Of these users those who keep anything from anybody, in any order. */
  get(users: string[]): Promise<Privacy[]>;
  /** From now on the user hides these as well. Of changes that are made side by side none is lost. */
  hide(user: string, what: Hidable[]): Promise<void>;
  /** From now on the user does not hide these. */
  show(user: string, what: Hidable[]): Promise<void>;
  /** Whoever is blocked already stays so since when he was. */
  block(user: string, peer: string, at: number): Promise<void>;
  unblock(user: string, peer: string): Promise<void>;
}

/** What a deployment knows of its people and their messages. Durable. */
export interface Store {
  users: UserStore;
  sessions: SessionStore;
  privacy: PrivacyStore;
  messages: MessageStore;
  conversations: ConversationStore;
  receipts: ReceiptStore;
  dataKeys: DataKeyStore;
  admin: AdminStore;
  /** Resolves when the store answers. @throws DuetError UNAVAILABLE when it does not */
  ready(): Promise<void>;
  /** Finishes what is under way, then lets go of files and connections. */
  close(): Promise<void>;
}

/**
 * Who is online: leases, not flags. A socket counts while its node's lease lives; a user is online while one of its
 * sockets counts, and for PRESENCE_GRACE_MS after the last one went, so that a reload does not flicker.
 * Holds nothing that cannot be rebuilt: a node whose lease was lost registers again all sockets it had been told of.
 */
export interface Presence {
  /** Renews this node's lease and registers sockets; idempotent. @returns users who were offline until now */
  beat(sockets: { user: string; socket: string }[]): Promise<string[]>;
  /** Forgets a socket; the user's grace begins if it was the last one. */
  drop(user: string, socket: string): Promise<void>;
  /**
   * @returns those of `users` who are online; none when that cannot be known now: presence never fails a message
   * @throws DuetError UNAVAILABLE with `sure`, when that cannot be known now
   */
  online(users: string[], options?: ReadOptions): Promise<Set<string>>;
  /**
   * Finds users whose grace ran out and those of dead nodes. Each is returned to one node of the cluster; when that dies
   * before it has said that it `told` of him, or its answer got lost, he is returned again.
   * @param told those of earlier answers whose end need not be told any more
   */
  reap(told: string[]): Promise<{ user: string; at: number }[]>;
  /** How many sockets the node with the most holds, as far as this one knows since its last beat; Infinity before the first. */
  mostSockets(): Promise<number> | number;
}

export interface LimitRule {
  limit: number;
  windowMs: number;
}
export interface Taken {
  ok: boolean;
  /** Whole units left now. */
  remaining: number;
  /** 0 when ok; else when one unit will be there. */
  retryAfterMs: number;
}

/** A token bucket for each key, shared by the cluster: `limit` at once, refilled evenly over `windowMs`. */
export interface Limiter {
  /** Takes `cost` units (1), or none if there are too few. `cost: 0` asks whether one unit is there. */
  take(key: string, rule: LimitRule, cost?: number): Promise<Taken> | Taken;
}

/** How the nodes of a deployment work together. */
export interface Cluster {
  /** For Socket.IO's `adapter` option; undefined is its own in-memory one. */
  socketAdapter: unknown;
  presence: Presence;
  limiter: Limiter;
  /** Resolves when every room joined on this node so far is known to the other nodes. */
  fence(): Promise<void>;
  /** `listener` is called when live events may have been missed by this node's sockets. */
  onGap(listener: () => void): void;
  /** `listener` is called with rooms (undefined: any) whose sockets elsewhere may lack news, when that is over. */
  onLoss(listener: (rooms: string[] | undefined) => void): void;
  ready(): Promise<void>;
  /** Clears this node's own presence, then lets go of connections. */
  close(): Promise<void>;
}

/** Live events to connected sockets: a hint that may get lost; the store is the truth. */
export interface Fanout {
  /** To all sockets of a user, on any node; `except`: but this one. */
  toUser<N extends ServerEventName>(
    user: string,
    event: { name: N; payload: ServerEvent<N> },
    options?: { except: string | undefined },
  ): void;
  /** To every socket of the cluster whose user does not hide himself. Costs what it says: budget it. */
  toWatchers<N extends ServerEventName>(event: { name: N; payload: ServerEvent<N> }): void;
  /** To all sockets of a room, on any node; undefined: to every socket of the cluster. */
  toRoom<N extends ServerEventName>(room: string | undefined, event: { name: N; payload: ServerEvent<N> }): void;
  /** To the sockets of this node. */
  toLocal<N extends ServerEventName>(event: { name: N; payload: ServerEvent<N> }): void;
}

export interface Clock {
  /** Milliseconds since 1970: what is shown and stored. It may jump, in either direction. */
  now(): number;
  /** Milliseconds since some moment: what durations are measured by. It never goes back and never jumps. */
  elapsed(): number;
  /** Calls `task` every `ms` until the returned function is called. */
  every(ms: number, task: () => void): () => void;
}
