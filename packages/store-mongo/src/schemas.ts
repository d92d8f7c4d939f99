import type { Entry, UserRecord } from '@duet/core';
import { type Connection, Schema } from 'mongoose';

/** Documents carry their key as `_id`; everything else has the name that the ports give it. */
type Keyed<T> = { _id: string } & T;
export type UserDocument = Keyed<Omit<UserRecord, 'id'>>;
export type MessageDocument = Keyed<Omit<Entry, 'id'>>;
/** A user's side of a conversation: that there is one, and where it stands in the list. */
export type InboxDocument = Keyed<{ user: string; conversation: string; peer: string; lastAt: number }>;
/** A step of a read watermark: `row` has read from `from` up to `readN`. The highest one counts. */
export type ReadDocument = Keyed<{ row: string; user: string; from: number; readN: number; at: number }>;

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
  },
  options,
);
// The compare-and-set of an append, the order of history, and the way to the last entry.
message.index({ conversation: 1, seq: 1 }, { unique: true });
// A repeat is refused for ever. Both begin with the shard key, or a sharded collection could not keep them unique.
message.index({ conversation: 1, sender: 1, tempId: 1 }, { unique: true });

const inbox = new Schema<InboxDocument>(
  { _id: text, user: text, conversation: text, peer: text, lastAt: number },
  options,
);
inbox.index({ user: 1, lastAt: -1, conversation: -1 });

const read = new Schema<ReadDocument>(
  { _id: text, row: text, user: text, from: number, readN: number, at: number },
  options,
);
read.index({ row: 1, readN: -1 });

export const rowId = (user: string, conversation: string): string => `${user}:${conversation}`;

/** Registers the models on a connection: their collections are `users`, `messages`, `inbox` and `reads`. */
export function defineModels(connection: Connection) {
  return {
    users: connection.model<UserDocument>('User', user, 'users'),
    messages: connection.model<MessageDocument>('Message', message, 'messages'),
    inbox: connection.model<InboxDocument>('InboxRow', inbox, 'inbox'),
    reads: connection.model<ReadDocument>('Read', read, 'reads'),
  };
}
export type Models = ReturnType<typeof defineModels>;
