import type { EventEmitter } from 'node:events';
import type { AddressInfo } from 'node:net';
import { createMemoryLimiter } from '@duet/core';
import {
  collect,
  connect,
  createManualClock,
  eventually,
  hasNginx,
  hasRedis,
  openRawWebSocket,
  register,
  rest,
  type ServerProcess,
  startNginx,
  startRedis,
  startServer,
  temporaryFolder,
} from '@duet/testkit';
import { Server } from 'socket.io';
import type { Socket } from 'socket.io-client';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { addressOf, networkOf } from '../src/addresses.ts';
import { createLog } from '../src/ops/log.ts';
import { roomOf } from '../src/socket/fanout.ts';
import { createFloodGuard } from '../src/socket/floods.ts';
import { allServe } from './processes.ts';
import { MAIN } from './shapes.ts';

const websocket = { transports: ['websocket'], reconnection: false };
const guess = (url: string, forwarded?: string) =>
  rest(url, '/auth/login', {
    headers: forwarded === undefined ? {} : { 'x-forwarded-for': forwarded },
    body: { email: 'nobody@example.org', password: 'password124' },
  });

/** A node that counts. */
async function startLimited(environment: Record<string, string> = {}): Promise<ServerProcess & AsyncDisposable> {
  const folder = temporaryFolder();
  const server = await startServer(MAIN, { DATA_DIR: folder.path, RATE_LIMITS: 'on', ...environment });
  return Object.assign(server, {
    async [Symbol.asyncDispose]() {
      await server.kill();
      folder[Symbol.dispose]();
    },
  });
}

/** The guard alone, and what it has limited. */
function guardAgainstFloods() {
  const limited: string[] = [];
  const clock = createManualClock();
  const metrics = { limited: (what: string) => limited.push(what) };
  const limiter = createMemoryLimiter(clock);
  const log = createLog({ level: 'silent', pretty: false });
  const floods = createFloodGuard({ limiter, clock, proxies: 0, perUser: 3, perAddress: 9, log, metrics } as never);
  return { floods, limited };
}

const closing = (io: Server) => Object.assign(io, { [Symbol.asyncDispose]: () => io.close() });

describe('connections', () => {
  test('L6 a user has so many sockets at a node and no more; the next is told so, and may come when one has gone', async () => {
    await using server = await startLimited({ MAX_CONNECTIONS_PER_USER: '3' });
    const [alice, bob] = await Promise.all([register(server.url), register(server.url)]);
    const held = await Promise.all([1, 2, 3].map(() => connect(server.url, alice.token, websocket)));
    await expect(connect(server.url, alice.token, websocket)).rejects.toMatchObject({
      data: { code: 'TOO_MANY_CONNECTIONS', retryAfterMs: expect.any(Number) },
    });
    using other = await connect(server.url, bob.token, websocket);
    expect(other.connected).toBe(true);
    held[0]?.disconnect();
    await eventually(
      () =>
        connect(server.url, alice.token, websocket).then(
          (socket) => held.push(socket) > 0,
          () => false,
        ),
      'there is room for another',
    );
    for (const socket of held) socket.disconnect();
  });

  test.each(['MAX_CONNECTIONS_PER_USER', 'MAX_CONNECTIONS_PER_ADDRESS'])(
    'L6 %s holds at each worker, which get connections in turn',
    async (name) => {
      await using server = await startLimited({ [name]: '3', WORKERS: '2' });
      await allServe(server);
      const alice = await register(server.url);
      const held: Socket[] = [];
      for (let tried = 0; tried < 12; tried++)
        await connect(server.url, alice.token, websocket).then(
          (socket) => held.push(socket),
          ({ data }) => expect(data).toMatchObject({ code: 'TOO_MANY_CONNECTIONS' }),
        );
      expect(held).toHaveLength(2 * 3);
      for (const socket of held) socket.disconnect();
    },
  );

  test.skipIf(!hasRedis())('L6 nor has a user more when all come at once, and wait for Redis together', async () => {
    await using redis = await startRedis();
    await using server = await startLimited({ MAX_CONNECTIONS_PER_USER: '3', REDIS_URL: redis.url });
    const { token } = await register(server.url);
    // The transports are there, so nobody waits for the door.
    const all = await Promise.all(Array.from({ length: 12 }, () => openRawWebSocket(server.url)));
    for (const { send } of all) send(`40${JSON.stringify({ token })}`);
    const answered = (text: string) => all.filter((socket) => socket.received().includes(text)).length;
    await eventually(() => answered('40{"sid"') + answered('44{') === all.length, 'each is in or refused');
    expect([answered('40{"sid"'), answered('"TOO_MANY_CONNECTIONS"')]).toEqual([3, 9]);
    for (const { tcp } of all) tcp.destroy();
  });

  test('L6 a socket that is still on its way in is counted once', async () => {
    const { floods } = guardAgainstFloods();
    await using io = closing(new Server(0));
    const known = Promise.withResolvers<void>();
    io.use((socket, next) => {
      socket.data.user = 'ann';
      const join = async () => {
        await socket.join(roomOf('ann'));
        await known.promise;
      };
      floods.admit(socket, join).then(() => next(), next);
    });
    const url = `http://127.0.0.1:${(io.httpServer.address() as AddressInfo).port}`;
    const arrivals: Promise<Socket>[] = [];
    for (const there of [1, 2, 3]) {
      arrivals.push(connect(url, undefined, websocket));
      await eventually(() => io.of('/').adapter.rooms.get(roomOf('ann'))?.size === there, `${there} are in the room`);
    }
    await expect(connect(url, undefined, websocket)).rejects.toThrow();
    known.resolve();
    for (const socket of await Promise.all(arrivals)) socket.disconnect();
  });

  test('L6 an address has so many connections and no more, those that say nothing included', async () => {
    await using server = await startLimited({ MAX_CONNECTIONS_PER_ADDRESS: '4' });
    const alice = await register(server.url);
    const silent = await Promise.all([1, 2, 3, 4].map(() => openRawWebSocket(server.url)));
    await expect(connect(server.url, alice.token, websocket)).rejects.toMatchObject({
      data: { code: 'TOO_MANY_CONNECTIONS' },
    });
    // Beyond twice as many not even the transport is opened.
    const more = await Promise.all([5, 6, 7].map(() => openRawWebSocket(server.url)));
    await eventually(async () => {
      const answer = await fetch(`${server.url}/socket.io/?EIO=4&transport=polling`);
      return answer.status === 403;
    }, 'the address is refused');
    for (const { tcp } of [...silent, ...more]) tcp.destroy();
    await eventually(
      () =>
        connect(server.url, alice.token, websocket).then(
          (socket) => socket.disconnect().disconnected,
          () => false,
        ),
      'the address is free again',
    );
  });

  test('L6 a user who connects all the time is told to wait', async () => {
    await using server = await startLimited();
    const alice = await register(server.url);
    const refusal = await (async () => {
      for (let i = 0; i < 100; i++) {
        const socket = await connect(server.url, alice.token, websocket).catch((error: Error) => error);
        if (socket instanceof Error) return socket;
        socket.disconnect();
      }
      return undefined;
    })();
    expect(refusal).toMatchObject({ data: { code: 'RATE_LIMITED', retryAfterMs: expect.any(Number) } });
  });
});

describe('floods', () => {
  let server: Awaited<ReturnType<typeof startLimited>>;
  beforeAll(async () => {
    server = await startLimited();
  });
  afterAll(() => server[Symbol.asyncDispose]());

  test.each([
    ['events that exist', 2_000, '42["typing_start",{}]'],
    ['events that do not exist', 200, '42["no_such_event",{}]'],
    ['acknowledgements that nobody waits for', 2_000, '43999[{}]'],
  ])('L7 a flood of %s ends in a disconnect, and others notice nothing', async (_, count, packet) => {
    const [alice, bob] = await Promise.all([register(server.url), register(server.url)]);
    using b = await connect(server.url, bob.token, websocket);
    using flooder = await openRawWebSocket(server.url, { token: alice.token });
    for (let i = 0; i < count; i++) flooder.send(packet);
    const sent = b.emitWithAck('send_message', { receiverId: alice.id, content: 'meanwhile' });
    await flooder.closed;
    expect(flooder.received()).toContain('"RATE_LIMITED"');
    await expect(connect(server.url, alice.token, websocket)).rejects.toMatchObject({
      data: { code: 'RATE_LIMITED', retryAfterMs: expect.any(Number) },
    });
    expect(await sent).toMatchObject({ ok: true });
    expect(b.connected).toBe(true);
  });

  test('L7 who is not let in yet may say even less', async () => {
    using stranger = await openRawWebSocket(server.url);
    for (let i = 0; i < 50; i++) stranger.send('40{"token":"x"}');
    await stranger.closed;
    const metrics = await (await fetch(`${server.url}/metrics`)).text();
    expect(metrics).toMatch(/duet_limited_total\{limit="flood"\} [1-9]/);
  });

  test('L7 whoever floods while he is on his way in is cut off, once', async () => {
    const { floods, limited } = guardAgainstFloods();
    await using io = closing(new Server(0));
    floods.watch(io);
    const isCutOff = new Promise<void>((resolve) => {
      io.engine.on('connection', (conn: EventEmitter) => conn.once('close', () => resolve()));
    });
    const isLookedUp = new Promise<void>((resolve) => {
      io.use((socket) => {
        socket.data.user = 'ann';
        void floods.admit(socket, async () => {
          resolve();
          await new Promise(() => {});
        });
      });
    });
    const url = `http://127.0.0.1:${(io.httpServer.address() as AddressInfo).port}`;
    using flooder = await openRawWebSocket(url);
    flooder.send('40');
    await isLookedUp;
    // Pongs that nobody asked for: the library neither minds nor answers them.
    for (let i = 0; i < 1_100; i++) flooder.send('3');
    await isCutOff;
    expect(limited).toEqual(['flood']);
  });

  test('L7 a client that is told to wait and waits is not cut off', async () => {
    const [alice, bob] = await Promise.all([register(server.url), register(server.url)]);
    using a = await connect(server.url, alice.token, websocket);
    const errors = collect(a, 'error');
    const acks = await Promise.all(
      Array.from({ length: 400 }, () => a.emitWithAck('send_message', { receiverId: bob.id, content: 'x' })),
    );
    expect(acks.filter(({ ok }) => !ok).length).toBeGreaterThan(200);
    expect(acks.find(({ ok }) => !ok)).toMatchObject({
      error: { code: 'RATE_LIMITED', retryAfterMs: expect.any(Number) },
    });
    expect(a.connected).toBe(true);
    expect(errors).toEqual([]);
  });
});

describe('addresses', () => {
  test.skipIf(!hasNginx())(
    'L8 an address that a client claims is believed neither through nginx nor past it',
    async () => {
      await using inner = await startLimited({ TRUST_PROXY: '1' });
      await using nginx = await startNginx([new URL(inner.url).host]);
      await using alone = await startLimited();
      for (const url of [`http://127.0.0.1:${nginx.port}`, alone.url]) {
        const answers = await Promise.all(
          Array.from({ length: 110 }, (_, i) => guess(url, `198.51.100.${i}, 10.0.0.${i}`)),
        );
        // The account's own limit comes before that of the address, and both refuse.
        const refused = answers.filter(({ status }) => status === 429);
        expect(refused.length).toBeGreaterThan(90);
        const other = (i: number) =>
          rest(url, '/auth/login', {
            headers: { 'x-forwarded-for': `203.0.113.${i}`, forwarded: 'for=203.0.113.9', 'x-real-ip': '203.0.113.8' },
            body: { email: `other${i}@example.org`, password: 'password124' },
          });
        expect(await other(1)).toMatchObject({ status: 429, body: { code: 'RATE_LIMITED' } });
      }
      for (const path of ['/metrics', '/metrics?x', '//metrics', '/%6detrics'])
        expect((await fetch(`http://127.0.0.1:${nginx.port}${path}`)).status).toBe(404);
    },
  );

  test('L9 an address of IPv6 counts by its /56, one of IPv4 alone, however it is written', () => {
    expect(networkOf('2001:db8:1:200::1')).toBe(networkOf('2001:db8:1:2ff:abcd::9'));
    expect(networkOf('2001:db8:1:200::1')).not.toBe(networkOf('2001:db8:1:300::1'));
    expect(networkOf('::ffff:198.51.100.1')).not.toBe(networkOf('::ffff:198.51.100.2'));
    expect(networkOf('198.51.100.1')).not.toBe(networkOf('198.51.100.2'));
  });

  test.each([
    [0, '203.0.113.7', '127.0.0.1'],
    [1, undefined, '127.0.0.1'],
    [1, '203.0.113.7', '203.0.113.7'],
    [1, '6.6.6.6, 203.0.113.7', '203.0.113.7'],
    [2, '6.6.6.6, 203.0.113.7, 10.0.0.1', '203.0.113.7'],
    [2, '203.0.113.7', '203.0.113.7'],
  ])('L8 with %i proxies, of X-Forwarded-For %j the address is %s', (proxies, forwarded, address) => {
    const request = { headers: { 'x-forwarded-for': forwarded }, socket: { remoteAddress: '127.0.0.1' } };
    expect(addressOf(request as never, proxies)).toBe(address);
  });

  test('L9 whoever changes his address inside his network is still counted', async () => {
    await using server = await startLimited({ TRUST_PROXY: '1' });
    const answers = await Promise.all(
      Array.from({ length: 130 }, (_, i) =>
        rest(server.url, '/auth/login', {
          headers: { 'x-forwarded-for': `2001:db8:0:${i.toString(16)}::${i.toString(16)}` },
          body: { email: `n${i}@example.org`, password: 'password124' },
        }),
      ),
    );
    expect(answers.filter(({ status }) => status === 429).length).toBeGreaterThan(20);
    expect((await guess(server.url, '2001:db8:0:100::1')).status).toBe(401);
    expect((await guess(server.url, '::ffff:198.51.100.9')).status).toBe(401);
  });

  test.each([
    ['198.51.100.1:443', '198.51.100.1'],
    ['[2001:db8:1:200::1]:443', '2001:db8:1:2ff::2'],
    ['[2001:db8:1:200::1]', '2001:db8:1:2ff::2'],
    ['[::ffff:198.51.100.1]:443', '198.51.100.1'],
    ['198.51.100.256:443', 'unknown'],
    ['[198.51.100.1', ''],
    ['_hidden', undefined],
  ])('L15 %j counts as %j', (one, other) => {
    expect(networkOf(one)).toBe(networkOf(other));
    expect(networkOf(one)).not.toBe(networkOf('198.51.100.2'));
  });

  test.each([
    ['adds ports to addresses', (i: number) => `198.51.100.1:${i}`],
    ['adds ports to addresses of IPv6', (i: number) => `[2001:db8::1]:${i}`],
    ['names nobody', (i: number) => `_hidden${i}`],
  ])('L15 behind a proxy that %s, requests and connections are counted', async (_, forwarded) => {
    await using server = await startLimited({ TRUST_PROXY: '1', MAX_CONNECTIONS_PER_ADDRESS: '4' });
    const alice = await register(server.url);
    const from = (i: number) => ({ 'x-forwarded-for': forwarded(i) });
    const logins = Array.from({ length: 130 }, (_, i) =>
      rest(server.url, '/auth/login', { headers: from(i), body: { email: `n${i}`, password: 'password124' } }),
    );
    expect((await Promise.all(logins)).filter(({ status }) => status === 429).length).toBeGreaterThan(20);
    const come = (i: number) => connect(server.url, alice.token, { ...websocket, extraHeaders: from(i) });
    const held = await Promise.all([1, 2, 3, 4].map(come));
    await expect(come(5)).rejects.toMatchObject({ data: { code: 'TOO_MANY_CONNECTIONS' } });
    using elsewhere = await connect(server.url, alice.token, {
      ...websocket,
      extraHeaders: { 'x-forwarded-for': '198.51.100.2:5' },
    });
    expect(elsewhere.connected).toBe(true);
    for (const socket of held) socket.disconnect();
  });
});

describe('what is tried', () => {
  test('L12 who guesses a password keeps nobody who is signed in from changing his', async () => {
    await using server = await startLimited({ TRUST_PROXY: '1' });
    const owner = await register(server.url);
    // What stands where an address of mail does is no such thing, and may be meant for another count.
    const names = [owner.email, `user ${owner.id}`, `user:${owner.id}`];
    for (const [i, email] of names.entries()) {
      const headers = { 'x-forwarded-for': `192.0.2.${i}` };
      const login = () => rest(server.url, '/auth/login', { headers, body: { email, password: 'password124' } });
      const guesses = await Promise.all(Array.from({ length: 12 }, login));
      expect(guesses.map(({ status }) => status).sort()).toEqual([...Array(10).fill(401), 429, 429]);
    }
    const body = { currentPassword: 'password123', newPassword: 'password125' };
    expect((await rest(server.url, '/auth/password', { method: 'PUT', token: owner.token, body })).status).toBe(200);
  });

  test('L13 what is told to many, or reads all of a user, is asked for less often', async () => {
    await using server = await startLimited();
    const [{ token }, other] = await Promise.all([register(server.url), register(server.url)]);
    const refusedOf = async (times: number, path: string, how: object) => {
      const answers = await Promise.all(Array.from({ length: times }, () => rest(server.url, path, { token, ...how })));
      return answers.filter(({ status }) => status === 429).length;
    };
    expect(await refusedOf(30, '/auth/me/privacy', { method: 'PUT', body: { typing: false } })).toBe(0);
    expect(await refusedOf(30, `/users/${other.id}/block`, { method: 'POST' })).toBeGreaterThan(0);
    expect(await refusedOf(120, '/messages/unread/count', {})).toBeGreaterThan(0);
  });

  test('L14 receipts for messages of several people count for each of them', async () => {
    await using server = await startLimited();
    const [me, ...peers] = await Promise.all(Array.from({ length: 5 }, () => register(server.url)));
    const { token, id: receiverId } = me as (typeof peers)[0];
    const receipts = await Promise.all(
      peers.map(async (peer) => {
        using socket = await connect(server.url, peer.token, websocket);
        const { data } = await socket.emitWithAck('send_message', { receiverId, content: 'hello' });
        return { messageId: data.message._id, senderId: peer.id };
      }),
    );
    using socket = await connect(server.url, token, websocket);
    const refusedOf = async (payload: object) => {
      const all = Array.from({ length: 150 }, () => socket.emitWithAck('message_delivered', payload));
      return (await Promise.all(all)).filter(({ error }) => error?.code === 'RATE_LIMITED').length;
    };
    const one = receipts[0] as (typeof receipts)[0];
    expect(await refusedOf({ receipts: Array(100).fill(one) })).toBe(0);
    expect(await refusedOf({ receipts })).toBeGreaterThan(0);
  });
});

describe('time', () => {
  test('L2 after so many wrong passwords the owner waits as long as he is told, and no longer', async () => {
    const clock = createManualClock();
    const limiter = createMemoryLimiter(clock);
    const rule = { limit: 10, windowMs: 900_000 };
    for (let i = 0; i < 10; i++) limiter.take('victim', rule);
    const { ok, retryAfterMs } = limiter.take('victim', rule, 0);
    expect(ok).toBe(false);
    await clock.advance(retryAfterMs);
    expect(limiter.take('victim', rule, 0).ok).toBe(true);
  });
});
