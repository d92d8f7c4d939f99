import { join } from 'node:path';
import { createSqliteStore } from '@duet/store-sqlite';
import {
  collect,
  connect,
  createManualClock,
  eventually,
  type HostApp,
  type ManualClock,
  newSigningKey,
  register,
  rest,
  type SigningKey,
  signToken,
  startHostApp,
  temporaryFolder,
} from '@duet/testkit';
import { describe, expect, test } from 'vitest';
import { readConfig } from '../src/config.ts';
import { failure, payload, success } from './answers.ts';
import { SECRET, startNode } from './in-process.ts';
import { closed, refusal } from './sessions-suite.ts';

const MINUTE_MS = 60_000;

interface Stage extends AsyncDisposable {
  url: string;
  clock: ManualClock;
  host: HostApp;
  me(token: string): ReturnType<typeof rest>;
}

/** A node of this process and a host application, by one clock that stands until it is moved. */
async function startStage(prepare: (host: HostApp) => unknown = () => {}): Promise<Stage> {
  await using stack = new AsyncDisposableStack();
  const clock = createManualClock();
  const host = stack.use(await startHostApp(clock.now));
  await prepare(host);
  const folder = stack.use(temporaryFolder());
  const { url } = stack.use(await startNode({ DATA_DIR: folder.path, ...host.environment }, { clock }));
  const disposal = stack.move();
  return {
    url,
    clock,
    host,
    me: (token) => rest(url, '/auth/me', { token }),
    [Symbol.asyncDispose]: () => disposal.disposeAsync(),
  };
}

/** A token that names a key which nobody has. */
const strange = (host: HostApp) => signToken(newSigningKey('EdDSA'), host.claims('mallory'));

describe('keys of the host application', () => {
  test.each(['RS256', 'PS256', 'ES256', 'EdDSA'] as const)('I20 keys of %s are good', async (alg) => {
    await using on = await startStage((host) => {
      host.keys = [newSigningKey(alg)];
    });
    success('me', await on.me(on.host.token('ada')));
  });

  test('I20 of two nodes that both know nobody yet, one makes the user, and both let him in', async () => {
    await using host = await startHostApp();
    using folder = temporaryFolder();
    const bothWant = Promise.withResolvers<void>();
    let want = 0;
    const start = () => {
      const store = createSqliteStore({ file: join(folder.path, 'duet.db') });
      const { create } = store.users;
      store.users.create = async (user) => {
        want += 1;
        if (want === 2) bothWant.resolve();
        await bothWant.promise;
        await create(user);
      };
      return startNode({ DATA_DIR: folder.path, ...host.environment }, { store });
    };
    await using one = await start();
    await using other = await start();
    const token = host.token('ada', { name: 'Ada' });
    const seen = await Promise.all([one, other].map(({ url }) => rest(url, '/auth/me', { token })));
    const [first, second] = seen.map((answer) => success('me', answer).user);
    expect(first).toMatchObject({ username: 'Ada' });
    expect(second).toEqual(first);
    expect(want).toBe(2);
  });

  test('I23 a key that is new is found when a token names it, and one that was taken back is good no longer', async () => {
    await using on = await startStage();
    const { host, clock } = on;
    const before = host.token('ada');
    success('me', await on.me(before));
    const [first] = host.keys as [SigningKey];
    host.keys = [newSigningKey('ES256'), first];
    await clock.advance(10_000);
    success('me', await on.me(host.token('ada')));
    success('me', await on.me(before));
    expect(host.asked).toBe(2);
    host.keys = host.keys.slice(0, 1);
    await clock.advance(5 * MINUTE_MS);
    await eventually(async () => (await on.me(before)).status === 401, 'the key is forgotten');
    failure(await on.me(before), 401, 'UNAUTHORIZED');
    success('me', await on.me(host.token('ada')));
  });

  test('I23 of tokens that name no key all are tried, and a new one is found', async () => {
    const [first, second, third] = [newSigningKey('ES256'), newSigningKey('ES256'), newSigningKey('ES256')] as const;
    await using on = await startStage((host) => {
      host.keys = [first];
    });
    const { host, clock } = on;
    const unnamed = (key: SigningKey, changes?: object) =>
      on.me(signToken(key, host.claims('ada', changes), { kid: undefined }));
    success('me', await unnamed(first));
    host.keys = [second];
    await clock.advance(10_000);
    success('me', await unnamed(second));
    failure(await unnamed(first), 401, 'UNAUTHORIZED');
    host.keys = [third, second];
    await clock.advance(10_000);
    for (const key of host.keys) success('me', await unnamed(key));
    failure(await unnamed(second, { exp: Math.floor(clock.now() / 1_000) - 60 }), 401, 'TOKEN_EXPIRED');
    expect(host.asked).toBe(3);
    // However many come whose key nobody has.
    await clock.advance(10_000);
    for (let i = 0; i < 20; i++) failure(await unnamed(first), 401, 'UNAUTHORIZED');
    expect(host.asked).toBe(4);
    // Who names a key is not helped by another one, whether it is known or not.
    await clock.advance(10_000);
    failure(await on.me(signToken({ ...second, kid: third.kid }, host.claims('ada'))), 401, 'UNAUTHORIZED');
    expect(host.asked).toBe(4);
  });

  test('I23 however many unknown keys are named, the host is asked once in 10 s', async () => {
    await using on = await startStage();
    const { host, clock } = on;
    success('me', await on.me(host.token('ada')));
    expect(host.asked).toBe(1);
    const flood = async () => {
      const answers = await Promise.all(Array.from({ length: 100 }, () => on.me(strange(host))));
      for (const answer of answers) failure(answer, 401, 'UNAUTHORIZED');
      expect(await refusal(on.url, strange(host))).toBe('UNAUTHORIZED');
    };
    // Keys were had a moment ago.
    await flood();
    expect(host.asked).toBe(1);
    await clock.advance(10_000);
    await flood();
    await flood();
    expect(host.asked).toBe(2);
    await clock.advance(9_999);
    await flood();
    expect(host.asked).toBe(2);
    success('me', await on.me(host.token('ada')));
  });

  test('I23 a host that fails is asked no more often than one that answers', async () => {
    await using on = await startStage((host) => {
      host.fault = 'error';
    });
    const { host, clock } = on;
    const flood = async () => {
      const answers = await Promise.all(Array.from({ length: 50 }, () => on.me(strange(host))));
      for (const answer of answers) failure(answer, 503, 'UNAVAILABLE');
    };
    await flood();
    await flood();
    expect(host.asked).toBe(1);
    await clock.advance(10_000);
    await flood();
    await eventually(() => host.asked === 2, 'it is asked again');
    await flood();
    expect(host.asked).toBe(2);
  });

  test('I24 a node starts without its host, serves its own users, and lets the host’s in when it is there', async () => {
    await using on = await startStage((host) => host.stop());
    const { host, clock, url } = on;
    const own = await register(url, 'own');
    using socket = await connect(url, own.token);
    expect(socket.connected).toBe(true);
    expect((await fetch(`${url}/ready`)).status).toBe(200);
    const token = host.token('ada');
    await eventually(async () => (await on.me(token)).status === 503, 'its keys cannot be had');
    const answer = await on.me(token);
    failure(answer, 503, 'UNAVAILABLE');
    expect(answer.body.retryAfterMs).toBeGreaterThan(0);
    // What nobody has signed is refused once that is known, and not before.
    failure(await on.me(strange(host)), 503, 'UNAVAILABLE');
    await host.start();
    await clock.advance(10_000);
    // A stock client comes by itself: it was not refused.
    using waiting = await connect(url, token).catch(() => connect(url, token));
    expect(waiting.connected).toBe(true);
    success('me', await on.me(token));
    failure(await on.me(strange(host)), 401, 'UNAUTHORIZED');
  });

  test.each(['gone', 'error', 'nonsense', 'silence'] as const)(
    'I24 while the host is away (%s), keys that are known go on serving',
    async (how) => {
      await using on = await startStage();
      const { host, clock, url } = on;
      success('me', await on.me(host.token('ada')));
      if (how === 'gone') await host.stop();
      else host.fault = how;
      const rotated = newSigningKey();
      for (const wait of [10_000, 5 * MINUTE_MS, 60 * MINUTE_MS]) {
        await clock.advance(wait);
        success('me', await on.me(host.token('ada')));
        using socket = await connect(url, host.token('grace'));
        expect(await socket.emitWithAck('renew', { token: host.token('grace') })).toMatchObject({ ok: true });
      }
      // A key that is not known might be a new one.
      const newer = () => on.me(signToken(rotated, host.claims('ada')));
      await eventually(async () => (await newer()).status === 503, 'it is said that it cannot be known');
      failure(await newer(), 503, 'UNAVAILABLE');
      host.keys.unshift(rotated);
      host.fault = undefined;
      if (how === 'gone') await host.start();
      await clock.advance(10_000);
      await eventually(async () => (await newer()).status === 200, 'the new key is found');
    },
  );

  test('I26 a socket hears that its token expires, goes on with a new one, and is closed without', async () => {
    await using on = await startStage();
    const { host, clock, url } = on;
    using socket = await connect(url, host.token('ada'), { reconnection: false });
    const notices = collect(socket, 'token_expiring');
    await clock.advance(14 * MINUTE_MS - 1_000);
    expect(await socket.emitWithAck('sync', {})).toMatchObject({ ok: true });
    expect(notices).toEqual([]);
    await clock.advance(2_000);
    await eventually(() => notices.length === 1, 'it is told');
    const renewed = await socket.emitWithAck('renew', { token: host.token('ada') });
    expect(Date.parse(renewed.data.expiresAt)).toBe(Math.floor(clock.now() / 1_000) * 1_000 + 15 * MINUTE_MS);
    await clock.advance(14 * MINUTE_MS + 1_000);
    await eventually(() => notices.length === 2, 'it is told again');
    expect(payload('token_expiring', notices[1])).toEqual(renewed.data);
    const end = closed(socket);
    await clock.advance(MINUTE_MS);
    expect(await end).toEqual({ code: 'TOKEN_EXPIRED', reason: 'transport close' });
  });

  test('I27 a token that was just issued brings name and email up to date, an older one and a taken name do not', async () => {
    await using on = await startStage();
    const { host, clock } = on;
    const says = async (claims: object, sub = 'ada') => success('me', await on.me(host.token(sub, claims))).user;
    const first = await says({ name: 'Ada Byron', email: 'ada@example.org' });
    const old = host.token('ada', { name: 'Ada Byron', email: 'ada@example.org' });
    await clock.advance(5 * MINUTE_MS + 1_000);
    const married = await says({ name: 'Ada Lovelace', email: 'lovelace@example.org' });
    expect(success('me', await on.me(host.token('ada'))).user).toMatchObject({
      _id: first._id,
      username: 'Ada Lovelace',
      email: 'lovelace@example.org',
    });
    expect(married._id).toBe(first._id);
    // Another device still has the token from before.
    await clock.advance(2 * MINUTE_MS);
    expect(success('me', await on.me(old)).user.username).toBe('Ada Lovelace');
    const { user } = await register(on.url, 'owner');
    await says({ name: user.username, email: user.email });
    await clock.advance(2 * MINUTE_MS);
    const kept = success('me', await on.me(host.token('ada'))).user;
    expect(kept).toMatchObject({
      username: `${user.username} #${first._id.slice(0, 6)}`,
      email: 'lovelace@example.org',
    });
    await says({ name: user.username, email: user.email });
    // What it says no longer stays, and so does a part of it that is free.
    await clock.advance(2 * MINUTE_MS);
    await says({ email: 'countess@example.org' });
    expect(success('me', await on.me(host.token('ada'))).user).toMatchObject({
      username: kept.username,
      email: 'countess@example.org',
    });
    expect(success('me', await on.me(host.token('grace'))).user._id).not.toBe(first._id);
  });

  test('I29 where registration is closed nobody makes an account by himself, and who has one signs in', async () => {
    await using host = await startHostApp();
    using folder = temporaryFolder();
    const environment = { DATA_DIR: folder.path, ...host.environment };
    const body = { username: 'Early', email: 'early@example.org', password: 'password123' };
    {
      await using open = await startNode(environment);
      success('register', await rest(open.url, '/auth/register', { body }));
    }
    await using closed = await startNode({ ...environment, REGISTRATION: 'off' });
    const late = { ...body, username: 'Late', email: 'late@example.org' };
    failure(await rest(closed.url, '/auth/register', { body: late }), 403, 'FORBIDDEN');
    // Nor does the answer tell who is there.
    failure(await rest(closed.url, '/auth/register', { body }), 403, 'FORBIDDEN');
    const { token } = success('login', await rest(closed.url, '/auth/login', { body }));
    success('me', await rest(closed.url, '/auth/me', { token: host.token('ada') }));
    const { users } = success('users', await rest(closed.url, '/auth/users', { token }));
    expect(users).toHaveLength(1);
  });

  test('I28 a node does not start that would believe anybody’s tokens, or keys that anybody could have sent', () => {
    const host = {
      JWT_SECRET: SECRET,
      JWKS_URL: 'https://id.example.org/jwks.json',
      JWT_ISSUER: 'https://id.example.org/',
      JWT_AUDIENCE: 'chat',
    };
    expect(readConfig(host).host).toMatchObject({ issuer: host.JWT_ISSUER, audience: 'chat', emailClaim: 'email' });
    expect(readConfig({ JWT_SECRET: SECRET }).host).toBeUndefined();
    expect(readConfig({ ...host, JWT_NAME_CLAIM: 'https://x/name' }).host?.nameClaims).toEqual([
      'https://x/name',
      'preferred_username',
      'name',
    ]);
    for (const [name, value, message] of [
      ['JWT_ISSUER', '', /JWT_ISSUER is required with JWKS_URL/],
      ['JWT_AUDIENCE', '', /JWT_AUDIENCE is required with JWKS_URL/],
      ['JWKS_URL', '', /JWKS_URL is required with JWT_ISSUER/],
      ['JWT_ISSUER', 'duet', /JWT_ISSUER must be another one/],
      ['JWKS_URL', 'id.example.org', /JWKS_URL must be an https/],
      ['JWKS_URL', 'file:///etc/jwks.json', /JWKS_URL must be an https:\/\/ address/],
      ['JWKS_URL', 'http://id.example.org/jwks.json', /http:\/\/ is for this machine alone/],
      ['JWKS_URL', 'http://127.0.0.1.example.org/', /http:\/\/ is for this machine alone/],
      ['JWKS_URL', 'http://localhost@example.org/', /http:\/\/ is for this machine alone/],
      ['JWKS_URL', 'https://name:word@example.org/', /JWKS_URL must be an https/],
    ] as const)
      expect(() => readConfig({ ...host, [name]: value })).toThrow(message);
    for (const JWKS_URL of ['http://localhost:3000/jwks', 'http://127.0.0.1/jwks', 'http://[::1]:80/jwks'])
      expect(readConfig({ ...host, JWKS_URL }).host?.jwksUrl.href).toBe(JWKS_URL.replace(':80/', '/'));
  });
});
