import { randomUUID } from 'node:crypto';
import { rmSync } from 'node:fs';
import { BEAT_MS, type Cluster, LEASE_MS, PRESENCE_GRACE_MS } from '@duet/core';
import {
  type BackingService,
  clusterSuite,
  createManualClock,
  eventually,
  eventuallyWorks,
  hasRedis,
  startRedis,
  startTcpProxy,
} from '@duet/testkit';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createRedisCluster } from '../src/index.ts';

describe.skipIf(!hasRedis())('Redis', () => {
  let server: BackingService;
  beforeAll(async () => {
    server = await startRedis();
  });
  afterAll(() => server[Symbol.asyncDispose]());

  /** Nodes of one cluster that nobody else is in. */
  async function nodes(count: number, url = server.url) {
    const { all, ...rest } = await nodesAt(...Array.from({ length: count }, () => url));
    return { ...rest, all };
  }
  /** The same, each with its own way to Redis, whose time may jump. */
  async function nodesAt(...urls: string[]) {
    const clock = createManualClock();
    const prefix = randomUUID();
    const redis = { ahead: 0, lost: 0 };
    const now = () => clock.elapsed() + redis.ahead;
    const report = (what: string) => {
      if (what === 'redis lost') redis.lost += 1;
    };
    const all = urls.map((url) => createRedisCluster({ url, prefix, clock, now, report }));
    await Promise.all(all.map(isReady));
    return { clock, prefix, redis, all, close: () => Promise.all(all.map((node) => node.close())) };
  }

  const fails = (asked: Promise<unknown>) =>
    asked.then(
      () => false,
      () => true,
    );
  const beatAll = (nodes: Cluster[]) => Promise.all(nodes.map((node) => node.presence.beat([])));
  type Time = ReturnType<typeof createManualClock>;
  /** All hold their leases for so long that they may judge others. */
  async function holdLeases(clock: Time, nodes: Cluster[]): Promise<void> {
    for (let waited = 0; waited < 2 * LEASE_MS; waited += BEAT_MS) {
      await clock.advance(BEAT_MS);
      await beatAll(nodes);
    }
  }
  /** Who has gone for this node, while it alone renews its lease for a minute. */
  async function goneIn(clock: Time, { presence }: Cluster): Promise<string[]> {
    const gone: string[] = [];
    for (let waited = 0; waited < 60_000; waited += BEAT_MS) {
      await clock.advance(BEAT_MS);
      await presence.beat([]);
      for (let found = 1; found > 0; ) {
        const reaped = await presence.reap([]);
        found = reaped.length;
        gone.push(...reaped.map(({ user }) => user));
      }
    }
    return gone;
  }
  const throughProxy = ({ url }: { url: string }) => url.replace('http:', 'redis:');
  const isReady = (node: Cluster) => eventuallyWorks(() => node.ready(), 'the node is ready');

  /** As FLUSHALL, for one cluster. */
  async function forget(prefix: string) {
    const redis = new Redis(server.url);
    const keys = await redis.keys(`${prefix}:*`);
    expect(keys.length).toBeGreaterThan(3);
    await redis.del(...keys);
    await redis.quit();
  }

  clusterSuite('redis', async () => {
    const { all, clock, close } = await nodes(2);
    return {
      nodes: all as [Cluster, Cluster],
      advance: clock.advance,
      jump: clock.jump,
      // Nothing: a node that is dead renews nothing.
      kill: () => {},
      async close() {
        await close();
      },
    };
  });

  test('L10 when the clock of Redis is set back, nobody waits longer than the window', async () => {
    const { all, clock, close } = await nodes(1);
    const [{ limiter }] = all as [Cluster];
    const rule = { limit: 3, windowMs: 3_000 };
    for (let i = 0; i < 3; i++) await limiter.take('k', rule);
    await clock.advance(-3_600_000);
    expect((await limiter.take('k', rule)).retryAfterMs).toBeLessThanOrEqual(rule.windowMs);
    await clock.advance(rule.windowMs);
    expect(await limiter.take('k', rule)).toMatchObject({ ok: true });
    await close();
  });

  test('B1 what Redis forgets the nodes tell it again: who is online, and who was about to be offline', async () => {
    const { all, clock, prefix, close } = await nodes(2);
    const [one, other] = all as [Cluster, Cluster];
    await one.presence.beat([
      { user: 'stays', socket: 's1' },
      { user: 'leaves', socket: 's2' },
    ]);
    await other.presence.beat([{ user: 'there', socket: 's3' }]);
    await one.presence.drop('leaves', 's2');
    await forget(prefix);
    expect(await one.presence.online(['stays', 'leaves', 'there'])).toEqual(new Set());
    await one.presence.beat([]);
    await other.presence.beat([]);
    expect(await one.presence.online(['stays', 'leaves', 'there'])).toEqual(new Set(['stays', 'leaves', 'there']));
    await clock.advance(PRESENCE_GRACE_MS + 1);
    await one.presence.beat([]);
    await other.presence.beat([]);
    expect((await one.presence.reap([])).map(({ user }) => user)).toEqual(['leaves']);
    await close();
  });

  test('P11 a node that has just started knows of no bound before it knows of all', async () => {
    const { all, close } = await nodes(2);
    const [one, other] = all as [Cluster, Cluster];
    await one.presence.beat(['s1', 's2'].map((socket) => ({ user: 'u', socket })));
    expect(other.presence.mostSockets()).toBe(Number.POSITIVE_INFINITY);
    await other.presence.beat([{ user: 'v', socket: 's3' }]);
    expect(other.presence.mostSockets()).toBe(2);
    await close();
  });

  test('B2 a node that slept longer than its lease is online again with its next beat', async () => {
    const { all, clock, close } = await nodes(2);
    const [one, other] = all as [Cluster, Cluster];
    const connections = Array.from({ length: 1_200 }, (_, i) => ({ user: `u${i}`, socket: `s${i}` }));
    expect(await one.presence.beat(connections)).toHaveLength(1_200);
    const gone: string[] = [];
    for (let waited = 0; waited < 40_000; waited += 1_000) {
      if (waited % BEAT_MS === 0) await other.presence.beat([]);
      await clock.advance(1_000);
      gone.push(...(await other.presence.reap([])).map(({ user }) => user));
    }
    expect(new Set(gone).size).toBe(1_200);
    expect(gone).toHaveLength(1_200);
    expect(await other.presence.online(['u0', 'u1199'])).toEqual(new Set());
    expect(await one.presence.beat([])).toHaveLength(1_200);
    expect(await other.presence.online(['u0', 'u1199'])).toEqual(new Set(['u0', 'u1199']));
    await close();
  });

  test('B1 a socket that goes while its node tells Redis everything again does not come back as a ghost', async () => {
    const { all, clock, prefix, close } = await nodes(2);
    const [one, other] = all as [Cluster, Cluster];
    const connections = Array.from({ length: 10_000 }, (_, i) => ({ user: `u${i}`, socket: `s${i}` }));
    await one.presence.beat(connections);
    await forget(prefix);
    const again = one.presence.beat([]);
    await eventually(async () => (await other.presence.online(['u0'])).has('u0'), 'it has begun');
    await one.presence.drop('u9999', 's9999');
    await again;
    await clock.advance(PRESENCE_GRACE_MS);
    await one.presence.beat([]);
    await other.presence.reap([]);
    expect(await other.presence.online(['u9998', 'u9999'])).toEqual(new Set(['u9998']));
    await close();
  });

  test('B1 sockets that have gone do not come back with a Redis that remembers them', async () => {
    await using old = await startRedis();
    const { all, clock, close } = await nodes(2, old.url);
    const [one, other] = all as [Cluster, Cluster];
    const gone = Array.from({ length: 1_200 }, (_, i) => ({ user: `u${i}`, socket: `s${i}` }));
    await one.presence.beat([...gone, { user: 'stays', socket: 's' }]);
    const redis = new Redis(old.url);
    await redis.save();
    await redis.quit();
    for (const { user, socket } of gone) await one.presence.drop(user, socket);
    await old.process?.kill();
    await old.process?.start();
    await Promise.all(all.map(isReady));
    expect(await other.presence.online(['u0', 'u1199', 'stays'])).toEqual(new Set(['u0', 'u1199', 'stays']));
    expect(await one.presence.beat([])).toEqual([]);
    await clock.advance(PRESENCE_GRACE_MS + 1);
    await one.presence.beat([]);
    expect(await other.presence.online(['stays'])).toEqual(new Set(['stays']));
    const reaped = [];
    for (let i = 0; i < 4; i++) reaped.push(...(await other.presence.reap([])).map(({ user }) => user));
    expect(new Set(reaped)).toEqual(new Set(gone.map(({ user }) => user)));
    expect(reaped).toHaveLength(gone.length);
    await close();
  });

  test('B3 a node that stops is reaped at once, the grace of its users begins then', async () => {
    const { all, clock, close } = await nodes(2);
    const [one, other] = all as [Cluster, Cluster];
    await one.presence.beat([{ user: 'u', socket: 's1' }]);
    await one.close();
    expect(await other.presence.reap([])).toEqual([]);
    await clock.advance(PRESENCE_GRACE_MS);
    expect((await other.presence.reap([])).map(({ user }) => user)).toEqual(['u']);
    await close();
  });

  test('B4 Redis goes and comes back: nothing throws out of turn, limits go on, listeners hear of the gap', async () => {
    await using fragile = await startRedis();
    const { all, close } = await nodes(2, fragile.url);
    const [one, other] = all as [Cluster, Cluster];
    const rule = { limit: 2, windowMs: 60_000 };
    let gaps = 0;
    one.onGap(() => (gaps += 1));
    await one.presence.beat([{ user: 'before', socket: 's1' }]);
    await fragile.process?.kill();
    await eventually(() => fails(one.ready()), 'the node has noticed');
    await expect(one.fence()).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    await expect(one.presence.beat([{ user: 'meanwhile', socket: 's2' }])).rejects.toMatchObject({
      code: 'UNAVAILABLE',
    });
    await expect(one.presence.drop('before', 's1')).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    expect(await one.presence.online(['before'])).toEqual(new Set());
    await expect(one.presence.online(['before'], { sure: true })).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    const taken = [];
    for (let i = 0; i < 3; i++) taken.push((await one.limiter.take('k', rule)).ok);
    expect(taken).toEqual([true, true, false]);
    expect(gaps).toBe(0);

    await fragile.process?.start();
    await Promise.all([isReady(one), isReady(other)]);
    await eventually(() => gaps === 1, 'the gap is told');
    await one.fence();
    expect(await one.presence.beat([])).toEqual(['meanwhile']);
    expect(await other.presence.online(['before', 'meanwhile'])).toEqual(new Set(['before', 'meanwhile']));
    await close();
  });

  test('B10 when Redis was out of reach of all for longer than a lease, nobody has gone', async () => {
    await using fragile = await startRedis();
    const { all, clock, close } = await nodes(2, fragile.url);
    const [one, other] = all as [Cluster, Cluster];
    const reaped: string[] = [];
    const reap = async () => void reaped.push(...(await other.presence.reap([])).map(({ user }) => user));
    await one.presence.beat([{ user: 'u', socket: 's1' }]);
    await other.presence.beat([{ user: 'v', socket: 's2' }]);
    await holdLeases(clock, all);
    fragile.process?.pause();
    for (const node of all) await expect(node.presence.beat([])).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    await clock.advance(LEASE_MS + 2 * PRESENCE_GRACE_MS);
    fragile.process?.resume();
    await Promise.all(all.map(isReady));
    // Who is there first looks for dead nodes before the other one has said that it lives.
    await reap();
    await other.presence.beat([]);
    await reap();
    await one.presence.beat([]);
    await clock.advance(2 * PRESENCE_GRACE_MS);
    await beatAll(all);
    await reap();
    expect(reaped).toEqual([]);
    expect(await other.presence.online(['u', 'v'])).toEqual(new Set(['u', 'v']));
    await close();
  });

  test('B12 when the clock of Redis jumps ahead, or its machine has slept, nobody has gone', async () => {
    const { all, clock, redis, close } = await nodes(2);
    const [one, other] = all as [Cluster, Cluster];
    await one.presence.beat([{ user: 'u', socket: 's1' }]);
    await other.presence.beat([{ user: 'v', socket: 's2' }]);
    await holdLeases(clock, all);
    redis.ahead = 2 * LEASE_MS;
    expect(await other.presence.reap([])).toEqual([]);
    expect(await other.presence.beat([])).toEqual([]);
    expect(await other.presence.reap([])).toEqual([]);
    expect(await one.presence.beat([])).toEqual([]);
    // Whoever dies from now on is found out as ever.
    expect(await goneIn(clock, other)).toEqual(['u']);
    await close();
  });

  test('B12 those who are registered again are named, also when that is broken off', async () => {
    await using proxy = await startTcpProxy(server.url);
    const { all, clock, close } = await nodesAt(throughProxy(proxy), server.url);
    const [one, other] = all as [Cluster, Cluster];
    const connections = Array.from({ length: 6_000 }, (_, i) => ({ user: `u${i}`, socket: `s${i}` }));
    await one.presence.beat(connections);
    expect(new Set(await goneIn(clock, other)).size).toBe(6_000);
    const cutOff = one.presence.beat([]);
    await Promise.all([
      expect(cutOff).rejects.toMatchObject({ code: 'UNAVAILABLE' }),
      eventually(async () => (await other.presence.online(['u499'])).has('u499'), 'it has begun').then(proxy.cut),
    ]);
    expect((await other.presence.online(['u5999'])).size).toBe(0);
    await isReady(one);
    expect(new Set(await one.presence.beat([])).size).toBe(6_000);
    await close();
  });

  test('B13 what a connection that was given up had still to say is no truth when it comes', async () => {
    await using proxy = await startTcpProxy(server.url);
    const { all, clock, prefix, close } = await nodesAt(throughProxy(proxy), server.url);
    const [one, other] = all as [Cluster, Cluster];
    const deliver = proxy.hold();
    await expect(one.presence.beat([{ user: 'u', socket: 's' }])).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    await eventuallyWorks(() => one.presence.beat([]), 'it has another connection');
    await one.presence.drop('u', 's');
    const redis = new Redis(server.url);
    const hasSocket = async () => (await redis.hexists(`${prefix}:user:u`, 's')) === 1;
    expect(await hasSocket()).toBe(false);
    deliver();
    await eventually(hasSocket, 'the late word has come');
    await redis.quit();
    for (let waited = 0; waited <= 120_000; waited += BEAT_MS) {
      await clock.advance(BEAT_MS);
      await beatAll(all);
    }
    await clock.advance(PRESENCE_GRACE_MS);
    expect((await other.presence.reap([])).map(({ user }) => user)).toEqual(['u']);
    expect((await other.presence.online(['u'])).size).toBe(0);
    await close();
  });

  test('B14 a Redis that has become a replica is left for the one that its address stands for now', async () => {
    await using old = await startRedis();
    await using next = await startRedis();
    await using proxy = await startTcpProxy(old.url);
    const { all, close } = await nodesAt(throughProxy(proxy), next.url);
    const [moves] = all as [Cluster, Cluster];
    let gaps = 0;
    moves.onGap(() => (gaps += 1));
    await moves.presence.beat([{ user: 'u', socket: 's' }]);
    const redis = new Redis(old.url);
    await redis.replicaof('127.0.0.1', new URL(next.url).port);
    await redis.quit();
    proxy.lead(next.url);
    await expect(moves.presence.beat([])).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    await eventuallyWorks(() => moves.presence.beat([]), 'it has moved');
    await eventually(() => gaps === 1, 'the gap is told');
    await moves.fence();
    expect(await all[1]?.presence.online(['u'])).toEqual(new Set(['u']));
    await close();
  });

  test('B14 a Redis that takes no writes is not left again and again', async () => {
    await using old = await startRedis();
    await using next = await startRedis();
    await using proxy = await startTcpProxy(old.url);
    const { all, clock, close } = await nodesAt(throughProxy(proxy));
    const [node] = all as [Cluster];
    const redis = new Redis(old.url);
    await redis.replicaof('127.0.0.1', new URL(next.url).port);
    await redis.quit();
    await expect(node.presence.beat([])).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    await eventually(() => proxy.connections() === 6, 'it looks whether there is another one');
    await isReady(node);
    for (let i = 0; i < 5; i++) await expect(node.presence.beat([])).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    await node.ready();
    expect(proxy.connections()).toBe(6);
    await clock.advance(10_000);
    await expect(node.presence.beat([])).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    await eventually(() => proxy.connections() === 9, 'later it looks again');
    await close();
  });

  test('B10 who has come while the answer of Redis got lost is named by the next beat', async () => {
    await using fragile = await startRedis();
    const { all, close } = await nodes(2, fragile.url);
    const [one, other] = all as [Cluster, Cluster];
    fragile.process?.pause();
    await expect(one.presence.beat([{ user: 'u', socket: 's1' }])).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    fragile.process?.resume();
    await isReady(one);
    await eventually(async () => (await other.presence.online(['u'])).has('u'), 'Redis has it');
    expect(await one.presence.beat([])).toEqual(['u']);
    expect(await one.presence.beat([])).toEqual([]);
    await close();
  });

  test('B10 who has gone while the answer of Redis got lost is named by the next one', async () => {
    await using fragile = await startRedis();
    const { all, clock, close } = await nodes(2, fragile.url);
    const [one, other] = all as [Cluster, Cluster];
    await one.presence.beat([{ user: 'u', socket: 's1' }]);
    await one.presence.drop('u', 's1');
    await clock.advance(PRESENCE_GRACE_MS + 1);
    fragile.process?.pause();
    await expect(one.presence.reap([])).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    fragile.process?.resume();
    await isReady(one);
    await isReady(other);
    await eventually(async () => (await other.presence.online(['u'])).size === 0, 'Redis has done it');
    expect((await one.presence.reap([])).map(({ user }) => user)).toEqual(['u']);
    expect(await one.presence.reap(['u'])).toEqual([]);
    await close();
  });

  test('B10 who left while Redis was away and forgot him is gone when it is back, however long that took', async () => {
    await using fragile = await startRedis();
    const { all, clock, close } = await nodes(1, fragile.url);
    const [node] = all as [Cluster];
    await node.presence.beat([{ user: 'u', socket: 's1' }]);
    await fragile.process?.kill();
    await expect(node.presence.drop('u', 's1')).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    for (let waited = 0; waited < 60_000; waited += BEAT_MS) {
      await clock.advance(BEAT_MS);
      await expect(node.presence.beat([])).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    }
    await fragile.process?.start();
    await isReady(node);
    await node.presence.beat([]);
    await clock.advance(PRESENCE_GRACE_MS + 1_000);
    expect((await node.presence.reap([])).map(({ user }) => user)).toEqual(['u']);
    await close();
  });

  test('B15 however late Redis hears that somebody left, he has gone since he left, and is not here meanwhile', async () => {
    await using proxy = await startTcpProxy(server.url);
    const { all, clock, close } = await nodesAt(throughProxy(proxy), server.url);
    const [one, other] = all as [Cluster, Cluster];
    await one.presence.beat([
      { user: 'u', socket: 's1' },
      { user: 'v', socket: 's2' },
    ]);
    await other.presence.beat([{ user: 'v', socket: 's3' }]);
    proxy.lose(() => true);
    proxy.cut();
    const leftAt = clock.elapsed();
    for (const [user, socket] of [
      ['u', 's1'],
      ['v', 's2'],
    ] as const)
      await expect(one.presence.drop(user, socket)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    await clock.advance(LEASE_MS - 1);
    await other.presence.beat([]);
    proxy.lose(undefined);
    await eventuallyWorks(() => one.presence.beat([]), 'Redis is back');
    expect(await other.presence.online(['u', 'v'])).toEqual(new Set(['v']));
    // Whoever cannot say yet that somebody is with him has as long as ever to say so.
    expect(await other.presence.reap([])).toEqual([]);
    await clock.advance(PRESENCE_GRACE_MS);
    await beatAll(all);
    expect(await other.presence.reap([])).toEqual([{ user: 'u', at: leftAt }]);
    await close();
  });

  test('B15 who has been found to have gone is not here again because Redis is told all once more', async () => {
    await using proxy = await startTcpProxy(server.url);
    const { all, clock, redis, close } = await nodesAt(throughProxy(proxy), server.url);
    const [one, other] = all as [Cluster, Cluster];
    const users = ['here', 'there', 'back'];
    await one.presence.beat(users.map((user) => ({ user, socket: user })));
    const reconnect = async () => {
      proxy.cut();
      await eventually(() => fails(one.ready()), 'the connection is lost');
      await isReady(one);
      await one.presence.beat([]);
    };
    for (const [user, finder] of [
      ['here', one],
      ['there', other],
      ['back', other],
    ] as const) {
      await one.presence.drop(user, user);
      const leftAt = clock.elapsed() + redis.ahead;
      await clock.advance(PRESENCE_GRACE_MS);
      await beatAll(all);
      expect(await finder.presence.reap([])).toEqual([{ user, at: leftAt }]);
      // Redis and the node count from moments that are a little apart.
      redis.ahead += 500;
      await reconnect();
      expect(await other.presence.online([user])).toEqual(new Set());
      if (user === 'back') expect(await other.presence.beat([{ user, socket: 'again' }])).toEqual([user]);
      await clock.advance(PRESENCE_GRACE_MS);
      await beatAll(all);
      expect(await other.presence.reap([])).toEqual([]);
    }
    await close();
  });

  test('B15 who has gone with a node that was cut off is told of again only if he left it later', async () => {
    await using proxy = await startTcpProxy(server.url);
    const { all, clock, close } = await nodesAt(throughProxy(proxy), server.url);
    const [one, other] = all as [Cluster, Cluster];
    await one.presence.beat(['soon', 'later'].map((user) => ({ user, socket: user })));
    await holdLeases(clock, all);
    const cutAt = clock.elapsed();
    proxy.lose(() => true);
    proxy.cut();
    const leave = (user: string) =>
      expect(one.presence.drop(user, user)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    await leave('soon');
    await expect(one.presence.beat([])).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    expect((await goneIn(clock, other)).sort()).toEqual(['later', 'soon']);
    const leftAt = clock.elapsed();
    await leave('later');
    proxy.lose(undefined);
    await eventuallyWorks(() => one.presence.beat([]), 'Redis is back');
    await clock.advance(PRESENCE_GRACE_MS);
    await beatAll(all);
    expect(leftAt - cutAt).toBeGreaterThan(LEASE_MS);
    expect(await other.presence.reap([])).toEqual([{ user: 'later', at: leftAt }]);
    await close();
  });

  test('B15 who left later where Redis has heard of it at once is still here', async () => {
    await using proxy = await startTcpProxy(server.url);
    const { all, clock, close } = await nodesAt(throughProxy(proxy), server.url);
    const [one, other] = all as [Cluster, Cluster];
    await one.presence.beat([{ user: 'u', socket: 's1' }]);
    await other.presence.beat([{ user: 'u', socket: 's2' }]);
    proxy.lose(() => true);
    proxy.cut();
    await expect(one.presence.drop('u', 's1')).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    await clock.advance(LEASE_MS - 2);
    await other.presence.beat([]);
    await other.presence.drop('u', 's2');
    const leftAt = clock.elapsed();
    proxy.lose(undefined);
    await clock.advance(1);
    await eventuallyWorks(() => one.presence.beat([]), 'Redis is back');
    expect(await other.presence.online(['u'])).toEqual(new Set(['u']));
    expect(await other.presence.beat([{ user: 'u', socket: 's3' }])).toEqual([]);
    await other.presence.drop('u', 's3');
    await clock.advance(PRESENCE_GRACE_MS);
    await beatAll(all);
    expect(await other.presence.reap([])).toEqual([{ user: 'u', at: leftAt + 1 }]);
    await close();
  });

  test('B15 who is heard of later than anybody is remembered has gone since he left, and is forgotten then', async () => {
    await using proxy = await startTcpProxy(server.url);
    const { all, clock, prefix, close } = await nodesAt(throughProxy(proxy));
    const [node] = all as [Cluster];
    await node.presence.beat([{ user: 'u', socket: 's' }]);
    proxy.lose(() => true);
    proxy.cut();
    const leftAt = clock.elapsed();
    await expect(node.presence.drop('u', 's')).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    await expect(node.presence.beat([])).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    await clock.advance(3_600_000);
    proxy.lose(undefined);
    await eventuallyWorks(() => node.presence.beat([]), 'Redis is back');
    expect(await node.presence.reap([])).toEqual([]);
    await clock.advance(PRESENCE_GRACE_MS);
    expect(await node.presence.reap([])).toEqual([{ user: 'u', at: leftAt }]);
    expect(await node.presence.reap(['u'])).toEqual([]);
    const redis = new Redis(server.url);
    expect(await redis.keys(`${prefix}:*`)).toEqual([`${prefix}:nodes`]);
    await redis.quit();
    await close();
  });

  test('P9 a clock of Redis that is set back makes nobody look online for longer', async () => {
    const { all, clock, redis, close } = await nodes(2);
    const [one, other] = all as [Cluster, Cluster];
    await one.presence.beat(['s1', 's2'].map((socket) => ({ user: 'u', socket })));
    await one.presence.drop('u', 's1');
    redis.ahead = -3_600_000;
    await one.presence.drop('u', 's2');
    await clock.advance(PRESENCE_GRACE_MS);
    await beatAll(all);
    expect((await other.presence.reap([])).map(({ user }) => user)).toEqual(['u']);
    await close();
  });

  test('B4 a fence without an answer is a gap, told by the next one that has one', async () => {
    await using silent = await startRedis();
    const { all, close } = await nodes(1, silent.url);
    const [node] = all as [Cluster];
    let gaps = 0;
    node.onGap(() => (gaps += 1));
    await node.fence();
    silent.process?.pause();
    await expect(node.fence()).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    silent.process?.resume();
    expect(gaps).toBe(0);
    await eventuallyWorks(() => node.fence(), 'it answers again');
    expect(gaps).toBe(1);
    await close();
  });

  test('B5 a Redis that says nothing is given up in time', async () => {
    await using silent = await startRedis();
    const { all, clock, close } = await nodes(1, silent.url);
    const [node] = all as [Cluster];
    let gaps = 0;
    node.onGap(() => (gaps += 1));
    silent.process?.pause();
    const asked = performance.now();
    await expect(node.fence()).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    expect((await node.limiter.take('k', { limit: 1, windowMs: 1_000 })).ok).toBe(true);
    await expect(node.presence.beat([])).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    expect(performance.now() - asked).toBeLessThan(10_000);
    // The probe gives the silent subscriber up; after that it is made again, and the gap is told.
    await clock.advance(5_000);
    await eventually(() => fails(node.ready()), 'the connection is given up');
    silent.process?.resume();
    await eventually(() => gaps === 1, 'the gap is told');
    await close();
  });

  test('B5 a connection on which nobody ever says hello is given up', async () => {
    await using proxy = await startTcpProxy(server.url);
    const { all, clock, close } = await nodesAt(throughProxy(proxy));
    const [node] = all as [Cluster];
    let gaps = 0;
    node.onGap(() => (gaps += 1));
    proxy.lose(() => true);
    proxy.cut();
    await eventually(() => proxy.connections() >= 6, 'it has tried again');
    proxy.lose(undefined);
    await eventuallyWorks(() => node.limiter.take('k', { limit: 1, windowMs: 1_000 }) as Promise<unknown>, 'it counts');
    for (let beats = 0; beats < 2; beats++) await clock.advance(BEAT_MS);
    await eventually(() => gaps === 1, 'the gap is told');
    await node.fence();
    await close();
  });

  test('B5 a Redis that refuses a ping has answered it: its subscriptions are good', async () => {
    await using full = await startRedis();
    const redis = new Redis(full.url);
    const [, folder] = (await redis.config('GET', 'dir')) as [string, string];
    rmSync(folder, { recursive: true });
    await redis.config('SET', 'save', '1 1');
    await redis.set('x', '1');
    await redis.bgsave();
    await eventually(() => fails(redis.ping()), 'it cannot save');
    const { all, clock, redis: seen, close } = await nodesAt(full.url);
    const [node] = all as [Cluster];
    await expect(node.presence.beat([])).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    for (let beats = 0; beats < 3; beats++) {
      await clock.advance(BEAT_MS);
      await node.fence();
    }
    expect(seen.lost).toBe(0);
    redis.disconnect();
    await close();
  });

  test('B6 deployments that share a Redis do not see each other', async () => {
    const [one, other] = await Promise.all([nodes(1), nodes(1)]);
    await one.all[0]?.presence.beat([{ user: 'u', socket: 's' }]);
    expect(await other.all[0]?.presence.online(['u'])).toEqual(new Set());
    expect(await one.all[0]?.presence.online(['u'])).toEqual(new Set(['u']));
    await Promise.all([one.close(), other.close()]);
  });
});
