import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import type { Cluster } from '@duet/core';
import {
  available,
  clusterSuite,
  createManualClock,
  eventually,
  findProgram,
  lackOf,
  type ServiceProcess,
  startService,
} from '@duet/testkit';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createChannels } from '../src/channels.ts';
import { createConnections } from '../src/connections.ts';
import { createRedisCluster, createRedisView } from '../src/index.ts';

const USERS = readFileSync(new URL('../../../deploy/redis/users.acl', import.meta.url), 'utf8');
const PASSWORD = 'a password of the tests';
const PROOF = createHash('sha256').update(PASSWORD).digest('hex');
const program = findProgram('redis-server');

/** Refused to the user of the nodes: what is other people's, and what is the operator's. */
const REFUSED = [
  'FLUSHALL',
  'FLUSHDB',
  'KEYS *',
  'SCAN 0',
  'RANDOMKEY',
  'DBSIZE',
  'CONFIG GET *',
  'CONFIG SET save x',
  'ACL LIST',
  'ACL SETUSER duet ~*',
  'CLIENT LIST',
  'CLIENT KILL TYPE normal',
  'MONITOR',
  'SHUTDOWN NOSAVE',
  'SAVE',
  'REPLICAOF 127.0.0.1 1',
  'MODULE LIST',
  'SCRIPT FLUSH',
  'FUNCTION FLUSH',
  'DEL duet:nodes',
  'GET other',
  'SET other:limit:x 1',
  'SET duet 1',
  'ZADD duets:nodes 1 x',
  'SSUBSCRIBE other#/#',
  'SSUBSCRIBE duet',
  'SPUBLISH other#/# x',
  'PUBLISH duet#/# x',
  'SUBSCRIBE duet#/#',
  'PSUBSCRIBE *',
  'PUBSUB CHANNELS',
];

describe.skipIf(!available(lackOf('Redis 7', program, 'install redis-server')))('the users of Redis', () => {
  let server: ServiceProcess;
  let operator: Redis;
  const as = (user: string, password: string) =>
    new Redis({ port: server.port, username: user, password, enableReadyCheck: false, maxRetriesPerRequest: 0 });

  beforeAll(async () => {
    server = await startService(program as string, ({ address, port, folder }) => {
      const file = `${folder}/users.acl`;
      const operators = 'user operator on nopass ~* &* +@all\n';
      writeFileSync(file, USERS.replace('PASSWORD_SHA256', PROOF) + operators);
      return ['--port', port, '--bind', address, '--dir', folder, '--save', '', '--aclfile', file].map(String);
    });
    operator = as('operator', 'any');
  });
  afterAll(async () => {
    await operator?.quit();
    await server?.[Symbol.asyncDispose]();
  });

  const url = () => `redis://duet:${encodeURIComponent(PASSWORD)}@127.0.0.1:${server.port}`;
  async function start(count: number) {
    await operator.flushall();
    const clock = createManualClock();
    const node = () => createRedisCluster({ url: url(), prefix: 'duet', clock, now: clock.elapsed });
    const nodes = Array.from({ length: count }, node);
    const isReady = (each: Cluster) =>
      each.ready().then(
        () => true,
        () => false,
      );
    await eventually(async () => (await Promise.all(nodes.map(isReady))).every(Boolean), 'all are ready');
    return { nodes, clock, close: () => Promise.all(nodes.map((each) => each.close())) };
  }
  /** Live events, as the nodes' sockets have them: a room is listened to, spoken to, and left. */
  async function live() {
    const connections = createConnections(url(), () => {}, createManualClock());
    const channels = createChannels(connections.pub, connections.sub);
    const isReady = () =>
      connections.ready().then(
        () => true,
        () => false,
      );
    await eventually(isReady, 'it is ready');
    const room = 'duet#/#user:u';
    const heard: string[] = [];
    channels.onMessage((_, message) => heard.push(message));
    channels.listen(room);
    await channels.fence();
    channels.sendToOthers(room, () => 'to nobody else');
    channels.send(room, 'hello');
    await eventually(() => heard.includes('hello'), 'it is heard');
    channels.forget(room);
    await channels.fence();
    connections.close();
  }
  /** What Redis has refused until now, to anybody. */
  const refusals = async () => (await operator.call('ACL', 'LOG')) as unknown[];

  clusterSuite('redis, with the rights of a node', async () => {
    const { nodes, clock, close } = await start(2);
    return {
      nodes: nodes as [Cluster, Cluster],
      advance: clock.advance,
      jump: clock.jump,
      kill: () => {},
      async close() {
        await close();
        expect(await refusals()).toEqual([]);
      },
    };
  });

  test('O27 nodes do all that they do, nothing of it is refused, and they have the right to nothing else', async () => {
    await operator.config('RESETSTAT');
    const { nodes, close } = await start(2);
    const [one, two] = nodes as [Cluster, Cluster];
    await one.presence.beat([{ user: 'u', socket: 's' }]);
    await two.presence.beat([{ user: 'v', socket: 't' }]);
    expect(await two.presence.online(['u', 'v'])).toEqual(new Set(['u', 'v']));
    await one.presence.drop('u', 's');
    await one.presence.reap([]);
    expect(await one.limiter.take('k', { limit: 1, windowMs: 1_000 })).toMatchObject({ ok: true });
    expect(await two.limiter.take('k', { limit: 1, windowMs: 1_000 })).toMatchObject({ ok: false });
    await live();
    const view = createRedisView({ url: url(), prefix: 'duet' });
    expect(await view.nodes()).toHaveLength(2);
    await view.close();
    await two.close();
    await one.presence.reap([]);
    await close();
    expect(await refusals()).toEqual([]);

    const statistics = await operator.info('commandstats');
    const used = new Set([...statistics.matchAll(/^cmdstat_([\w|]+):calls=/gm)].map(([, name]) => name));
    const granted = [...(/^user duet .*$/m.exec(USERS)?.[0] ?? '').matchAll(/ \+([a-z|]+)/g)].map(([, name]) => name);
    expect(granted.length).toBeGreaterThan(20);
    expect(granted.filter((name) => !used.has(name))).toEqual([]);
  });

  test.each(REFUSED)('O27 a node has no right to %s', async (line) => {
    const node = as('duet', PASSWORD);
    const [command, ...words] = line.split(' ') as [string, ...string[]];
    await expect(node.call(command, ...words)).rejects.toThrow(/NOPERM/);
    node.disconnect();
  });

  test('O27 a script of a node reaches no further than the node', async () => {
    const node = as('duet', PASSWORD);
    for (const line of ["'GET', 'other'", "'FLUSHALL'", "'SPUBLISH', 'other', 'x'"])
      await expect(node.eval(`return redis.call(${line})`, 0)).rejects.toThrow(/user executing the script|ACL failure/);
    expect(await node.eval("return redis.call('SET', 'duet:limit:x', '1')", 0)).toBe('OK');
    node.disconnect();
  });

  test('O27 nobody comes in without a password, and the health check may ask whether it lives and nothing else', async () => {
    const nobody = new Redis({ port: server.port, enableReadyCheck: false, maxRetriesPerRequest: 0 });
    nobody.on('error', () => {});
    await expect(nobody.ping()).rejects.toThrow(/NOAUTH/);
    nobody.disconnect();
    for (const [user, password] of [
      ['default', ''],
      ['default', PASSWORD],
      ['duet', 'another one'],
      ['duet', PROOF],
    ] as const)
      await expect(operator.call('AUTH', user, password)).rejects.toThrow(/WRONGPASS/);
    const health = as('health', 'health');
    expect(await health.ping()).toBe('PONG');
    for (const command of ['INFO', 'DBSIZE', 'CONFIG'])
      await expect(health.call(command, ...(command === 'CONFIG' ? ['GET', '*'] : []))).rejects.toThrow(/NOPERM/);
    await expect(health.get('duet:nodes')).rejects.toThrow(/NOPERM/);
    health.disconnect();
  });
});
