import { z } from 'zod';
import type { LimitName } from './limits.ts';
import { Content, Conversation, Id, MAX_PAGE, Message, MessageType, Privacy, Seq, TempId, Timestamp } from './model.ts';
import { Synced, SyncRequest } from './sync.ts';

/** Events that the server emits: name -> payload. */
export const serverEvents = {
  receive_message: {
    summary: 'A message for this user',
    payload: z.object({ message: Message }),
  },
  message_sent: {
    summary: 'The message is stored: to all sockets of its sender, and once more in answer to a repeat',
    payload: z.object({ message: Message, tempId: z.string() }),
  },
  user_status: {
    summary: 'Somebody came online or went offline',
    payload: z.object({ userId: Id, isOnline: z.boolean(), lastSeen: Timestamp }),
  },
  user_typing: { summary: 'A peer types, or stopped', payload: z.object({ userId: Id, isTyping: z.boolean() }) },
  message_read_receipt: {
    summary: 'The peer has read this message and every earlier one of this user',
    payload: z.object({ messageId: Id, readerId: Id, readAt: Timestamp, seq: Seq }),
  },
  message_delivered_receipt: {
    summary: 'A device of the peer has this message and every earlier one of this user',
    payload: z.object({ messageId: Id, receiverId: Id, deliveredAt: Timestamp, seq: Seq }),
  },
  conversation_read: {
    summary: 'Another device of this user has read the conversation with `userId` up to `seq`',
    payload: z.object({ userId: Id, seq: Seq, readAt: Timestamp, unreadCount: z.int().min(0) }),
  },
  conversation_updated: {
    summary: 'A conversation as the list shows it now; for sockets that ask for it (`auth.conversations: true`)',
    payload: z.object({ conversation: Conversation }),
  },
  privacy_changed: {
    summary: 'What this user shows of himself was changed on some device',
    payload: z.object({ privacy: Privacy }),
  },
  session_ended: {
    summary: 'This user has been signed out on some device; sockets of those sessions are closed then',
    payload: z.object({
      sessionIds: z.array(Id).meta({ description: 'With the user’s own id among them: all of his sessions' }),
    }),
  },
  token_expiring: {
    summary: 'The token of this socket expires soon: `renew`, or the socket is closed then',
    payload: z.object({ expiresAt: Timestamp }),
  },
  resync: {
    summary: 'Live events may have been missed: `sync`',
    payload: z.object({}),
  },
  synced: { summary: 'Answers a `sync` without acknowledgement callback', payload: Synced },
  error: {
    summary:
      'A client event without acknowledgement callback failed; or why the socket is closed now (`event: connect`)',
    payload: z.object({
      message: z.string(),
      code: z.string(),
      event: z.string(),
      tempId: z.string().optional(),
      retryAfterMs: z.int().optional(),
    }),
  },
} as const satisfies Record<string, { summary: string; payload: z.ZodType }>;

export type ServerEventName = keyof typeof serverEvents;
export type ServerEvent<N extends ServerEventName> = z.infer<(typeof serverEvents)[N]['payload']>;

export interface ClientEventRow {
  summary: string;
  payload: z.ZodType;
  /** The `data` of the acknowledgement. */
  data: z.ZodType;
  /** The server event that carries `data` to the sending socket as well: always, or for want of a callback. */
  echo?: { event: ServerEventName; when: 'always' | 'unacknowledged' };
  limit: LimitName;
  /** How many units of the limit it costs; without it one. */
  cost?: (payload: never) => number;
  /** Its answer may be megabytes: a user gets one at a time. */
  long?: boolean;
}

const ToUser = z.object({ receiverId: Id });
/** A message that has come from somebody. */
const Received = z.object({ messageId: Id, senderId: Id });

/** Events that clients emit. Unknown fields are ignored: what the server decides (sender, time, seq) cannot be set. */
export const clientEvents = {
  send_message: {
    summary: 'Send a message',
    payload: z.object({
      receiverId: Id,
      content: Content,
      messageType: MessageType.default('text'),
      tempId: TempId.optional(),
    }),
    data: serverEvents.message_sent.payload,
    echo: { event: 'message_sent', when: 'always' },
    limit: 'send',
  },
  typing_start: {
    summary: 'The user types',
    payload: ToUser,
    data: serverEvents.user_typing.payload,
    limit: 'typing',
  },
  typing_stop: {
    summary: 'The user stopped typing',
    payload: ToUser,
    data: serverEvents.user_typing.payload,
    limit: 'typing',
  },
  message_read: {
    summary: 'The user has read this message and every earlier one of its sender',
    payload: Received,
    data: serverEvents.message_read_receipt.payload,
    limit: 'receipt',
  },
  message_delivered: {
    summary: 'This device has these messages and every earlier one of their senders',
    payload: z.object({
      receipts: z.array(Received).min(1, 'must not be empty').max(MAX_PAGE, `must have at most ${MAX_PAGE} entries`),
    }),
    data: z.object({ receipts: z.array(serverEvents.message_delivered_receipt.payload) }),
    limit: 'receipt',
    cost: ({ receipts }: { receipts: { senderId: string }[] }) =>
      new Set(receipts.map(({ senderId }) => senderId)).size,
  },
  sync: {
    summary: 'What has happened since: the messages and watermarks that this client does not know',
    payload: SyncRequest,
    data: Synced,
    echo: { event: 'synced', when: 'unacknowledged' },
    limit: 'sync',
    long: true,
  },
  renew: {
    summary: 'A new token of the same user for this socket, which goes on with it',
    payload: z.object({ token: z.string().min(1, 'must not be empty').max(4096, 'is too long') }),
    data: z.object({ expiresAt: Timestamp }),
    limit: 'api',
  },
} as const satisfies Record<string, ClientEventRow>;

export type ClientEventName = keyof typeof clientEvents;
/** What a client sends. */
export type ClientEventInput<N extends ClientEventName> = z.input<(typeof clientEvents)[N]['payload']>;
/** What a handler gets: validated, with defaults filled in. */
export type ClientEventPayload<N extends ClientEventName> = z.output<(typeof clientEvents)[N]['payload']>;
/** What a handler gives, and the acknowledgement carries. */
export type ClientEventAnswer<N extends ClientEventName> = z.infer<(typeof clientEvents)[N]['data']>;

/** What the optional acknowledgement callback of every client event gets. */
export type Ack<T> =
  | { ok: true; data: T }
  | { ok: false; error: { code: string; message: string; retryAfterMs?: number } };
