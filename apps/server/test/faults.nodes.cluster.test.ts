import { once } from 'node:events';
import { createConnection } from 'node:net';
import {
  connect,
  type DeployedNode,
  type Deployment,
  eventually,
  hasMongo,
  hasNginx,
  hasRedis,
  next,
  open,
  register,
  rest,
  type ServiceProcess,
  startCluster,
  type TestUser,
} from '@duet/testkit';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { MAIN } from './shapes.ts';
import { startTraffic } from './traffic.ts';

const REPLACED_AFTER_MS = 40_000;
/** For tests that wait long: whole histories are compared, and those of a minute are long ones. */
const SLOW = { paceMs: 100 };

/** Which of these users the directory says are online. */
async function online(url: string, asker: TestUser, users: TestUser[]): Promise<string[]> {
  const { body } = await rest(url, '/auth/users?limit=100', { token: asker.token });
  const wanted = new Set(users.map(({ id }) => id));
  return body.data.users
    .filter((user: { _id: string; isOnline: boolean }) => user.isOnline && wanted.has(user._id))
    .map((user: { _id: string }) => user._id)
    .sort();
}

/** One command to Redis as a person types it. */
async function command(port: number, line: string): Promise<void> {
  const socket = createConnection(port, '127.0.0.1');
  socket.write(`${line}\r\n`);
  const [answer] = await once(socket, 'data');
  socket.destroy();
  expect(String(answer)).toBe('+OK\r\n');
}

const ids = (users: TestUser[]) => users.map(({ id }) => id).sort();

describe.skipIf(!(hasMongo() && hasRedis() && hasNginx()))('faults of a cluster', () => {
  let on: Deployment;
  let nodes: [DeployedNode, DeployedNode, DeployedNode];
  const device = (i: number) => `${on.url}/?k=device-${i}`;
  const service = (name: 'mongo' | 'redis'): ServiceProcess => {
    const process = on[name]?.process;
    if (!process) throw new Error(`${name} is not this test's own to break`);
    return process;
  };

  beforeAll(async () => {
    on = await startCluster({ main: MAIN, mongo: true, redis: true, nginx: true });
    nodes = on.nodes as typeof nodes;
  });
  afterAll(async () => on?.[Symbol.asyncDispose]());

  /** A node whose driver lost the database in an unlucky moment needs some seconds longer than the database. */
  const allReady = () =>
    eventually(
      async () => (await Promise.all(nodes.map(({ url }) => fetch(`${url}/ready`)))).every(({ ok }) => ok),
      'all nodes are ready',
    );
  beforeEach(allReady);

  test('F1 a node dies: nothing acknowledged is lost, its clients go on elsewhere, and presence is right', async () => {
    const [asker, silent] = await Promise.all([register(on.url), register(on.url)]);
    using watcher = await connect(nodes[0].url, asker.token);
    // One on the dying node who does not come back, and whose end nobody announces.
    using _ = await connect(nodes[1].url, silent.token, { reconnection: false });
    await eventually(async () => (await online(on.url, asker, [silent])).length === 1, 'he is online');
    const gone = next(watcher, 'user_status', ({ userId, isOnline }) => userId === silent.id && !isOnline);
    using traffic = await startTraffic(device, { pairs: 6, ...SLOW });
    await traffic.flows();
    await nodes[1].process.kill();
    await traffic.flows();
    await gone;
    expect(await online(on.url, asker, [...traffic.users, silent])).toEqual(ids(traffic.users));
    await nodes[1].start();
    await traffic.flows();
    await traffic.finish();
  });

  test('F2 Redis forgets everything: nothing acknowledged is lost, and presence is right again', async () => {
    const asker = await register(on.url);
    using traffic = await startTraffic(device);
    await traffic.flows();
    await command(service('redis').port, 'FLUSHALL');
    await traffic.flows();
    await eventually(
      async () => (await online(on.url, asker, traffic.users)).length === traffic.users.length,
      'presence is right again',
    );
    await traffic.finish();
  });

  test('F3 a node sleeps for 40 s: others go on, and what it believed is corrected when it wakes', async () => {
    const [asker, sleeper] = await Promise.all([register(on.url), register(on.url)]);
    using watcher = await connect(nodes[0].url, asker.token);
    // On the sleeping node, with a client too patient to notice.
    using asleep = await connect(nodes[2].url, sleeper.token, { transports: ['websocket'] });
    await eventually(async () => (await online(on.url, asker, [sleeper])).length === 1, 'he is online');
    const gone = next(watcher, 'user_status', ({ userId, isOnline }) => userId === sleeper.id && !isOnline);
    using traffic = await startTraffic((i) => nodes[i % 2 === 0 ? 0 : 1].url, SLOW);
    await traffic.flows();
    const slept = performance.now();
    nodes[2].process.signal('SIGSTOP');
    try {
      await gone;
      await traffic.flows();
      const rest = REPLACED_AFTER_MS - (performance.now() - slept);
      await new Promise((resolve) => setTimeout(resolve, Math.max(0, rest)));
    } finally {
      nodes[2].process.signal('SIGCONT');
    }
    await eventually(() => asleep.connected, 'his client is connected');
    await eventually(async () => (await online(on.url, asker, [sleeper])).length === 1, 'he is online again');
    // On the node that slept, a message reaches him.
    const got = next(asleep, 'receive_message');
    const ack = await watcher.emitWithAck('send_message', { receiverId: sleeper.id, content: 'awake?' });
    expect(ack.ok).toBe(true);
    expect((await got).message.content).toBe('awake?');
    await traffic.finish();
  });

  test('F9 a node that hangs does not keep its clients: their next try is at another one', async () => {
    const user = await register(on.url);
    nodes[1].process.signal('SIGSTOP');
    try {
      const sockets = Array.from({ length: 8 }, (_, i) =>
        // A client that gives a try up early, so that the test need not wait as long as the library would.
        open(device(i), user.token, { transports: ['websocket'], timeout: 1_000 }),
      );
      await eventually(() => sockets.every(({ connected }) => connected), 'every client is connected');
      for (const socket of sockets) socket.disconnect();
    } finally {
      nodes[1].process.signal('SIGCONT');
    }
    await eventually(async () => (await fetch(`${nodes[1].url}/ready`)).ok, 'it is ready again');
  });

  test('F4 Redis restarts under load: acknowledgements go on, and live delivery is back', async () => {
    const [alice, bob] = await Promise.all([register(on.url), register(on.url)]);
    using a = await connect(nodes[0].url, alice.token);
    using b = await connect(nodes[1].url, bob.token);
    using traffic = await startTraffic(device);
    await traffic.flows();
    const told = next(b, 'resync');
    await service('redis').kill();
    await traffic.flows();
    await service('redis').start();
    await told;
    await traffic.flows();
    const write = (content: string) => a.emitWithAck('send_message', { receiverId: bob.id, content });
    const live = new Set<string>();
    b.on('receive_message', ({ message }) => live.add(message.content));
    // The connection on which one node hears may be back before that on which the other one tells.
    await eventually(async () => {
      await write('is it back?');
      return live.size > 0;
    }, 'live delivery is back');
    const got = next(b, 'receive_message', ({ message }) => message.content === 'after');
    await write('after');
    await got;
    await eventually(
      async () => (await online(on.url, alice, traffic.users)).length === traffic.users.length,
      'presence is right again',
    );
    await traffic.finish();
  });

  test('F5 the database restarts and crashes under load: a retryable answer, then everything is there', async () => {
    using traffic = await startTraffic(device);
    await traffic.flows();
    await service('mongo').stop();
    const ready = await fetch(`${nodes[0].url}/ready`);
    expect({ status: ready.status, body: await ready.json() }).toMatchObject({
      status: 503,
      body: { waitsFor: ['mongo (UNAVAILABLE)'] },
    });
    await service('mongo').start();
    await traffic.flows();
    await service('mongo').kill();
    await service('mongo').start();
    await traffic.flows();
    await traffic.finish();
  });

  test('F6 nginx reloads under load, and is killed: clients come back by themselves', async () => {
    using traffic = await startTraffic(device);
    await traffic.flows();
    on.nginx?.signal('SIGHUP');
    await traffic.flows();
    await on.nginx?.kill();
    await on.nginx?.start();
    await traffic.flows();
    await traffic.finish();
  });

  test('F7 all nodes are replaced one after the other under load: each ends cleanly, nothing is lost', async () => {
    using traffic = await startTraffic(device, { pairs: 6, ...SLOW });
    await traffic.flows();
    for (const node of nodes) {
      expect(await node.process.stop()).toBe(0);
      await node.start();
      await eventually(async () => (await fetch(`${node.url}/ready`)).ok, 'it is ready');
      await traffic.flows();
    }
    await traffic.finish();
  });

  test('F8 nodes are started before what they need: they say what they wait for, and then serve', async () => {
    const [mongo, redis] = [service('mongo'), service('redis')];
    await nodes[0].process.stop();
    await Promise.all([mongo.stop(), redis.stop()]);
    const starting = nodes[0].start();
    const waiting = async () => {
      const answer = await fetch(`${nodes[0].url}/ready`).catch(() => undefined);
      const body = (await answer?.json()) as { waitsFor?: string[] } | undefined;
      return { status: answer?.status, waitsFor: body?.waitsFor };
    };
    await eventually(
      async () =>
        JSON.stringify(await waiting()) === '{"status":503,"waitsFor":["mongo (UNAVAILABLE)","redis (UNAVAILABLE)"]}',
      'it says what it waits for',
    );
    expect((await rest(nodes[0].url, '/auth/login', { body: {} })).status).toBe(503);
    expect(await (await fetch(`${nodes[0].url}/metrics`)).text()).toMatch(/^duet_ready 0$/m);
    await redis.start();
    await eventually(
      async () => JSON.stringify((await waiting()).waitsFor) === '["mongo (UNAVAILABLE)"]',
      'it waits for the other one',
    );
    await mongo.start();
    await starting;
    await allReady();
    using traffic = await startTraffic(device);
    await traffic.flows();
    await traffic.finish();
  });
});
