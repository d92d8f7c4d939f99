import { DuetError, invalid, type Participant } from '@duet/contract';
import { createCache } from './cache.ts';
import { type ConversationKey, conversationOf } from './conversation.ts';
import type { People } from './people.ts';
import type { Clock } from './ports.ts';

/** A conversation that the caller may use, and its two people. */
export interface Access {
  conversation: ConversationKey;
  me: Participant;
  peer: Participant;
}

const MAX_CONVERSATIONS = 50_000;
const KEEP_MS = 3_600_000;
/** Nobody has this id, or not any more. */
export const userNotFound = (): DuetError => new DuetError('NOT_FOUND', { message: 'User not found' });

const pairOf = (caller: string, peer: string): string => `${caller} ${peer}`;

/**
 * The one place that decides whether a caller may deal with another user.
 * `with` answers at once when both are cached: the message path then waits for nothing but the commit.
 */
export function createAccess(people: People, clock: Clock) {
  /** By caller and peer: a hash for each message would be a part of its price. */
  const conversations = createCache<ConversationKey>({ max: MAX_CONVERSATIONS, ttlMs: KEEP_MS, clock });

  function grant(pair: string, me: Participant, peer: Participant): Access {
    const known = conversations.get(pair);
    if (known) return { conversation: known, me, peer };
    const conversation = conversationOf(me._id, peer._id);
    conversations.set(pair, conversation);
    return { conversation, me, peer };
  }

  async function lookUp(caller: string, peerId: string): Promise<Access> {
    const found = await people.get([caller, peerId]);
    const me = found.get(caller);
    const peer = found.get(peerId);
    if (!me) throw new DuetError('UNAUTHORIZED');
    if (!peer) throw userNotFound();
    return grant(pairOf(caller, peerId), me, peer);
  }

  /** Look-ups under way. Whoever asks meanwhile waits for the same one, so nobody overtakes who asked before. */
  const pending = new Map<string, Promise<Access>>();

  return {
    /**
     * @throws DuetError VALIDATION_ERROR when the caller names itself as its peer (`field`), NOT_FOUND when there is no
     * such user, UNAUTHORIZED when the caller is gone
     */
    with(caller: string, peerId: string, field: string): Access | Promise<Access> {
      if (caller === peerId) {
        throw invalid([{ field, message: 'must be another user' }]);
      }
      const pair = pairOf(caller, peerId);
      const waiting = pending.get(pair);
      if (waiting) return waiting;
      const both = people.cached(caller, peerId);
      if (both) return grant(pair, ...both);
      const looking = lookUp(caller, peerId).finally(() => pending.delete(pair));
      pending.set(pair, looking);
      return looking;
    },
  };
}
export type AccessRules = ReturnType<typeof createAccess>;
