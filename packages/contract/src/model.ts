import { z } from 'zod';

/** Longest message text, in Unicode code points. */
export const MAX_CONTENT = 4000;
/** Largest page of any list. */
export const MAX_PAGE = 100;
/** Messages that `skip` may leave out; a page behind more of them is empty. */
export const MAX_SKIP = 100_000;
/** Largest page of the user directory; also what a client that names no limit gets. */
export const MAX_USERS_PAGE = 1000;

export const Id = z
  .string()
  .regex(/^[0-9a-f]{24}$/, 'must be 24 hex digits')
  .meta({ description: '24 lower-case hex digits' });

export const Timestamp = z.iso.datetime().meta({ description: 'ISO 8601, UTC, milliseconds' });

/** Only there when it is true. */
const IsDeleted = z.literal(true).optional().meta({ description: 'There when the account has been deleted' });

export const User = z
  .object({
    _id: Id,
    username: z.string(),
    email: z.string(),
    isOnline: z.boolean(),
    lastSeen: Timestamp,
    createdAt: Timestamp,
    isDeleted: IsDeleted,
  })
  .meta({ id: 'User' });
export type User = z.infer<typeof User>;

/** What others may see of a user. */
export const Privacy = z
  .object({
    lastSeen: z.boolean().meta({ description: 'Whether the user is online, and when he was' }),
    typing: z.boolean(),
    readReceipts: z.boolean(),
  })
  .meta({ id: 'Privacy', description: 'True is shown. Who hides something does not see it of others' });
export type Privacy = z.infer<typeof Privacy>;

export const Participant = z
  .object({ _id: Id, username: z.string(), isOnline: z.boolean(), isDeleted: IsDeleted })
  .meta({ id: 'Participant', description: 'One of the two people of a message' });
export type Participant = z.infer<typeof Participant>;

export const Session = z
  .object({
    _id: Id,
    device: z.string().meta({ description: 'What the device calls itself' }),
    createdAt: Timestamp,
    lastUsedAt: Timestamp,
    current: z.boolean().meta({ description: 'Whether it is the session of this request' }),
  })
  .meta({ id: 'Session', description: 'Somebody signed in on one device' });
export type Session = z.infer<typeof Session>;

export const MessageType = z.enum(['text', 'image', 'file']);
export type MessageType = z.infer<typeof MessageType>;

export const Seq = z.int().min(1).meta({ description: 'Place in the conversation: 1, 2, 3 … without holes' });

export const Message = z
  .object({
    _id: Id,
    sender: Participant,
    receiver: Participant,
    content: z.string(),
    isRead: z.boolean(),
    messageType: MessageType,
    createdAt: Timestamp,
    seq: Seq,
    unreadable: z
      .literal(true)
      .optional()
      .meta({ description: 'There when what it said cannot be had any more; its content is then empty' }),
    tempId: z.string().optional().meta({ description: "The sender's own id of the message; only its sender sees it" }),
    readAt: Timestamp.optional().meta({
      description: 'When it was read; known for the newest messages that were read',
    }),
    isDelivered: z
      .literal(true)
      .optional()
      .meta({ description: 'There when a device of its receiver has it, or it was read' }),
    deliveredAt: Timestamp.optional().meta({
      description: 'When it was delivered; known for the newest messages that were delivered',
    }),
  })
  .meta({ id: 'Message' });
export type Message = z.infer<typeof Message>;

const MarkedSeq = z.int().min(0);

/** How far a conversation has been read and delivered. A mark covers the other side's messages up to its seq; 0 is none. */
export const Watermarks = z
  .object({
    readSeq: MarkedSeq.meta({ description: "This user has read the peer's messages up to here" }),
    peerReadSeq: MarkedSeq.meta({ description: "The peer has read this user's messages up to here" }),
    peerDeliveredSeq: MarkedSeq.meta({ description: "A device of the peer has this user's messages up to here" }),
  })
  .meta({ id: 'Watermarks', description: 'They only rise' });
export type Watermarks = z.infer<typeof Watermarks>;

export const Conversation = z
  .object({
    peer: User,
    lastMessage: Message,
    unreadCount: z.int().min(0),
    watermarks: Watermarks,
  })
  .meta({ id: 'Conversation' });
export type Conversation = z.infer<typeof Conversation>;

function isMessageText(text: string): boolean {
  // A string of at most MAX_CONTENT code units cannot have more code points, so the count is rarely needed.
  const short = text.length <= MAX_CONTENT || (text.length <= 2 * MAX_CONTENT && [...text].length <= MAX_CONTENT);
  return short && text.isWellFormed() && !text.includes('\0') && text.trim() !== '';
}

/** Message text: stored and delivered byte for byte as it came. */
export const Content = z
  .string()
  .refine(isMessageText, `must be 1 to ${MAX_CONTENT} characters of valid text, not only blanks`)
  .meta({ description: `1 to ${MAX_CONTENT} code points, not blank, no NUL, no lone surrogate`, minLength: 1 });

/** No store has to keep half a character, or a NUL. */
export const validText = <T extends z.ZodType<string>>(schema: T): T =>
  schema.refine((text) => text.isWellFormed() && !text.includes('\0'), 'must be valid text');

export const TempId = validText(
  z.string().min(1, 'must not be empty').max(128, 'must have at most 128 characters'),
).meta({ description: 'Made by the client for each new message; sending it again never stores a second one' });

export const Device = validText(z.string().trim().max(200, 'must have at most 200 characters')).meta({
  description: 'What the device calls itself in the list of sessions; without it the User-Agent header',
});

const utf8 = new TextEncoder();

export const Password = validText(
  z
    .string()
    .min(8, 'must have at least 8 characters')
    .refine((password) => utf8.encode(password).length <= 72, 'must have at most 72 bytes'),
).meta({ description: '8 characters up to 72 bytes of UTF-8', format: 'password' });

/** Signs that nothing is shown of, such as variation selectors and fillers: with them, two names would look the same. */
const INVISIBLE = /\p{Default_Ignorable_Code_Point}/u;

export const Username = z
  .string()
  .trim()
  .overwrite((name) => name.replace(/ {2,}/g, ' '))
  .min(2, 'must have at least 2 characters')
  .max(50, 'must have at most 50 characters')
  .regex(
    /^[\p{L}\p{N}][\p{L}\p{M}\p{N} ._'-]*$/u,
    'may have letters, digits, spaces and . _ - and begins with a letter or digit',
  )
  .refine((name) => !INVISIBLE.test(name), 'must have no signs that cannot be seen')
  .meta({ description: 'Unique without regard to case; nothing in it is invisible, and several spaces are one' });

export const Email = z
  .string()
  .trim()
  .max(254, 'must have at most 254 characters')
  .pipe(z.email('must be an email address'))
  .meta({ description: 'Unique without regard to case' });
