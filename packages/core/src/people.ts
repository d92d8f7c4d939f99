import type { Participant } from '@duet/contract';
import { createCache } from './cache.ts';
import type { Clock, Presence, UserStore } from './ports.ts';
import { perTurn } from './turn.ts';
import { deletedMark } from './views.ts';

const NAME_TTL_MS = 60_000;
const ONLINE_TTL_MS = 1_000;
const MAX_PEOPLE = 50_000;

/** Who somebody is, as messages show it; cached for a moment, because every message shows two. */
export interface People {
  /** The people that exist among these ids. */
  get(ids: string[]): Promise<Map<string, Participant>>;
  /** The same without asking anybody: undefined when one of the two is not in the cache. */
  cached(one: string, other: string): [Participant, Participant] | undefined;
  /** Records a change of presence that this node has just learned. */
  saw(user: string, isOnline: boolean): void;
  /** Somebody has changed: he is looked up again. */
  forget(user: string): void;
}

/** Of a person what does not change by the minute. */
type Name = Pick<Participant, 'username' | 'isDeleted'>;

/** Names are kept for a minute, presence for a second; what is asked in one turn of the event loop is asked at once. */
export function createPeople(deps: { users: UserStore; presence: Presence; clock: Clock }): People {
  const names = createCache<Name>({ max: MAX_PEOPLE, ttlMs: NAME_TTL_MS, clock: deps.clock });
  /** Whole people, because every message looks two of them up. */
  const people = createCache<Participant>({ max: MAX_PEOPLE, ttlMs: ONLINE_TTL_MS, clock: deps.clock });

  /** Fills the caches. @returns those of the people that exist */
  async function load(asked: string[]): Promise<Map<string, Participant>> {
    const ids = [...new Set(asked)];
    const known = new Map(ids.map((id) => [id, names.get(id)]));
    const unnamed = ids.filter((id) => known.get(id) === undefined);
    const [users, present] = await Promise.all([
      unnamed.length > 0 ? deps.users.get(unnamed) : [],
      deps.presence.online(ids),
    ]);
    for (const user of users) {
      const name = { username: user.username, ...deletedMark(user) };
      known.set(user.id, name);
      names.set(user.id, name);
    }
    const found = new Map<string, Participant>();
    for (const [id, name] of known) {
      if (name === undefined) continue;
      const person = { _id: id, ...name, isOnline: present.has(id) && !name.isDeleted };
      people.set(id, person);
      found.set(id, person);
    }
    return found;
  }
  const lookUp = perTurn(load);

  return {
    async get(ids) {
      const found = new Map<string, Participant>();
      const missing: string[] = [];
      for (const id of new Set(ids)) {
        const person = people.get(id);
        if (person) found.set(id, person);
        else missing.push(id);
      }
      if (missing.length === 0) return found;
      const loaded = await lookUp(...missing);
      for (const id of missing) {
        const person = loaded.get(id);
        if (person) found.set(id, person);
      }
      return found;
    },
    cached(one, other) {
      const first = people.get(one);
      const second = first && people.get(other);
      return first && second && [first, second];
    },
    saw(user, isOnline) {
      const name = names.get(user);
      if (name === undefined) people.delete(user);
      else people.set(user, { _id: user, ...name, isOnline: isOnline && !name.isDeleted });
    },
    forget(user) {
      names.delete(user);
      people.delete(user);
    },
  };
}
