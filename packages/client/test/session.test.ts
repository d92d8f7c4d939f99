import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { json } from 'node:stream/consumers';
import {
  eventually,
  register,
  rest,
  type ServerProcess,
  startServer,
  startTcpProxy,
  type TestUser,
  temporaryFolder,
} from '@duet/testkit';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createApi, createSession, type Runtime, type SignedIn } from '../src/index.ts';
import { createStillTime, hurried, MAIN, start, synced } from './people.ts';

describe('a session of the SDK', () => {
  let folder: ReturnType<typeof temporaryFolder>;
  let server: ServerProcess;

  beforeAll(async () => {
    folder = temporaryFolder();
    server = await startServer(MAIN, { DATA_DIR: folder.path, JWT_EXPIRES_IN: '4s' });
  });
  afterAll(async () => {
    await server?.kill();
    folder?.[Symbol.dispose]();
  });

  async function login(user: TestUser) {
    const { email, password } = user;
    return createApi({ url: server.url }).login({ email, password });
  }

  /** A device on which somebody has signed in, and what it keeps. */
  async function signIn() {
    const user = await register(server.url, 'anna');
    const items = new Map<string, string>();
    const store = {
      getItem: async (key: string) => items.get(key) ?? null,
      setItem: async (key: string, value: string) => void items.set(key, value),
      removeItem: async (key: string) => void items.delete(key),
    };
    const tab = (url = server.url, runtime?: Runtime) => createSession({ url, store, ...(runtime ? { runtime } : {}) });
    const session = tab();
    await session.begin(await login(user));
    return { user, items, store, session, tab };
  }
  const kept = (items: Map<string, string>): SignedIn => JSON.parse([...items.values()][0] as string);
  /** Little by little, so that what is asked meanwhile is answered. */
  function passes(time: ReturnType<typeof createStillTime>, ms: number): Promise<void> {
    const end = time.now() + ms;
    return eventually(() => {
      time.advance(100);
      return time.now() >= end;
    }, 'time passes');
  }
  const get = { refresh: false };
  const refresh = { refresh: true };

  test('U17 a connection outlives its tokens: it is given new ones and never lost', async () => {
    const { user, session } = await signIn();
    const tokens = new Set<string | null | undefined>();
    const getToken: typeof session.getToken = async (ask) => {
      const token = await session.getToken(ask);
      tokens.add(token);
      return token;
    };
    using chat = start(server.url, user, { getToken });
    await synced(chat);
    const states = new Set<string>();
    chat.subscribe(() => states.add(chat.getState().connection));
    await eventually(() => tokens.size === 4, 'three new tokens');
    await chat.api.me();
    expect([...states]).toEqual([]);
    expect(chat.getState().connection).toBe('online');
  });

  test('U17 tabs share a session: what one has got, the other takes', async () => {
    const { session, items, tab } = await signIn();
    const other = tab();
    const before = kept(items);
    await session.getToken(get);
    await session.getToken(refresh);
    const after = kept(items);
    expect(after.refreshToken).not.toBe(before.refreshToken);
    expect(await other.getToken(refresh)).toBe(after.token);
    expect(kept(items)).toEqual(after);
    // Both at once: one successor, which stays good.
    await Promise.all([session.getToken(refresh), other.getToken(refresh)]);
    for (const each of [session, other, tab()]) {
      const token = (await each.getToken(get)) as string;
      expect((await rest(server.url, '/auth/me', { token })).status).toBe(200);
    }
    expect(await session.getToken(refresh)).toEqual(expect.any(String));
  });

  test('U17 a session that was ended elsewhere is forgotten; one that cannot be asked about is not', async () => {
    const { session, items, tab } = await signIn();
    const kept = [...items.values()];
    const time = createStillTime();
    const away = createSession({
      url: 'http://127.0.0.1:1',
      runtime: time,
      store: { getItem: () => kept[0] ?? null, setItem: () => {}, removeItem: () => kept.pop() },
    });
    expect(await away.getToken(get)).toEqual(expect.any(String));
    const asked = expect(away.getToken(refresh)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    await passes(time, 8_000);
    await asked;
    expect(kept).toHaveLength(1);

    const other = tab();
    const token = (await other.getToken(get)) as string;
    await rest(server.url, '/auth/logout', { method: 'POST', token });
    await session.getToken(get);
    expect(await session.getToken(refresh)).toBeUndefined();
    expect(items.size).toBe(0);
    expect(await session.getToken(get)).toBeUndefined();
  });

  test('U17 an answer to a refresh that gets lost, with its connection or without, ends no session', async () => {
    for (const isCut of [false, true]) {
      const { items, tab } = await signIn();
      await using proxy = await startTcpProxy(server.url);
      const session = tab(proxy.url);
      await session.getToken(get);
      let answers = 0;
      proxy.lose((text) => {
        if (!text.includes('refreshToken')) return false;
        answers += 1;
        if (answers > 1) return false;
        if (isCut) proxy.cut();
        else proxy.freeze();
        return true;
      });
      const token = (await session.getToken(refresh)) as string;
      expect(answers).toBe(2);
      expect((await rest(server.url, '/auth/me', { token })).status).toBe(200);
      expect([...items.values()].map((text) => JSON.parse(text).token)).toEqual([token]);
      expect(await session.getToken(refresh)).toEqual(expect.any(String));
    }
  });

  test('U43 a refresh whose answer gets lost with the network is repeated, in some tries, until that is back', async () => {
    const { items, tab } = await signIn();
    await using proxy = await startTcpProxy(server.url);
    const time = createStillTime();
    const session = tab(proxy.url, time);
    await session.getToken(get);
    let isLost = false;
    proxy.lose((text) => {
      if (isLost || !text.includes('refreshToken')) return false;
      isLost = true;
      proxy.lead('http://127.0.0.1:9');
      proxy.cut();
      return true;
    });
    const asked = Promise.resolve(session.getToken(refresh));
    let isSettled = false;
    const settle = () => {
      isSettled = true;
    };
    asked.then(settle, settle);
    await eventually(() => isLost, 'the answer is lost');
    await passes(time, 5_000);
    expect(isSettled).toBe(false);
    expect(proxy.connections()).toBeLessThan(6);
    proxy.lead(server.url);
    await passes(time, 3_000);
    const token = (await asked) as string;
    expect(kept(items).token).toBe(token);
    expect((await rest(server.url, '/auth/me', { token })).status).toBe(200);
  });

  test('U43 a new token that cannot be had when the old one expires soon is asked for until it can', async () => {
    const { user, session } = await signIn();
    const tokens = new Set<string | null | undefined>();
    let failures = 0;
    const getToken: typeof session.getToken = async (ask) => {
      if (ask.refresh && failures < 2) {
        failures += 1;
        throw new Error('no network');
      }
      const token = await session.getToken(ask);
      tokens.add(token);
      return token;
    };
    using chat = start(server.url, user, { getToken, runtime: hurried(20) });
    await synced(chat);
    const states = new Set<string>();
    chat.subscribe(() => states.add(chat.getState().connection));
    await eventually(() => tokens.size === 3, 'two new tokens');
    await chat.api.me();
    states.delete('online');
    expect([failures, [...states]]).toEqual([2, []]);
  });

  test('U30 where each answer takes longer than a refresh is waited for before it is repeated, the first one counts', async () => {
    const { items, tab } = await signIn();
    await using proxy = await startTcpProxy(server.url);
    const session = tab(proxy.url);
    await session.getToken(get);
    proxy.delay(4_500);
    const token = (await session.getToken(refresh)) as string;
    // The second one is under way.
    expect(proxy.connections()).toBe(2);
    expect([...items.values()].map((text) => JSON.parse(text).token)).toEqual([token]);
    const direct = tab();
    expect(await direct.getToken(get)).toBe(token);
    const next = await direct.getToken(refresh);
    expect(next).toEqual(expect.any(String));
    expect(next).not.toBe(token);
  });

  /** A way to the server on which some asks are refused, and the first one is answered after so many others. */
  async function startDoor(code: string, isRefused: (ask: number) => boolean, others = 0) {
    let asked = 0;
    let told = 0;
    const door = createServer(async (request, response) => {
      asked += 1;
      const isFirst = asked === 1;
      const refusal = { success: false, code, message: 'refused' };
      const answer = async () => (await rest(server.url, '/auth/refresh', { body: await json(request) })).body;
      const body = isRefused(asked) ? refusal : await answer();
      if (isFirst) await eventually(() => told === others, 'others are answered');
      response.end(JSON.stringify(body), () => {
        told += 1;
      });
    }).listen(0, '127.0.0.1');
    await once(door, 'listening');
    return {
      url: `http://127.0.0.1:${(door.address() as AddressInfo).port}`,
      asked: () => asked,
      told: () => told,
      async [Symbol.asyncDispose]() {
        door.closeAllConnections();
        door.close();
        await once(door, 'close');
      },
    };
  }

  test('U30 what is under way counts also where a later ask is refused', async () => {
    for (const code of ['UNAUTHORIZED', 'RATE_LIMITED', 'NOT_FOUND']) {
      const { items, tab } = await signIn();
      const time = createStillTime();
      await using door = await startDoor(code, (ask) => ask === 2, 1);
      const session = tab(door.url, time);
      await session.getToken(get);
      const before = kept(items).refreshToken;
      const asked = session.getToken(refresh);
      await eventually(() => door.asked() === 1, 'it is asked for');
      time.advance(3_000);
      expect(await asked).toBe(kept(items).token);
      expect(kept(items).refreshToken).not.toBe(before);
      expect(door.asked()).toBe(2);
    }
  });

  test('U44 a refresh token that one node cannot read is shown to others, for seconds', async () => {
    for (const isGood of [true, false]) {
      const { items, tab } = await signIn();
      const time = createStillTime();
      const before = kept(items).refreshToken;
      await using door = await startDoor('UNAUTHORIZED', (ask) => !isGood || ask === 1);
      const session = tab(door.url, time);
      await session.getToken(get);
      const asked = session.getToken(refresh);
      await eventually(() => door.told() === 1, 'it is refused');
      expect(kept(items).refreshToken).toBe(before);
      await passes(time, 8_000);
      expect([typeof (await asked), items.size]).toEqual(isGood ? ['string', 1] : ['undefined', 0]);
      if (isGood) expect(kept(items).refreshToken).not.toBe(before);
    }
  });

  test('U36 a device that is suspended while it refreshes takes the answer that has come, and asks no second time', async () => {
    const { items, tab } = await signIn();
    await using proxy = await startTcpProxy(server.url);
    const time = createStillTime();
    const session = tab(proxy.url, time);
    await session.getToken(get);
    const before = kept(items).refreshToken;
    proxy.delay(1_000);
    const asked = session.getToken(refresh);
    await eventually(() => proxy.connections() === 1, 'it is asked for');
    time.suspend(60_000);
    const token = await asked;
    expect(proxy.connections()).toBe(1);
    expect(kept(items).token).toBe(token);
    expect(kept(items).refreshToken).not.toBe(before);
  });

  test('U36 what another tab has got meanwhile is not asked for again', async () => {
    const { session, tab } = await signIn();
    await using proxy = await startTcpProxy(server.url);
    const time = createStillTime();
    const slow = tab(proxy.url, time);
    await Promise.all([session.getToken(get), slow.getToken(get)]);
    proxy.lose(() => true);
    const asked = slow.getToken(refresh);
    await eventually(() => proxy.connections() === 1, 'it is asked for');
    const token = await session.getToken(refresh);
    time.advance(3_000);
    expect(await asked).toBe(token);
    expect(proxy.connections()).toBe(1);
  });

  test('U37 what a full store does not take is used all the same, and kept there once it can be', async () => {
    const { items, store, tab } = await signIn();
    const before = [...items.values()];
    const offered = new Set<string>();
    let isFull = true;
    const setItem = (key: string, value: string) => {
      offered.add(value);
      if (isFull) throw new Error('The quota has been exceeded');
      items.set(key, value);
    };
    const session = createSession({ url: server.url, store: { ...store, setItem } });
    await session.getToken(get);
    for (let count = 0; count < 2; count += 1) {
      const token = (await session.getToken(refresh)) as string;
      expect((await rest(server.url, '/auth/me', { token })).status).toBe(200);
    }
    // The second one took the place of the first one, not of what is kept.
    expect([offered.size, [...items.values()]]).toEqual([2, before]);
    isFull = false;
    const token = await session.getToken(get);
    expect([...items.values()]).toEqual([...offered].slice(1));
    expect(await tab().getToken(get)).toBe(token);
  });

  test('U37 who signs in where the device takes nothing is signed in while the app runs', async () => {
    const { user, items, store, tab } = await signIn();
    const ben = await register(server.url, 'ben');
    let isFull = true;
    const setItem = (key: string, value: string) => {
      if (isFull) throw new Error('The quota has been exceeded');
      items.set(key, value);
    };
    const session = createSession({ url: server.url, store: { ...store, setItem } });
    const status = async (token: unknown) => (await rest(server.url, '/auth/me', { token: token as string })).status;
    // Whoever was signed in before is not there any more when the app starts anew.
    for (const before of [1, 0]) {
      expect(items.size).toBe(before);
      const his = await login(ben);
      await session.begin(his);
      expect(await session.getToken(get)).toBe(his.token);
      for (const ask of [refresh, refresh]) expect(await status(await session.getToken(ask))).toBe(200);
      expect([await session.isOver(), [...items.values()]]).toEqual([false, []]);
    }
    // Signing out ends it for good.
    const token = await session.getToken(get);
    await session.end();
    expect([await session.getToken(get), await status(token)]).toEqual([undefined, 401]);
    // What is ended elsewhere is over here as well.
    const again = await login(user);
    await session.begin(again);
    await session.getToken(get);
    await rest(server.url, '/auth/logout', { method: 'POST', token: again.token });
    expect([await session.getToken(refresh), await session.isOver()]).toEqual([undefined, true]);

    const last = await login(user);
    await session.begin(last);
    isFull = false;
    expect(await session.getToken(get)).toBe(last.token);
    expect(await tab().getToken(get)).toBe(last.token);
  });

  test('U37 a refresh that is answered late takes nothing from who has signed in where the device takes nothing', async () => {
    const { store, session: other } = await signIn();
    const setItem = () => {
      throw new Error('The quota has been exceeded');
    };
    await using proxy = await startTcpProxy(server.url);
    const session = createSession({ url: proxy.url, store: { ...store, setItem } });
    const his = await login(await register(server.url, 'ben'));
    await session.getToken(get);
    proxy.delay(300);
    const asked = session.getToken(refresh);
    await eventually(() => proxy.connections() === 1, 'it is asked for');
    await session.begin(his);
    await asked;
    expect(await session.getToken(get)).toBe(his.token);
    expect(await other.isOver()).toBe(true);
  });

  test('U17 signing out forgets the session here and ends it there', async () => {
    const { session, items } = await signIn();
    const token = (await session.getToken(get)) as string;
    await session.end();
    expect(items.size).toBe(0);
    expect((await rest(server.url, '/auth/me', { token })).body).toMatchObject({ code: 'SESSION_REVOKED' });
    await session.end();
  });

  test('U32 who signs out, or is signed out, where the device cannot forget it is signed out all the same', async () => {
    const { user, items, store } = await signIn();
    const fail = () => {
      throw new Error('The disk is broken');
    };
    const session = createSession({ url: server.url, store: { ...store, setItem: fail, removeItem: fail } });
    const isIn = async (token: string) => (await rest(server.url, '/auth/me', { token })).status === 200;
    for (const isKept of [true, false]) {
      // What is on the device, or what it has not taken.
      if (!isKept) await session.begin(await login(user));
      const token = (await session.getToken(get)) as string;
      expect(await isIn(token)).toBe(true);
      await expect(session.end()).rejects.toThrow('The disk is broken');
      expect([await isIn(token), await session.isOver(), items.size]).toEqual([false, true, 1]);
    }
    const elsewhere = await login(user);
    await session.begin(elsewhere);
    await session.getToken(get);
    await rest(server.url, '/auth/logout', { method: 'POST', token: elsewhere.token });
    await expect(session.getToken(refresh)).rejects.toThrow('The disk is broken');
    expect(await session.getToken(get)).toBeUndefined();
  });

  test('U32 signing out ends the session at the server also when its token has expired', async () => {
    const { user, session } = await signIn();
    const other = await login(user);
    const devices = async () => {
      const { body } = await rest(server.url, '/auth/sessions', { token: other.token });
      return body.data.sessions;
    };
    const token = (await session.getToken(get)) as string;
    const isRefused = async () => (await rest(server.url, '/auth/me', { token })).status === 401;
    expect(await devices()).toHaveLength(3);
    await eventually(isRefused, 'the token has expired');
    const { refreshToken } = other;
    other.token = (await createApi({ url: server.url }).refresh({ refreshToken })).token;
    await session.end();
    expect(await devices()).toHaveLength(2);
  });

  test('U17 a tab neither uses nor ends what somebody else has begun in another one', async () => {
    const { session, items, tab } = await signIn();
    const old = tab();
    expect(await old.getToken(get)).toEqual(expect.any(String));
    expect(await old.isOver()).toBe(false);
    await session.end();
    expect(await old.isOver()).toBe(true);
    const ben = await register(server.url, 'ben');
    const his = await login(ben);
    await session.begin(his);
    expect([await session.isOver(), await old.isOver()]).toEqual([false, true]);
    expect(await old.getToken(get)).toBeUndefined();
    expect(await old.getToken(refresh)).toBeUndefined();
    await old.end();
    expect(items.size).toBe(1);
    expect((await rest(server.url, '/auth/me', { token: his.token })).status).toBe(200);
    // From then on it is free for him who is there.
    expect(await old.getToken(get)).toBe(his.token);
  });

  test('U17 a refresh that is answered late changes nothing for who has signed in or out meanwhile', async () => {
    const his = await login(await register(server.url, 'ben'));
    for (const isRefused of [false, true]) {
      const { session, items, tab } = await signIn();
      const token = (await session.getToken(get)) as string;
      if (isRefused) await rest(server.url, '/auth/logout', { method: 'POST', token });
      const asked = session.getToken(refresh);
      await tab().begin(his);
      expect(await asked).toBeUndefined();
      expect([...items.values()].map((text) => JSON.parse(text).token)).toEqual([his.token]);
    }
    const { session, items } = await signIn();
    await session.getToken(get);
    const asked = session.getToken(refresh);
    items.clear();
    expect(await asked).toBeUndefined();
    expect(items.size).toBe(0);
  });
});
