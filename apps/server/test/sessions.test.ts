import { join } from 'node:path';
import { DuetError } from '@duet/contract';
import { createSqliteStore } from '@duet/store-sqlite';
import {
  collect,
  connect,
  createManualClock,
  databaseOf,
  eventually,
  hasMongo,
  hasRedis,
  type ManualClock,
  next,
  open,
  register,
  rest,
  startMongo,
  startRedis,
  temporaryFolder,
} from '@duet/testkit';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { failure, payload, success } from './answers.ts';
import { SECRET, startNode } from './in-process.ts';
import { closed, refusal } from './sessions-suite.ts';

const MINUTE_MS = 60_000;

interface TestNode extends AsyncDisposable {
  url: string;
  clock: ManualClock;
}

/** A node of this process whose clock stands until it is moved. */
async function startStill(environment: Record<string, string>): Promise<TestNode> {
  const clock = createManualClock();
  return { ...(await startNode(environment, { clock })), clock };
}

/** Two nodes on one database that know nothing of each other: every signal between them is lost. */
async function startTwo(folder: string, environment: Record<string, string> = {}) {
  await using stack = new AsyncDisposableStack();
  const one = stack.use(await startStill({ DATA_DIR: folder, ...environment }));
  const two = stack.use(await startStill({ DATA_DIR: folder, ...environment }));
  const disposal = stack.move();
  const advance = (ms: number) => Promise.all([one, two].map(({ clock }) => clock.advance(ms)));
  return { one, two, advance, [Symbol.asyncDispose]: () => disposal.disposeAsync() };
}

async function signIn({ url }: Pick<TestNode, 'url'>, name: string) {
  const { email, password } = await register(url, name);
  return success('login', await rest(url, '/auth/login', { body: { email, password } }));
}
const refresh = ({ url }: TestNode, refreshToken: string) => rest(url, '/auth/refresh', { body: { refreshToken } });
const me = ({ url }: TestNode, token: string) => rest(url, '/auth/me', { token });

describe('sessions, by the clock', () => {
  let folder: ReturnType<typeof temporaryFolder>;
  beforeAll(() => {
    folder = temporaryFolder();
  });
  afterAll(() => folder?.[Symbol.dispose]());
  let made = 0;
  const data = () => join(folder.path, `${made++}`);

  test('I3 a session lives while it is used, and ends after its time without use', async () => {
    await using node = await startStill({ DATA_DIR: data(), JWT_EXPIRES_IN: '2h', REFRESH_EXPIRES_IN: '2h' });
    const [used, unused] = [await signIn(node, 'used'), await signIn(node, 'unused')];
    const lastUse = async () => {
      const { sessions } = success('sessions', await rest(node.url, '/auth/sessions', { token: used.token }));
      return Date.parse(sessions.find((each: { current: boolean }) => each.current).lastUsedAt);
    };
    await node.clock.advance(80 * MINUTE_MS);
    success('me', await me(node, used.token));
    await eventually(async () => (await lastUse()) === node.clock.now(), 'the use is noted');
    await node.clock.advance(80 * MINUTE_MS);
    success('refresh', await refresh(node, used.refreshToken));
    failure(await refresh(node, unused.refreshToken), 401, 'SESSION_REVOKED');
  });

  test('I4 the immediate predecessor is good for 10 s, and ends the session after them', async () => {
    const { one, two, advance, ...both } = await startTwo(data());
    await using _ = both;
    const { refreshToken } = await signIn(one, 'late');
    const second = success('refresh', await refresh(one, refreshToken));
    await advance(10_000);
    expect(success('refresh', await refresh(two, refreshToken)).refreshToken).toBe(second.refreshToken);
    await advance(1);
    failure(await refresh(two, refreshToken), 401, 'SESSION_REVOKED');
    failure(await refresh(one, second.refreshToken), 401, 'SESSION_REVOKED');
  });

  test('I5 the predecessor of the predecessor ends the session at once', async () => {
    await using node = await startStill({ DATA_DIR: data() });
    const { refreshToken, token } = await signIn(node, 'older');
    const second = success('refresh', await refresh(node, refreshToken));
    const third = success('refresh', await refresh(node, second.refreshToken));
    failure(await refresh(node, refreshToken), 401, 'SESSION_REVOKED');
    failure(await refresh(node, third.refreshToken), 401, 'SESSION_REVOKED');
    failure(await me(node, token), 401, 'SESSION_REVOKED');
  });

  test('I10 a socket hears that its token expires, and is closed then as if the connection were lost', async () => {
    await using node = await startStill({ DATA_DIR: data(), JWT_EXPIRES_IN: '15m' });
    const { token } = await signIn(node, 'expiring');
    using socket = await connect(node.url, token, { reconnection: false });
    const notices = collect(socket, 'token_expiring');
    await node.clock.advance(14 * MINUTE_MS - 1_000);
    expect(await socket.emitWithAck('sync', {})).toMatchObject({ ok: true });
    expect(notices).toEqual([]);
    await node.clock.advance(2_000);
    await eventually(() => notices.length === 1, 'it is told');
    const expiresAt = payload('token_expiring', notices[0]).expiresAt;
    const end = closed(socket);
    await node.clock.advance(Date.parse(expiresAt) - node.clock.now() + 1_000);
    expect(await end).toEqual({ code: 'TOKEN_EXPIRED', reason: 'transport close' });
    expect(notices).toHaveLength(1);
    expect(await refusal(node.url, token)).toBe('TOKEN_EXPIRED');
  });

  test('I10 a socket that renews its token stays, until the new one expires', async () => {
    await using node = await startStill({ DATA_DIR: data(), JWT_EXPIRES_IN: '15m' });
    const { token, refreshToken } = await signIn(node, 'renewing');
    using socket = await connect(node.url, token, { reconnection: false });
    await node.clock.advance(14 * MINUTE_MS);
    const fresh = success('refresh', await refresh(node, refreshToken));
    const { data: renewed } = await socket.emitWithAck('renew', { token: fresh.token });
    await node.clock.advance(10 * MINUTE_MS);
    expect(await socket.emitWithAck('sync', {})).toMatchObject({ ok: true });
    const notice = next(socket, 'token_expiring');
    await node.clock.advance(4 * MINUTE_MS);
    expect(await notice).toEqual(renewed);
    const end = closed(socket);
    await node.clock.advance(MINUTE_MS);
    expect(await end).toMatchObject({ code: 'TOKEN_EXPIRED' });
  });

  test('I11 when the signal is lost, the sockets of a session that ended are closed within 10 s all the same', async () => {
    const { one, two, ...both } = await startTwo(data());
    await using _ = both;
    const { token, user } = await signIn(one, 'lost');
    const stays = await signIn(one, 'stays');
    using socket = await connect(two.url, token, { reconnection: false });
    using other = await connect(two.url, stays.token, { reconnection: false });
    success('logout', await rest(one.url, '/auth/logout', { method: 'POST', token }));
    // It takes no new connection and no request, but knows nothing of the socket that it has.
    failure(await me(two, token), 401, 'SESSION_REVOKED');
    expect(await socket.emitWithAck('sync', {})).toMatchObject({ ok: true });
    const end = closed(socket);
    await two.clock.advance(10_000);
    expect(await end).toEqual({ code: 'SESSION_REVOKED', reason: 'io server disconnect' });
    expect(await other.emitWithAck('typing_start', { receiverId: user._id })).toMatchObject({ ok: true });
  });

  test('I30 a node that does not know yet from where on sessions have ended lets no socket in', async () => {
    const folder = data();
    await using one = await startStill({ DATA_DIR: folder });
    const { token } = await signIn(one, 'early');
    const store = createSqliteStore({ file: join(folder, 'duet.db') });
    const { ended } = store.sessions;
    let fails = true;
    store.sessions.ended = async (cursor) => {
      if (fails) throw new DuetError('UNAVAILABLE');
      return ended(cursor);
    };
    const clock = createManualClock();
    await using two = await startNode({ DATA_DIR: folder }, { clock, store });
    using socket = open(two.url, token);
    const letIn = new Promise((resolve) => socket.once('connect', () => resolve('let in')));
    const turnedAway = new Promise((resolve) => socket.io.once('close', () => resolve('turned away')));
    expect(await Promise.race([letIn, turnedAway])).toBe('turned away');
    fails = false;
    expect(await letIn).toBe('let in');
    success('logout', await rest(one.url, '/auth/logout', { method: 'POST', token }));
    const end = closed(socket);
    await clock.advance(10_000);
    expect(await end).toMatchObject({ code: 'SESSION_REVOKED' });
  });

  test('I11 an account that is deleted while the signal is lost loses all its sockets', async () => {
    const { one, two, ...both } = await startTwo(data());
    await using _ = both;
    const gone = await register(one.url, 'gone');
    using socket = await connect(two.url, gone.token, { reconnection: false });
    const { token, password } = gone;
    success('deleteAccount', await rest(one.url, '/auth/me', { method: 'DELETE', token, body: { password } }));
    const end = closed(socket);
    await two.clock.advance(10_000);
    expect(await end).toMatchObject({ code: 'SESSION_REVOKED' });
  });

  test('I12 when the key is changed nobody is signed out: not while both are known, and not by a refresh after', async () => {
    const DATA_DIR = data();
    const OTHER = SECRET.toUpperCase();
    let signedIn: { token: string; refreshToken: string };
    {
      await using before = await startStill({ DATA_DIR });
      signedIn = await signIn(before, 'rotating');
    }
    {
      await using during = await startStill({ DATA_DIR, JWT_SECRET: OTHER, JWT_SECRET_PREVIOUS: SECRET });
      success('me', await me(during, signedIn.token));
      using socket = await connect(during.url, signedIn.token);
      expect(socket.connected).toBe(true);
    }
    await using after = await startStill({ DATA_DIR, JWT_SECRET: OTHER });
    failure(await me(after, signedIn.token), 401, 'UNAUTHORIZED');
    const renewed = success('refresh', await refresh(after, signedIn.refreshToken));
    success('me', await me(after, renewed.token));
  });

  test('I12 a node that has not the key with which a token was replaced leaves the answer to one that has', async () => {
    const DATA_DIR = data();
    await using old = await startStill({ DATA_DIR });
    await using changed = await startStill({
      ...{ DATA_DIR, JWT_SECRET: SECRET.toUpperCase(), JWT_SECRET_PREVIOUS: SECRET },
    });
    const { refreshToken } = await signIn(old, 'between');
    const second = success('refresh', await refresh(changed, refreshToken));
    failure(await refresh(old, refreshToken), 503, 'UNAVAILABLE');
    expect(success('refresh', await refresh(changed, refreshToken)).refreshToken).toBe(second.refreshToken);
    success('refresh', await refresh(old, second.refreshToken));
  });

  test.skipIf(!hasMongo())('I4 nodes whose clocks differ take the immediate predecessor all the same', async () => {
    await using mongo = await startMongo();
    const MONGODB_URI = databaseOf(mongo.url, `i4-${Date.now()}`);
    const { one, two, ...both } = await startTwo(data(), { MONGODB_URI });
    await using _ = both;
    two.clock.jump(3_600_000);
    const { refreshToken } = await signIn(one, 'skewed');
    const second = success('refresh', await refresh(one, refreshToken));
    expect(success('refresh', await refresh(two, refreshToken)).refreshToken).toBe(second.refreshToken);
  });

  describe.skipIf(!hasRedis())('with Redis', () => {
    test('I11 the sockets of a session that ended are closed on every node at once, by the signal alone', async () => {
      await using redis = await startRedis();
      // Their clocks stand: nobody asks the store.
      const { one, two, ...both } = await startTwo(data(), { REDIS_URL: redis.url, REDIS_PREFIX: `i11-${Date.now()}` });
      await using _ = both;
      const { token } = await signIn(one, 'signal');
      using here = await connect(one.url, token, { reconnection: false });
      using there = await connect(two.url, token, { reconnection: false });
      using alsoThere = await connect(two.url, token, { reconnection: false, transports: ['polling'] });
      const ends = [here, there, alsoThere].map(closed);
      const told = next(there, 'session_ended');
      success('logout', await rest(one.url, '/auth/logout', { method: 'POST', token }));
      for (const end of await Promise.all(ends)) expect(end.code).toBe('SESSION_REVOKED');
      expect(payload('session_ended', await told).sessionIds).toHaveLength(1);
    });

    test('C6 all connections of whoever deletes his account are ended, on every node, by the signal alone', async () => {
      await using redis = await startRedis();
      const { one, two, ...both } = await startTwo(data(), { REDIS_URL: redis.url, REDIS_PREFIX: `c6-${Date.now()}` });
      await using _ = both;
      const gone = await register(one.url, 'gone');
      const { email, password, token } = gone;
      const phone = success('login', await rest(two.url, '/auth/login', { body: { email, password } }));
      const stays = await signIn(one, 'stays');
      using here = await connect(one.url, token, { reconnection: false });
      using there = await connect(two.url, token, { reconnection: false });
      using phoneThere = await connect(two.url, phone.token, { reconnection: false });
      using other = await connect(two.url, stays.token, { reconnection: false });
      const ends = [here, there, phoneThere].map(closed);
      const told = next(there, 'session_ended');
      success('deleteAccount', await rest(one.url, '/auth/me', { method: 'DELETE', token, body: { password } }));
      for (const end of await Promise.all(ends)) expect(end.code).toBe('SESSION_REVOKED');
      expect(payload('session_ended', await told).sessionIds).toContain(gone.id);
      expect(await other.emitWithAck('sync', {})).toMatchObject({ ok: true });
    });
  });
});

/** A store whose next question about privacy is held up: what somebody hides is the last that is asked of who comes. */
function createHeldStore(folder: string) {
  const store = createSqliteStore({ file: join(folder, 'duet.db') });
  const asked = Promise.withResolvers<void>();
  const released = Promise.withResolvers<void>();
  const { get } = store.privacy;
  let isHeld = false;
  store.privacy.get = async (users) => {
    if (isHeld) {
      isHeld = false;
      asked.resolve();
      await released.promise;
    }
    return get(users);
  };
  const hold = () => {
    isHeld = true;
  };
  return { store, hold, asked: asked.promise, release: released.resolve };
}

test('I6 who signs out while his socket is on its way in is not let in, and not online', async () => {
  using folder = temporaryFolder();
  const { store, hold, asked, release } = createHeldStore(folder.path);
  await using node = await startNode({ DATA_DIR: folder.path }, { store });
  const [alice, bob] = await Promise.all([register(node.url), register(node.url)]);
  hold();
  const end = refusal(node.url, alice.token);
  await asked;
  success('logout', await rest(node.url, '/auth/logout', { method: 'POST', token: alice.token }));
  release();
  await end;
  const { users } = success('users', await rest(node.url, '/auth/users', { token: bob.token }));
  expect(users).toMatchObject([{ _id: alice.id, isOnline: false }]);
});

test('I10 a token that is about to expire while its socket is on its way in is not overlooked', async () => {
  using folder = temporaryFolder();
  const { store, hold, asked, release } = createHeldStore(folder.path);
  const clock = createManualClock();
  await using node = await startNode({ DATA_DIR: folder.path, JWT_EXPIRES_IN: '15m' }, { store, clock });
  const { token } = await register(node.url);
  hold();
  const coming = connect(node.url, token, { reconnection: false });
  await asked;
  // Whoever is here is looked at now; it is not here yet.
  await clock.advance(14 * MINUTE_MS + 30_000);
  release();
  using socket = await coming;
  const end = closed(socket);
  await clock.advance(MINUTE_MS);
  expect(await end).toEqual({ code: 'TOKEN_EXPIRED', reason: 'transport close' });
});

test('O8 a node that has stopped looks at nothing any more', async () => {
  using folder = temporaryFolder();
  const clock = createManualClock();
  let tickers = 0;
  const every: typeof clock.every = (ms, work) => {
    const stop = clock.every(ms, work);
    tickers += 1;
    return () => {
      tickers -= 1;
      stop();
    };
  };
  const node = await startNode({ DATA_DIR: folder.path }, { clock: { ...clock, every } });
  expect(tickers).toBeGreaterThan(0);
  await node[Symbol.asyncDispose]();
  expect(tickers).toBe(0);
});
