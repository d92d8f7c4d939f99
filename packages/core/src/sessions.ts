import { hash } from 'node:crypto';
import { DuetError, type RouteData, type RouteInput } from '@duet/contract';
import type { Tokens } from './auth-ports.ts';
import { createCache } from './cache.ts';
import type { Caller } from './messages.ts';
import type { Clock, EndedSession, Fanout, SessionRecord, SessionStore } from './ports.ts';
import { perTurn } from './turn.ts';
import { sessionView } from './views.ts';

/** Whoever asks twice (a lost answer, two tabs) within this time gets the same successor twice. */
const GRACE_MS = 10_000;
/**
 * An outage of the store may have begun so long before this node saw it; so long after it everybody whose rotation was
 * made in it, and never answered, has come back.
 */
const OUTAGE_MARGIN_MS = 60_000;
/** How often the store is asked what has ended, in case a signal got lost. */
const POLL_MS = 10_000;
/** A use is noted this often at most, and several times within the life of a session. */
const NOTE_USE_MS = 3_600_000;
const NOTES_OF_A_LIFE = 4;
const PURGE_MS = 3_600_000;
/** A node that has not asked the store for as long as this has no sockets any more. */
const KEEP_ENDS_MS = 24 * 3_600_000;
/** As long as somebody may be on his way in. */
const RECENT_MS = 60_000;
const MAX_RECENT = 100_000;
/** Devices on which somebody can be signed in: their list is read whole. */
const MAX_SESSIONS = 1_000;

export interface SessionDeps {
  sessions: SessionStore;
  tokens: Tokens;
  fanout: Fanout;
  clock: Clock;
  newId: () => string;
  /** 32 random bytes in base64url. */
  newSecret: () => string;
  /** How long a session lives without being used; not shorter than a token. */
  idleMs: number;
  failed: (error: unknown) => void;
}

type SignedIn = RouteData<'refresh'>;
type Listener = (ended: EndedSession) => void;

/** The one used last first. */
const byLastUse = (one: SessionRecord, other: SessionRecord): number => other.lastUsedAt - one.lastUsedAt;
const digest = (secret: string): string => hash('sha256', secret, 'base64url');
const REFRESH_TOKEN = /^([0-9a-f]{24})\.([0-9a-f]{24})\.([\w-]{43})$/;

export const sessionIdsOf = async (store: SessionStore, user: string): Promise<string[]> =>
  (await store.list(user)).map(({ id }) => id);

/**
 * Who is signed in where. A session is a family of refresh tokens of which only the newest is good; one that comes back
 * after it was replaced has been stolen from somebody, and ends the family (RFC 9700, 4.14).
 */
export function createSessions(deps: SessionDeps) {
  const { sessions: store, tokens, clock } = deps;
  const noteUseMs = Math.min(NOTE_USE_MS, deps.idleMs / NOTES_OF_A_LIFE);
  const listeners: Listener[] = [];
  const recent = createCache<true>({ max: MAX_RECENT, ttlMs: RECENT_MS, clock });
  const keyOf = ({ user, id }: EndedSession) => `${user} ${id}`;

  function answer({ user, id }: EndedSession, secret: string): SignedIn {
    return { ...tokens.issue(user, id), refreshToken: `${user}.${id}.${secret}` };
  }

  /** This node learns that a session is over, by whatever way; what it knows already it is not told again. */
  function heard(ended: EndedSession): void {
    if (recent.get(keyOf(ended))) return;
    recent.set(keyOf(ended), true);
    for (const listener of listeners) listener(ended);
  }

  async function endAll(user: string, ids: string[]): Promise<void> {
    if (ids.length === 0) return;
    const ended = ids.map((id) => ({ user, id }));
    await store.end(ended);
    deps.fanout.toUser(user, { name: 'session_ended', payload: { sessionIds: ids } });
    for (const each of ended) heard(each);
  }

  /**
   * When the store did not answer, the last time. The next answer ends it: failures now and then are many outages, not a
   * long one in which every token that was replaced would stay good.
   */
  let outage = { from: Number.NEGATIVE_INFINITY, until: Number.NEGATIVE_INFINITY, isOver: true, isOfSure: false };

  /**
   * The answer of the store, or a note that there is none.
   * @param isSure whether the store answers that only if it could have stored something: another answer says nothing
   * where such a one was missing, as a leader whose followers are away goes on reading
   */
  async function noting<T>(asked: Promise<T>, isSure = false): Promise<T> {
    const begun = clock.now();
    try {
      const answer = await asked;
      if (isSure || !outage.isOfSure) outage.isOver = true;
      return answer;
    } catch (error) {
      const { from, isOfSure } = outage.isOver ? { from: begun, isOfSure: false } : outage;
      outage = { from, until: clock.now(), isOver: false, isOfSure: isOfSure || isSure };
      throw error;
    }
  }

  const load = perTurn(async (asked: EndedSession[]) => {
    const found = await noting(store.get(asked));
    return new Map(found.map((session) => [keyOf(session), session]));
  });

  const isLiving = (session: SessionRecord | undefined): session is SessionRecord =>
    session !== undefined && session.expiresAt > clock.now();

  /** As it is now, also where another node has changed it a moment ago. @throws DuetError SESSION_REVOKED */
  async function surely(user: string, id: string): Promise<SessionRecord> {
    const [session] = await noting(store.get([{ user, id }], { sure: true }), true);
    if (!isLiving(session)) throw new DuetError('SESSION_REVOKED');
    return session;
  }

  const known = async (user: string, id: string) => (await load({ user, id })).get(keyOf({ user, id }));

  const used = (session: SessionRecord): SessionRecord => {
    const now = clock.now();
    return { ...session, lastUsedAt: now, expiresAt: now + deps.idleMs };
  };

  /** How much the clock is ahead of this node's by which all nodes note and judge when a token was replaced, in ms. */
  const ahead = async (): Promise<number> => (store.now === undefined ? 0 : (await store.now()) - clock.now());

  /** @returns undefined when the token is not the one that is good now, or somebody else was faster */
  async function rotate(session: SessionRecord, secret: string): Promise<SignedIn | undefined> {
    if (digest(secret) !== session.refreshHash) return undefined;
    const [next] = tokens.successors(secret) as [string];
    const { refreshHash: previousHash } = session;
    const rotatedAt = clock.now() + (await ahead());
    const rotated = { ...used(session), refreshHash: digest(next), previousHash, rotatedAt };
    return (await noting(store.replace(rotated, previousHash), true)) ? answer(session, next) : undefined;
  }

  /**
   * Whether somebody may still ask with the predecessor: the answer got lost a moment ago; or the store made the rotation
   * without being able to say so, and did not answer until a moment ago.
   */
  async function mayAskAgain(session: SessionRecord): Promise<boolean> {
    const rotatedAt = session.rotatedAt - (await ahead());
    const now = clock.now();
    const { from, until } = outage;
    const isInOutage = rotatedAt >= from - OUTAGE_MARGIN_MS && rotatedAt <= until;
    return now - rotatedAt <= GRACE_MS || (isInOutage && now - until <= OUTAGE_MARGIN_MS);
  }

  /** For the immediate predecessor of the token that is good now. Anything else ends the session. */
  async function again(session: SessionRecord, secret: string): Promise<SignedIn> {
    const isPredecessor = digest(secret) === session.previousHash;
    if (!isPredecessor || !(await mayAskAgain(session))) {
      await endAll(session.user, [session.id]);
      throw new DuetError('SESSION_REVOKED');
    }
    const next = tokens.successors(secret).find((candidate) => digest(candidate) === session.refreshHash);
    // Nothing is wrong, but only a node that has the key can answer.
    if (next === undefined) throw new DuetError('UNAVAILABLE', { cause: new Error('replaced with another key') });
    return answer(session, next);
  }

  let cursor: string | undefined;
  async function look(): Promise<void> {
    const news = await noting(store.ended(cursor));
    cursor = news.cursor;
    for (const ended of news.sessions) heard(ended);
  }
  let looking: Promise<void> | undefined;
  /** What ended while the signal of it got lost. */
  function poll(): Promise<void> {
    looking ??= look().finally(() => {
      looking = undefined;
    });
    return looking;
  }
  const pollByTheWay = () => void poll().catch(deps.failed);
  pollByTheWay();
  const purge = () => {
    const now = clock.now();
    store.purge({ expired: now, ended: now - KEEP_ENDS_MS }).catch(deps.failed);
  };
  const stops = [clock.every(POLL_MS, pollByTheWay), clock.every(PURGE_MS, purge)];

  async function endBeyondMost(user: string): Promise<void> {
    const all = await store.list(user);
    if (all.length <= MAX_SESSIONS) return;
    all.sort(byLastUse);
    await endAll(
      user,
      all.slice(MAX_SESSIONS).map(({ id }) => id),
    );
  }

  return {
    /** Signs a user in on a device; who is signed in on too many is signed out where he has been away the longest. */
    async begin(user: string, device: string): Promise<SignedIn & { session: string }> {
      const secret = deps.newSecret();
      const now = clock.now();
      const session: SessionRecord = {
        id: deps.newId(),
        user,
        device,
        createdAt: now,
        lastUsedAt: now,
        expiresAt: now + deps.idleMs,
        refreshHash: digest(secret),
        previousHash: '',
        rotatedAt: 0,
      };
      await store.create(session);
      await endBeyondMost(user);
      return { ...answer(session, secret), session: session.id };
    },

    /**
     * A new token and the successor of a refresh token.
     * @throws DuetError UNAUTHORIZED when it is no refresh token; SESSION_REVOKED when the session is over, or ends now
     * because the token was used; UNAVAILABLE also where a node with another key has made the successor
     */
    async refresh({ refreshToken }: RouteInput<'refresh'>['body']): Promise<SignedIn> {
      const [, user, id, secret] = REFRESH_TOKEN.exec(refreshToken) ?? [];
      if (!user || !id || !secret) throw new DuetError('UNAUTHORIZED');
      const session = await known(user, id);
      const renewed = isLiving(session) ? await rotate(session, secret) : undefined;
      // What is not good by an old state of the session has not been stolen.
      return renewed ?? (await rotate(await surely(user, id), secret)) ?? again(await surely(user, id), secret);
    },

    /** @throws DuetError SESSION_REVOKED */
    async check(user: string, id: string): Promise<void> {
      // Not surely: with tokens that were taken back anybody could make the store do as much as for a write.
      const session = await known(user, id);
      if (!isLiving(session)) throw new DuetError('SESSION_REVOKED');
      if (clock.now() - session.lastUsedAt < noteUseMs) return;
      store.replace(used(session), session.refreshHash).catch(deps.failed);
    },

    /** The devices on which the caller is signed in. */
    async list(caller: Caller): Promise<RouteData<'sessions'>> {
      const all = (await store.list(caller.user)).filter(({ expiresAt }) => expiresAt > clock.now());
      all.sort(byLastUse);
      const sessions = all.map((session) => ({
        _id: session.id,
        ...sessionView(session),
        current: session.id === caller.session,
      }));
      return { sessions };
    },

    /** @throws DuetError NOT_FOUND when the caller has no such session */
    async end(caller: Caller, id: string): Promise<Record<string, never>> {
      const [session] = await store.get([{ user: caller.user, id }]);
      if (!session) throw new DuetError('NOT_FOUND');
      await endAll(caller.user, [id]);
      return {};
    },

    /** Signs the caller out on this device. */
    async logout(caller: Caller): Promise<Record<string, never>> {
      if (caller.session !== undefined) await endAll(caller.user, [caller.session]);
      return {};
    },

    /** Ends all sessions of a user but one. */
    async endOthers(user: string, kept: string | undefined): Promise<void> {
      const ids = await sessionIdsOf(store, user);
      await endAll(
        user,
        ids.filter((id) => id !== kept),
      );
    },

    /** Ends everything of a user, also what begins at this moment. */
    async endUser(user: string): Promise<void> {
      await endAll(user, [...(await sessionIdsOf(store, user)), user]);
    },

    /**
     * Resolves when this node will learn of whatever ends from now on: what is let in before could stay for ever.
     * @throws DuetError UNAVAILABLE
     */
    listening: async (): Promise<void> => (cursor === undefined ? poll() : undefined),
    heard,
    /** Whether this node has just heard that a session, or everything of its user, is over. */
    hasEnded: (user: string, id: string | undefined): boolean =>
      recent.get(keyOf({ user, id: user })) === true || (id !== undefined && recent.get(keyOf({ user, id })) === true),
    /** `listener` is called for each session that is over, once on each node: at once, within 10 s if the signal is lost. */
    onEnded: (listener: Listener): void => void listeners.push(listener),

    close(): void {
      for (const stop of stops) stop();
    },
  };
}
export type Sessions = ReturnType<typeof createSessions>;
