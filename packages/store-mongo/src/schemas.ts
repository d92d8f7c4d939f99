import type {
  EndedSession,
  Entry,
  Hidable,
  SessionRecord,
  UserRecord,
  Watermark,
  WatermarkKind,
  WrappedKey,
} from '@duet/core';
import { type Connection, Schema } from 'mongoose';

/** Documents carry their key as `_id`; everything else has the name that the ports give it. */
type Keyed<T> = { _id: string } & T;
export type UserDocument = Keyed<Omit<UserRecord, 'id'>>;
export type MessageDocument = Keyed<Omit<Entry, 'id' | 'unreadable'>>;
/**
 * A user's side of a conversation: that there is one, where it stands in the list, and where its log ended when somebody
 * last wrote: rows of old versions do not say, and by now, or after a restore, that may be another place.
 */
export type InboxDocument = Keyed<{
  user: string;
  conversation: string;
  peer: string;
  lastAt: number;
  lastSeq?: number;
}>;
/** A step of a watermark: `mark` rose from `from` to `n`, which lies at `seq`. The highest one counts. */
export type StepDocument = Keyed<{ mark: string; user: string } & Watermark>;
/** The key of the conversation that `_id` names. */
export type DataKeyDocument = Keyed<{ keyId: string } & Pick<WrappedKey, 'ringKey' | 'wrapped'>>;
export type SessionDocument = Keyed<Omit<SessionRecord, 'id'> & { session: string }>;
/** A session that is over, and when by the server's clock. */
export type SessionEndDocument = Keyed<Omit<EndedSession, 'id'> & { session: string; at: Date }>;

/** What a user hides; or whom he has blocked, and since when. */
export type PrivacyDocument = Keyed<{ user: string; hides?: Hidable[]; peer?: string; at?: number }>;

const text = { type: String, required: true };
const number = { type: Number, required: true };
const options = { versionKey: false, autoIndex: false, autoCreate: false, strict: 'throw' } as const;

const user = new Schema<UserDocument>(
  {
    _id: text,
    username: text,
    usernameKey: text,
    email: text,
    emailKey: text,
    passwordHash: text,
    tokensAfter: Number,
    createdAt: number,
    lastSeen: number,
  },
  options,
);
user.index({ usernameKey: 1 }, { unique: true });
user.index({ emailKey: 1 }, { unique: true });

const message = new Schema<MessageDocument>(
  {
    _id: text,
    conversation: text,
    seq: number,
    sender: text,
    receiver: text,
    content: text,
    messageType: text,
    tempId: text,
    createdAt: number,
    sent: { type: [Number], required: true },
    hidden: Boolean,
    shown: Number,
  },
  options,
);
// The compare-and-set of an append, the order of history, and the way to the last entry.
message.index({ conversation: 1, seq: 1 }, { unique: true });
// A repeat is refused for ever. Both begin with the shard key, or a sharded collection could not keep them unique.
message.index({ conversation: 1, sender: 1, tempId: 1 }, { unique: true });

const inbox = new Schema<InboxDocument>(
  { _id: text, user: text, conversation: text, peer: text, lastAt: number, lastSeq: Number },
  options,
);
// The order of the list, and one that never changes.
inbox.index({ user: 1, lastAt: -1, conversation: -1 });
inbox.index({ user: 1, conversation: 1 });

const step = new Schema<StepDocument>(
  { _id: text, mark: text, user: text, n: number, from: number, seq: number, at: number },
  options,
);
step.index({ mark: 1, n: -1 });

const dataKey = new Schema<DataKeyDocument>({ _id: text, keyId: text, ringKey: text, wrapped: text }, options);
dataKey.index({ ringKey: 1, _id: 1 });

const session = new Schema<SessionDocument>(
  {
    _id: text,
    session: text,
    user: text,
    device: text,
    createdAt: number,
    lastUsedAt: number,
    expiresAt: number,
    refreshHash: text,
    previousHash: String,
    rotatedAt: number,
  },
  options,
);
session.index({ user: 1 });
session.index({ expiresAt: 1 });

const sessionEnd = new Schema<SessionEndDocument>({ _id: text, session: text, user: text, at: Date }, options);
sessionEnd.index({ at: 1 });

export const sessionId = (user: string, session: string): string => `${user}:${session}`;

const privacy = new Schema<PrivacyDocument>(
  { _id: text, user: text, hides: { type: [String], default: undefined }, peer: String, at: Number },
  options,
);
privacy.index({ user: 1 });

export const toEntry = ({ _id, ...entry }: MessageDocument): Entry => ({ id: _id, ...entry });
export const toDocument = ({ id: _id, ...entry }: Entry): MessageDocument => ({ _id, ...entry });

export const rowId = (user: string, conversation: string): string => `${user}:${conversation}`;
export const markId = (user: string, conversation: string, kind: WatermarkKind): string =>
  `${rowId(user, conversation)}:${kind}`;

/** Registers the models on a connection, each by the name of its collection. */
export function defineModels(connection: Connection) {
  return {
    users: connection.model<UserDocument>('User', user, 'users'),
    privacy: connection.model<PrivacyDocument>('Privacy', privacy, 'privacy'),
    messages: connection.model<MessageDocument>('Message', message, 'messages'),
    inbox: connection.model<InboxDocument>('InboxRow', inbox, 'inbox'),
    watermarks: connection.model<StepDocument>('WatermarkStep', step, 'watermarks'),
    dataKeys: connection.model<DataKeyDocument>('DataKey', dataKey, 'dataKeys'),
    sessions: connection.model<SessionDocument>('Session', session, 'sessions'),
    sessionEnds: connection.model<SessionEndDocument>('SessionEnd', sessionEnd, 'sessionEnds'),
  };
}
export type Models = ReturnType<typeof defineModels>;
