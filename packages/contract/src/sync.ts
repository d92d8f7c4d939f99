import { z } from 'zod';
import { Id, Message, Watermarks } from './model.ts';

/** Conversations that one request may name: they fit into a packet. */
export const MAX_KNOWN = 1_000;
/** Messages in one answer. */
export const MAX_SYNCED = 500;

const KnownSeq = z.int().min(0);

/** What a client knows of a conversation: its last seq without a hole, and the watermarks if it keeps them. */
const Known = z
  .union(
    [
      KnownSeq,
      z
        .tuple([KnownSeq, KnownSeq, KnownSeq, KnownSeq])
        .meta({ description: 'seq, readSeq, peerReadSeq, peerDeliveredSeq' }),
    ],
    'must be a seq, or a seq and three watermarks',
  )
  .meta({
    description: 'The last seq without a hole before it; or that with the watermarks, to hear of their moves as well',
  });
export type Known = z.infer<typeof Known>;

export const SyncRequest = z.object({
  conversations: z
    .record(Id, Known)
    .refine((known) => Object.keys(known).length <= MAX_KNOWN, `must have at most ${MAX_KNOWN} entries`)
    .default({})
    .meta({ description: 'What is known, by the id of the peer' }),
  unnamed: z.enum(['all', 'newest']).default('all').meta({
    description: 'Conversations that are not named: from their first message, or their newest messages alone',
  }),
  limit: z
    .int()
    .min(1, 'must be at least 1')
    .transform((limit) => Math.min(limit, MAX_SYNCED))
    .default(200)
    .meta({ description: `Messages in the answer, and conversations that it looks at, at most ${MAX_SYNCED}` }),
  cursor: z
    .string()
    .regex(/^[0-9a-f]{32}$/, 'must be a cursor of an earlier answer')
    .optional()
    .meta({ description: '`nextCursor` of the answer before' }),
});
export type SyncRequest = z.input<typeof SyncRequest>;

export const SyncedConversation = z
  .object({
    userId: Id.meta({ description: 'The peer' }),
    messages: z.array(Message).meta({ description: 'Those after what was known, in order and without a hole' }),
    lastSeq: z.int().min(0).meta({ description: 'Of the newest message that there is; 0 when there is none any more' }),
    unreadCount: z.int().min(0),
    watermarks: Watermarks,
    reset: z.literal(true).optional().meta({
      description: 'The log ends before what was known, as after a backup was restored: what was known is void',
    }),
    complete: z
      .boolean()
      .meta({ description: 'Whether `messages` reach `lastSeq`; else ask again from their last seq' }),
  })
  .meta({ id: 'SyncedConversation' });
export type SyncedConversation = z.infer<typeof SyncedConversation>;

export const Synced = z
  .object({
    conversations: z.array(SyncedConversation).meta({ description: 'Those that have moved' }),
    complete: z
      .boolean()
      .meta({ description: 'Nothing is missing up to the moment at which the first answer was made' }),
    nextCursor: z.string().optional().meta({ description: 'There when conversations remain: ask again with it' }),
  })
  .meta({ id: 'Synced' });
export type Synced = z.infer<typeof Synced>;
