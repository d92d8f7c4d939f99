import { DuetError, limits, type RouteData, type RouteInput } from '@duet/contract';
import { usableHash } from './account-lock.ts';
import type { Claims, HostTokens, Passwords, Tokens } from './auth-ports.ts';
import { createHostUsers, hostSessionOf, tokensAfter } from './host-users.ts';
import type { Caller } from './messages.ts';
import { newUser, normalise } from './names.ts';
import type { People } from './people.ts';
import type { Clock, Limiter, PrivacyStore, UserRecord, UserStore } from './ports.ts';
import { forgetPrivacy, type PrivacyDeps, type Sights, userSeen } from './privacy.ts';
import type { Sessions } from './sessions.ts';
import { deletedFields, isDeleted, userView } from './views.ts';

export interface AccountDeps {
  users: UserStore;
  people: People;
  privacy: PrivacyStore;
  sights: Sights;
  appears: PrivacyDeps['appears'];
  passwords: Passwords;
  tokens: Tokens;
  /** undefined: there is no host application. */
  hostTokens: HostTokens | undefined;
  /** Whether people make accounts by themselves. */
  registration: boolean;
  sessions: Sessions;
  limiter: Limiter;
  clock: Clock;
  newId: () => string;
}

const encodeCursor = (key: string): string => Buffer.from(key).toString('base64url');
const decodeCursor = (cursor: string): string => Buffer.from(cursor, 'base64url').toString();

/** Accounts, and the one way in. */
export function createAccounts(deps: AccountDeps) {
  const hostUsers = createHostUsers(deps);

  async function online(user: UserRecord): Promise<boolean> {
    return (await deps.people.get([user.id])).get(user.id)?.isOnline ?? false;
  }

  const attempts = new Map<string, Promise<unknown>>();

  /** Attempts for one account wait for each other: failures are counted before the next one, so many at once gain nothing. */
  function oneByOne<T>(emailKey: string, work: () => Promise<T>): Promise<T> {
    const mine = (attempts.get(emailKey) ?? Promise.resolve()).then(work, work);
    attempts.set(emailKey, mine);
    const ended = () => attempts.get(emailKey) === mine && attempts.delete(emailKey);
    mine.then(ended, ended);
    return mine;
  }

  /** @returns the user whose password this is. @throws DuetError INVALID_CREDENTIALS, RATE_LIMITED */
  async function attempt(emailKey: string, password: string, bucket: string): Promise<UserRecord> {
    const asked = await deps.limiter.take(bucket, limits.login_failure, 0);
    if (!asked.ok) throw new DuetError('RATE_LIMITED', { retryAfterMs: asked.retryAfterMs });
    const user = await deps.users.byEmail(emailKey);
    const right = await deps.passwords.verify(password, usableHash(user));
    if (!user || !right) {
      await deps.limiter.take(bucket, limits.login_failure);
      throw new DuetError('INVALID_CREDENTIALS');
    }
    return user;
  }
  /** @param bucket counts the failures */
  const verify = (emailKey: string, password: string, bucket: string) =>
    oneByOne(emailKey, () => attempt(emailKey, password, bucket));

  async function self(caller: Caller): Promise<UserRecord> {
    const [user] = await deps.users.get([caller.user]);
    if (!user || isDeleted(user)) throw new DuetError('UNAUTHORIZED');
    return user;
  }

  /** The caller, who has shown that he knows his password. */
  async function proven(caller: Caller, password: string): Promise<UserRecord> {
    const user = await self(caller);
    if (user.passwordHash === '') throw new DuetError('FORBIDDEN', { message: 'This account has no password here' });
    // By itself: strangers who guess keep nobody from changing his password.
    return verify(user.emailKey, password, `login_failure:user:${user.id}`);
  }

  /** The sessions last: who comes with one that is left shows that there is something to finish. */
  async function finishDeletion(user: string): Promise<void> {
    await forgetPrivacy(deps.privacy, user);
    await deps.sessions.endUser(user);
  }

  /** Who is to hear that somebody is gone for good, as long as it is known what he hides, and from whom. */
  async function farewell(user: string): Promise<((isShown: boolean) => void) | undefined> {
    const kept = (await deps.sights.of([user]))(user);
    return kept.hides.has('lastSeen') ? undefined : deps.appears(user);
  }

  /** What somebody who signs in is given. */
  async function signIn(user: UserRecord, device: string, isOnline: boolean) {
    const { session, ...tokens } = await deps.sessions.begin(user.id, device);
    const answer: RouteData<'login'> = { ...tokens, user: userView(user, isOnline) };
    return { session, answer };
  }

  return {
    /**
     * @param agent what the device is called when it does not say so itself
     * @throws DuetError CONFLICT that names the field whose value is taken; FORBIDDEN when registration is closed
     */
    async register(input: RouteInput<'register'>['body'], agent: string): Promise<RouteData<'register'>> {
      if (!deps.registration) throw new DuetError('FORBIDDEN', { message: 'Registration is closed' });
      const now = deps.clock.now();
      const { username, email } = input;
      const passwordHash = await deps.passwords.hash(input.password);
      const user = newUser({ id: deps.newId(), username, email, passwordHash }, now);
      // First the session: a failure behind the account would leave one whose owner is told, when he repeats it, that
      // somebody else has his name.
      const { session, answer } = await signIn(user, input.device ?? agent, false);
      try {
        await deps.users.create(user);
      } catch (error) {
        // If it stays: of nobody's session nothing comes, until it ends by itself.
        await deps.sessions.logout({ user: user.id, session }).catch(() => {});
        throw error;
      }
      return answer;
    },

    /**
     * Answers the same, after the same work, for an unknown email and a wrong password.
     * @throws DuetError INVALID_CREDENTIALS; RATE_LIMITED after too many failures of one account
     */
    async login(input: RouteInput<'login'>['body'], agent: string): Promise<RouteData<'login'>> {
      const emailKey = normalise(input.email.trim());
      const user = await verify(emailKey, input.password, `login_failure:email:${emailKey}`);
      const { session, answer } = await signIn(user, input.device ?? agent, await online(user));
      // A password that was changed meanwhile has ended the sessions that were there, and this one came too late for that.
      const [now] = await deps.users.get([user.id]);
      if (now?.passwordHash === user.passwordHash) return answer;
      await deps.sessions.logout({ user: user.id, session });
      throw new DuetError('INVALID_CREDENTIALS');
    },

    /**
     * Changes the caller's password and ends his other sessions.
     * @throws DuetError INVALID_CREDENTIALS, also when the account was disabled meanwhile; RATE_LIMITED; FORBIDDEN when he
     * has no password
     */
    async changePassword(caller: Caller, input: RouteInput<'changePassword'>['body']): Promise<Record<string, never>> {
      const user = await proven(caller, input.currentPassword);
      const passwordHash = await deps.passwords.hash(input.newPassword);
      // First the sessions: a failure in between then changes nothing for who repeats it, while his repeat of a change
      // that was made would have the wrong password, and a thief would stay. Once more for what began meanwhile.
      await deps.sessions.endOthers(user.id, caller.session);
      // Hashing takes its time: what an operator has done with the account in it stays done.
      await deps.users.update(user.id, { passwordHash }, { passwordHash: user.passwordHash });
      const [now] = await deps.users.get([user.id]);
      if (now?.passwordHash !== passwordHash) throw new DuetError('INVALID_CREDENTIALS');
      await deps.sessions.endOthers(user.id, caller.session);
      return {};
    },

    /**
     * Deletes the caller's account: nobody can sign in to it, name and email are free again, and what others have of
     * the conversations stays readable.
     * @throws DuetError INVALID_CREDENTIALS, RATE_LIMITED; FORBIDDEN when he has no password
     */
    async delete(caller: Caller, input: RouteInput<'deleteAccount'>['body']): Promise<Record<string, never>> {
      const { id } = await proven(caller, input.password);
      const tell = await farewell(id).catch(() => undefined);
      await deps.users.update(id, deletedFields(id));
      await finishDeletion(id);
      tell?.(false);
      return {};
    },

    /** Signs the caller out on this device; one who came with a token of the host application on all of them. */
    async logout(caller: Caller): Promise<Record<string, never>> {
      const [user] = await deps.users.get([caller.user]);
      // Before the session has another name, or what failed half-way could not be repeated.
      const answer = await deps.sessions.logout(caller);
      if (!user || caller.session !== hostSessionOf(user)) return answer;
      await deps.users.update(user.id, tokensAfter(user, deps.clock.now()));
      return deps.sessions.logout(caller);
    },

    /**
     * The one way in, for REST and sockets. The session, or a host's user, is read each time: what has ended is refused at
     * once, everywhere.
     * @throws DuetError UNAUTHORIZED, TOKEN_EXPIRED, SESSION_REVOKED; UNAVAILABLE
     */
    async authenticate(token: string): Promise<Claims> {
      const identity = await deps.hostTokens?.verify(token);
      if (identity) return hostUsers.admit(identity);
      const claims = deps.tokens.verify(token);
      const { user, session } = claims;
      const [people] = await Promise.all([deps.people.get([user]), deps.sessions.check(user, session)]);
      const person = people.get(user);
      // A deletion that failed half-way, which nobody can repeat: it is brought to its end here.
      if (person?.isDeleted) await finishDeletion(user);
      if (!person || person.isDeleted) throw new DuetError('UNAUTHORIZED');
      return claims;
    },

    async me(caller: Caller): Promise<RouteData<'me'>> {
      const user = await self(caller);
      return { user: userView(user, await online(user)) };
    },

    /** Everyone but the caller, ordered by name without regard to case. */
    async list(caller: Caller, query: RouteInput<'users'>['query']): Promise<RouteData<'users'>> {
      const users = await deps.users.list({
        limit: query.limit,
        except: caller.user,
        ...(query.q ? { prefix: normalise(query.q) } : {}),
        ...(query.cursor ? { after: decodeCursor(query.cursor) } : {}),
      });
      const ids = users.map((user) => user.id);
      const [people, sight] = await Promise.all([deps.people.get(ids), deps.sights.forViewer(caller.user, ids)]);
      const views = users.map((user) => userSeen(user, people.get(user.id)?.isOnline ?? false, sight(user.id)));
      const last = users.length === query.limit ? users.at(-1) : undefined;
      return last ? { users: views, nextCursor: encodeCursor(last.usernameKey) } : { users: views };
    },
  };
}
export type Accounts = ReturnType<typeof createAccounts>;
