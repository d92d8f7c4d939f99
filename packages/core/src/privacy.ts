import { DuetError, invalid, type Participant, type RouteData, type RouteInput } from '@duet/contract';
import { userNotFound } from './access.ts';
import { createCache } from './cache.ts';
import type { Caller } from './messages.ts';
import type { People } from './people.ts';
import type { Clock, Fanout, Hidable, Privacy, PrivacyStore, UserRecord, UserStore } from './ports.ts';
import { perTurn } from './turn.ts';
import { isDeleted, iso, personSeen, userView } from './views.ts';

/** After so long a block that was made at another node is known here. */
const KEEP_MS = 1_500;
const MAX_KEPT = 50_000;
const MAX_BLOCKED = 1_000;

/** What a user keeps from others. */
export interface Kept {
  hides: ReadonlySet<Hidable>;
  /** Whom he has blocked, and since when. */
  blocked: ReadonlyMap<string, number>;
}
const NOTHING: Kept = { hides: new Set(), blocked: new Map() };

const keptOf = ({ hides, blocked }: Privacy): Kept => ({
  hides: new Set(hides),
  blocked: new Map(blocked.map(({ user, at }) => [user, at])),
});

/** What a viewer may know of another user. */
export interface Sight {
  presence: boolean;
  /** One of the two hides when he was last seen. */
  isHidden: boolean;
  /** The viewer was blocked then. */
  blockedAt: number | undefined;
  /** The other one has been blocked by the viewer. */
  hasBlocked: boolean;
  typing: boolean;
  readReceipts: boolean;
}

const EVERYTHING: Sight = {
  presence: true,
  isHidden: false,
  blockedAt: undefined,
  hasBlocked: false,
  typing: true,
  readReceipts: true,
};

/** Who hides something does not see it of others. */
function sightOf(viewer: string, mine: Kept, theirs: Kept): Omit<Sight, 'hasBlocked'> {
  const blockedAt = theirs.blocked.get(viewer);
  const shows = (what: Hidable) => !mine.hides.has(what) && !theirs.hides.has(what);
  const isHidden = !shows('lastSeen');
  return {
    presence: blockedAt === undefined && !isHidden,
    isHidden,
    blockedAt,
    typing: blockedAt === undefined && shows('typing'),
    readReceipts: shows('readReceipts'),
  };
}

/** What everybody keeps from whom, cached so that the message path waits for nothing. */
export function createSights(deps: { store: PrivacyStore; clock: Clock }) {
  const cache = createCache<Kept>({ max: MAX_KEPT, ttlMs: KEEP_MS, clock: deps.clock });
  /** Rises with each change that is made here: what was read before it is not kept. */
  let changes = 0;

  const load = perTurn(async (asked: string[]): Promise<Map<string, Kept>> => {
    const before = changes;
    const users = [...new Set(asked)];
    const found = new Map(users.map((user) => [user, NOTHING]));
    for (const privacy of await deps.store.get(users)) {
      found.set(privacy.user, keptOf(privacy));
    }
    if (before === changes) for (const [user, kept] of found) cache.set(user, kept);
    return found;
  });

  async function of(users: string[]): Promise<(user: string) => Kept> {
    const known = new Map<string, Kept>();
    const missing: string[] = [];
    for (const user of new Set(users)) {
      const kept = cache.get(user);
      if (kept) known.set(user, kept);
      else missing.push(user);
    }
    if (missing.length > 0) {
      const loaded = await load(...missing);
      for (const user of missing) known.set(user, loaded.get(user) ?? NOTHING);
    }
    return (user) => known.get(user) ?? NOTHING;
  }

  function between(viewer: string, user: string, kept: (user: string) => Kept): Sight {
    const [mine, theirs] = [kept(viewer), kept(user)];
    // The rule, on the way of every message.
    if (mine === NOTHING && theirs === NOTHING) return EVERYTHING;
    return { ...sightOf(viewer, mine, theirs), hasBlocked: mine.blocked.has(user) };
  }

  return {
    of,
    /** As it is stored now: what the user has just changed at another node he must find. */
    fresh: async (user: string): Promise<Kept> => (await load(user)).get(user) ?? NOTHING,
    /** Without asking anybody: undefined when one of the two is not in the cache. */
    cached(viewer: string, user: string): Sight | undefined {
      const mine = cache.get(viewer);
      const theirs = mine && cache.get(user);
      return theirs && between(viewer, user, (id) => (id === viewer ? mine : theirs));
    },
    /** What a viewer may know of each of these. */
    async forViewer(viewer: string, users: string[]): Promise<(user: string) => Sight> {
      const kept = await of([viewer, ...users]);
      return (user) => between(viewer, user, kept);
    },
    changed(user: string): void {
      changes += 1;
      cache.delete(user);
    },
  };
}
export type Sights = ReturnType<typeof createSights>;

/** People as a viewer may see them; he sees himself as he is. */
export function seenBy(
  viewer: string,
  people: Map<string, Participant>,
  sight: (user: string) => Sight,
): Map<string, Participant> {
  const see = (id: string, person: Participant) => (id === viewer ? person : personSeen(person, sight(id).presence));
  return new Map([...people].map(([id, person]) => [id, see(id, person)]));
}

/**
 * Somebody else as a viewer may see him. Whoever blocks looks as if he had not come since; whoever hides, as if never, and
 * so does a deleted account, of which nobody knows any more what it hid.
 */
export function userSeen(user: UserRecord, isOnline: boolean, { presence, isHidden, blockedAt }: Sight) {
  const isGone = isDeleted(user);
  if (presence && !isGone) return userView(user, isOnline);
  const isUnknown = isGone || isHidden || blockedAt === undefined;
  const lastSeen = isUnknown ? user.createdAt : Math.min(user.lastSeen, blockedAt);
  return userView({ ...user, lastSeen }, false);
}

/** For who deletes his account. */
export async function forgetPrivacy(store: PrivacyStore, user: string): Promise<void> {
  const [kept] = await store.get([user]);
  if (!kept) return;
  await store.show(user, kept.hides);
  for (const { user: peer } of kept.blocked) await store.unblock(user, peer);
}

export interface PrivacyDeps {
  store: PrivacyStore;
  sights: Sights;
  users: UserStore;
  people: People;
  fanout: Fanout;
  clock: Clock;
  /** Finds out who is to be told that somebody, if he is online, seems to have come or gone; what it gives tells them. */
  appears: (user: string) => Promise<((isShown: boolean) => void) | undefined>;
}

/** Blocking, and what users hide from everybody. */
export function createPrivacy({ store, sights, users, people, fanout, clock, appears }: PrivacyDeps) {
  function somebodyElse(caller: Caller, userId: string): void {
    if (userId === caller.user) throw invalid([{ field: 'userId', message: 'must be another user' }]);
  }

  /**
   * Whether somebody is to be told that the caller, who is online, seems to have gone, or to have come. Where a repeat
   * changes nothing it is found out before anything changes: what failed half-way would be told to nobody. And once more
   * behind it: he may have come, and been announced, in between.
   */
  async function isNews(caller: Caller, peer: string): Promise<boolean> {
    const isOnline = (await people.get([caller.user])).get(caller.user)?.isOnline ?? false;
    const kept = await sights.of([caller.user, peer]);
    return isOnline && ![caller.user, peer].some((user) => kept(user).hides.has('lastSeen'));
  }

  function tell(caller: Caller, peer: string, { isShown, at }: { isShown: boolean; at: number }): void {
    const payload = { userId: caller.user, isOnline: isShown, lastSeen: iso(at) };
    fanout.toUser(peer, { name: 'user_status', payload });
  }

  function settingsOf({ hides }: Kept): RouteData<'privacy'> {
    return {
      privacy: {
        lastSeen: !hides.has('lastSeen'),
        typing: !hides.has('typing'),
        readReceipts: !hides.has('readReceipts'),
      },
    };
  }

  return {
    /**
     * From now on nothing of this user reaches the caller, and nothing of the caller's presence, typing and reading
     * reaches him: to him it looks as if the caller had gone away.
     * @throws DuetError VALIDATION_ERROR, NOT_FOUND; CONFLICT when the caller has blocked as many as may be
     */
    async block(caller: Caller, userId: string): Promise<{ userId: string }> {
      somebodyElse(caller, userId);
      const person = (await people.get([userId])).get(userId);
      if (!person || person.isDeleted) throw userNotFound();
      const { blocked } = await sights.fresh(caller.user);
      if (blocked.has(userId)) return { userId };
      if (blocked.size >= MAX_BLOCKED)
        throw new DuetError('CONFLICT', { message: `At most ${MAX_BLOCKED} users can be blocked` });
      const at = clock.now();
      const before = await isNews(caller, userId);
      // As if he had gone now: what is stored would say when he came, until he really goes.
      if (before) await users.seen([{ id: caller.user, at }]);
      await store.block(caller.user, userId, at);
      sights.changed(caller.user);
      const news = before || (await isNews(caller, userId).catch(() => false));
      if (news) tell(caller, userId, { isShown: false, at });
      return { userId };
    },

    /** Takes a block back, if there is one. What was sent meanwhile stays hidden. @throws DuetError VALIDATION_ERROR */
    async unblock(caller: Caller, userId: string): Promise<{ userId: string }> {
      somebodyElse(caller, userId);
      await store.unblock(caller.user, userId);
      sights.changed(caller.user);
      if (await isNews(caller, userId)) tell(caller, userId, { isShown: true, at: clock.now() });
      return { userId };
    },

    /** Those whom the caller has blocked, the last one first. */
    async blocks(caller: Caller): Promise<RouteData<'blocks'>> {
      const { blocked } = await sights.fresh(caller.user);
      const newestFirst = [...blocked].sort(([, one], [, other]) => other - one);
      const ids = newestFirst.map(([user]) => user);
      const [records, online, sight] = await Promise.all([
        users.get(ids),
        people.get(ids),
        sights.forViewer(caller.user, ids),
      ]);
      const byId = new Map(records.map((record) => [record.id, record]));
      return {
        blocks: newestFirst.flatMap(([id, at]) => {
          const record = byId.get(id);
          const isOnline = online.get(id)?.isOnline ?? false;
          return record ? [{ user: userSeen(record, isOnline, sight(id)), createdAt: iso(at) }] : [];
        }),
      };
    },

    async settings(caller: Caller): Promise<RouteData<'privacy'>> {
      return settingsOf(await sights.fresh(caller.user));
    },

    /** Whether somebody hears of others that they come and go: who hides himself does not. */
    async watches(user: string): Promise<boolean> {
      return !(await sights.fresh(user)).hides.has('lastSeen');
    },

    /** Changes what is named, and nothing else. */
    async change(caller: Caller, shown: RouteInput<'changePrivacy'>['body']): Promise<RouteData<'privacy'>> {
      const before = await sights.fresh(caller.user);
      const { lastSeen } = shown;
      const turns = lastSeen !== undefined && lastSeen === before.hides.has('lastSeen');
      // Before anything changes and behind it, as above.
      let appear = turns ? await appears(caller.user) : undefined;
      const named = Object.keys(shown) as Hidable[];
      await store.hide(
        caller.user,
        named.filter((what) => shown[what] === false),
      );
      await store.show(
        caller.user,
        named.filter((what) => shown[what]),
      );
      sights.changed(caller.user);
      try {
        if (turns) appear ??= await appears(caller.user).catch(() => undefined);
        // What another device has changed at the same time is in it.
        const { privacy } = settingsOf(await sights.fresh(caller.user));
        fanout.toUser(caller.user, { name: 'privacy_changed', payload: { privacy } });
        return { privacy };
      } finally {
        appear?.(lastSeen === true);
      }
    },
  };
}
