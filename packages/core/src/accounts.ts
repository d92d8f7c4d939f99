import { DuetError, limits, type RouteData, type RouteInput } from '@duet/contract';
import type { Caller } from './messages.ts';
import type { People } from './people.ts';
import type { Clock, Limiter, Passwords, Tokens, UserRecord, UserStore } from './ports.ts';
import { userView } from './views.ts';

export interface AccountDeps {
  users: UserStore;
  people: People;
  passwords: Passwords;
  tokens: Tokens;
  limiter: Limiter;
  clock: Clock;
  newUserId: () => string;
}

/** What uniqueness is judged by: compatibility forms and case folded, so that look-alikes of one name are one account. */
const normalise = (text: string): string => text.normalize('NFKC').toLowerCase();

const encodeCursor = (key: string): string => Buffer.from(key).toString('base64url');
const decodeCursor = (cursor: string): string => Buffer.from(cursor, 'base64url').toString();

export function createAccounts(deps: AccountDeps) {
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

  async function attempt(emailKey: string, password: string): Promise<RouteData<'login'>> {
    const bucket = `login_failure:${emailKey}`;
    const asked = await deps.limiter.take(bucket, limits.login_failure, 0);
    if (!asked.ok) throw new DuetError('RATE_LIMITED', { retryAfterMs: asked.retryAfterMs });
    const user = await deps.users.byEmail(emailKey);
    const right = await deps.passwords.verify(password, user?.passwordHash);
    if (!user || !right) {
      await deps.limiter.take(bucket, limits.login_failure);
      throw new DuetError('INVALID_CREDENTIALS');
    }
    return { token: deps.tokens.issue(user.id), user: userView(user, await online(user)) };
  }

  return {
    /** @throws DuetError CONFLICT that names the field whose value is taken */
    async register(input: RouteInput<'register'>['body']): Promise<RouteData<'register'>> {
      const now = deps.clock.now();
      const user: UserRecord = {
        id: deps.newUserId(),
        username: input.username,
        usernameKey: normalise(input.username),
        email: input.email,
        emailKey: normalise(input.email),
        passwordHash: await deps.passwords.hash(input.password),
        createdAt: now,
        lastSeen: now,
      };
      await deps.users.create(user);
      return { token: deps.tokens.issue(user.id), user: userView(user, false) };
    },

    /**
     * Answers the same, after the same work, for an unknown email and a wrong password.
     * @throws DuetError INVALID_CREDENTIALS; RATE_LIMITED after too many failures of one account
     */
    async login(input: RouteInput<'login'>['body']): Promise<RouteData<'login'>> {
      const emailKey = normalise(input.email.trim());
      return oneByOne(emailKey, () => attempt(emailKey, input.password));
    },

    /**
     * The one way in, for REST and sockets.
     * @returns the id of the user whose token this is
     * @throws DuetError UNAUTHORIZED, TOKEN_EXPIRED
     */
    async authenticate(token: string): Promise<string> {
      const user = deps.tokens.verify(token);
      if (!(await deps.people.get([user])).has(user)) throw new DuetError('UNAUTHORIZED');
      return user;
    },

    async me(caller: Caller): Promise<RouteData<'me'>> {
      const [user] = await deps.users.get([caller.user]);
      if (!user) throw new DuetError('UNAUTHORIZED');
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
      const people = await deps.people.get(users.map((user) => user.id));
      const views = users.map((user) => userView(user, people.get(user.id)?.isOnline ?? false));
      const last = users.length === query.limit ? users.at(-1) : undefined;
      return last ? { users: views, nextCursor: encodeCursor(last.usernameKey) } : { users: views };
    },
  };
}
export type Accounts = ReturnType<typeof createAccounts>;
