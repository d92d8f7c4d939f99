import { z } from 'zod';
import type { LimitName } from './limits.ts';
import { Content, Id, Message, MessageType, TempId } from './model.ts';

const Timestamp = z.iso.datetime();

/** Events that the server emits: name -> payload. */
export const serverEvents = {
  receive_message: {
    summary: 'A message for this user, or one that another device of this user sent',
    payload: z.object({ message: Message }),
  },
  message_sent: {
    summary: 'The message is stored; answers `send_message`',
    payload: z.object({ message: Message, tempId: z.string() }),
  },
  user_status: {
    summary: 'Somebody came online or went offline',
    payload: z.object({ userId: Id, isOnline: z.boolean(), lastSeen: Timestamp }),
  },
  user_typing: { summary: 'A peer types, or stopped', payload: z.object({ userId: Id, isTyping: z.boolean() }) },
  message_read_receipt: {
    summary: 'The peer has read this message and every earlier one of this user',
    payload: z.object({ messageId: Id, readerId: Id, readAt: Timestamp }),
  },
  resync: {
    summary: 'Live events may have been missed: read again what is shown',
    payload: z.object({}),
  },
  error: {
    summary: 'A client event without acknowledgement callback failed',
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

interface ClientEventRow {
  summary: string;
  payload: z.ZodType;
  /** The server event whose payload is the `data` of the acknowledgement. */
  answer: ServerEventName;
  /** Whether the answering event also goes to the sending socket, beside the acknowledgement. */
  echo: boolean;
  limit: LimitName;
}

const ToUser = z.object({ receiverId: Id });

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
    answer: 'message_sent',
    echo: true,
    limit: 'send',
  },
  typing_start: { summary: 'The user types', payload: ToUser, answer: 'user_typing', echo: false, limit: 'typing' },
  typing_stop: {
    summary: 'The user stopped typing',
    payload: ToUser,
    answer: 'user_typing',
    echo: false,
    limit: 'typing',
  },
  message_read: {
    summary: 'The user has read this message and every earlier one of its sender',
    payload: z.object({ messageId: Id, senderId: Id }),
    answer: 'message_read_receipt',
    echo: false,
    limit: 'receipt',
  },
} as const satisfies Record<string, ClientEventRow>;

export type ClientEventName = keyof typeof clientEvents;
/** What a client sends. */
export type ClientEventInput<N extends ClientEventName> = z.input<(typeof clientEvents)[N]['payload']>;
/** What a handler gets: validated, with defaults filled in. */
export type ClientEventPayload<N extends ClientEventName> = z.output<(typeof clientEvents)[N]['payload']>;
export type ClientEventAnswer<N extends ClientEventName> = ServerEvent<(typeof clientEvents)[N]['answer']>;

/** What the optional acknowledgement callback of every client event gets. */
export type Ack<T> =
  | { ok: true; data: T }
  | { ok: false; error: { code: string; message: string; retryAfterMs?: number } };
