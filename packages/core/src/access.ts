import { DuetError, invalid, type Participant } from '@duet/contract';
import { createCache } from './cache.ts';
import { type ConversationKey, conversationOf } from './conversation.ts';
import type { People } from './people.ts';
import type { Clock } from './ports.ts';
import type { Sight, Sights } from './privacy.ts';
import { personSeen } from './views.ts';

/** A conversation that the caller may use, and its two people. */
export interface Access {
  conversation: ConversationKey;
  me: Participant;
  /** As the caller may see him. */
  peer: Participant;
  /** As he sees himself. */
  peerHimself: Participant;
  /** The peer has blocked the caller, who is not told. */
  isBlocked: boolean;
  /** The caller has blocked the peer. */
  hasBlocked: boolean;
  /** Whether the two may know of each other that they are there, and that they write. */
  presence: boolean;
  typing: boolean;
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
export function createAccess({ people, sights, clock }: { people: People; sights: Sights; clock: Clock }) {
  /** By caller and peer: a hash for each message would be a part of its price. */
  const conversations = createCache<ConversationKey>({ max: MAX_CONVERSATIONS, ttlMs: KEEP_MS, clock });

  function conversationWith(caller: string, peer: string): ConversationKey {
    const pair = pairOf(caller, peer);
    const known = conversations.get(pair);
    if (known) return known;
    const conversation = conversationOf(caller, peer);
    conversations.set(pair, conversation);
    return conversation;
  }

  function grant(me: Participant, peer: Participant, { presence, blockedAt, hasBlocked, typing }: Sight): Access {
    if (me.isDeleted) throw new DuetError('UNAUTHORIZED');
    return {
      conversation: conversationWith(me._id, peer._id),
      me,
      peer: personSeen(peer, presence),
      peerHimself: peer,
      isBlocked: blockedAt !== undefined,
      hasBlocked,
      presence,
      typing,
    };
  }

  async function lookUp(caller: string, peerId: string): Promise<Access> {
    const [found] = await Promise.all([people.get([caller, peerId]), sights.forViewer(caller, [peerId])]);
    const me = found.get(caller);
    const peer = found.get(peerId);
    if (!me) throw new DuetError('UNAUTHORIZED');
    if (!peer) throw userNotFound();
    // Not what was read first: a block may have been made here while the other look-up took its time.
    const now = sights.cached(caller, peerId) ?? (await sights.forViewer(caller, [peerId]))(peerId);
    return grant(me, peer, now);
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
      const sight = both && sights.cached(caller, peerId);
      if (sight) return grant(...both, sight);
      const looking = lookUp(caller, peerId);
      // Right before those who wait go on: a moment earlier, and who asks in between would not wait, and overtake them.
      const done = () => void pending.delete(pair);
      looking.then(done, done);
      pending.set(pair, looking);
      return looking;
    },
  };
}
export type AccessRules = ReturnType<typeof createAccess>;
