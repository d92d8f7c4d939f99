import { DuetError, invalid, type Participant } from '@duet/contract';
import { type ConversationKey, conversationOf } from './conversation.ts';
import type { People } from './people.ts';

/** A conversation that the caller may use, and its two people. */
export interface Access {
  conversation: ConversationKey;
  me: Participant;
  peer: Participant;
}

/**
 * The one place that decides whether a caller may deal with another user.
 * `with` answers at once when both are cached: the message path then waits for nothing but the commit.
 */
export function createAccess(people: People) {
  function grant(me: Participant, peer: Participant): Access {
    return { conversation: conversationOf(me._id, peer._id), me, peer };
  }

  async function lookUp(caller: string, peerId: string): Promise<Access> {
    const found = await people.get([caller, peerId]);
    const me = found.get(caller);
    const peer = found.get(peerId);
    if (!me) throw new DuetError('UNAUTHORIZED');
    if (!peer) throw new DuetError('NOT_FOUND', { message: 'User not found' });
    return grant(me, peer);
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
      const pair = `${caller} ${peerId}`;
      const waiting = pending.get(pair);
      if (waiting) return waiting;
      const both = people.cached(caller, peerId);
      if (both) return grant(...both);
      const looking = lookUp(caller, peerId).finally(() => pending.delete(pair));
      pending.set(pair, looking);
      return looking;
    },
  };
}
export type AccessRules = ReturnType<typeof createAccess>;
