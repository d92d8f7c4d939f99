import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { type AddressInfo, createConnection } from 'node:net';
import { createRedisCluster } from '@duet/cluster-redis';
import {
  type BackingService,
  createManualClock,
  eventually,
  eventuallyWorks,
  hasRedis,
  next,
  open,
  register,
  startRedis,
  temporaryFolder,
} from '@duet/testkit';
import { io as connect } from 'socket.io-client';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createDoor } from '../src/socket/door.ts';
import { createFanout, roomOf, WATCHERS } from '../src/socket/fanout.ts';
import { createSocketServer } from '../src/socket/server.ts';
import { startNode as startWholeNode } from './in-process.ts';

describe.skipIf(!hasRedis())('live events between nodes', () => {
  let redis: BackingService;
  beforeAll(async () => {
    redis = await startRedis();
  });
  afterAll(() => redis[Symbol.asyncDispose]());

  /** Socket.IO and the fan-out of a node, without rules; whoever comes says who he is. */
  async function startNode(prefix: string) {
    const clock = createManualClock();
    const cluster = createRedisCluster({ url: redis.url, prefix, clock });
    await eventuallyWorks(() => cluster.ready(), 'the cluster is ready');
    const http = createServer();
    const io = createSocketServer(http, {
      adapter: cluster.socketAdapter,
      mayCall: () => true,
      door: createDoor(clock),
    });
    io.use((socket, next) => {
      void socket.join([roomOf(socket.handshake.auth.user), WATCHERS]);
      cluster.fence().then(() => next(), next);
    });
    await once(http.listen(0, '127.0.0.1'), 'listening');
    const url = `http://127.0.0.1:${(http.address() as AddressInfo).port}`;
    const outgoing: unknown[] = [];
    io.on('connection', (socket) => socket.onAnyOutgoing((name, payload) => outgoing.push([name, payload])));
    const close = async () => {
      await io.close();
      await cluster.close();
    };
    return { url, outgoing, fanout: createFanout(io, false), [Symbol.asyncDispose]: close };
  }

  async function arrive(url: string, user: string) {
    const socket = connect(url, { auth: { user }, forceNew: true, reconnection: false });
    const heard: unknown[] = [];
    socket.onAny((name, payload) => heard.push([name, payload]));
    await new Promise<void>((resolve) => socket.once('connect', resolve));
    return { socket, heard, id: socket.id as string, [Symbol.dispose]: () => void socket.disconnect() };
  }

  const typing = (userId: string) => ({ name: 'user_typing', payload: { userId, isTyping: true } }) as const;
  const heardTyping = (userId: string) => ['user_typing', { userId, isTyping: true }];

  test('C5 an event for somebody reaches all his sockets on any node, once, and nobody else', async () => {
    const prefix = randomUUID();
    await using one = await startNode(prefix);
    await using two = await startNode(prefix);
    using here = await arrive(one.url, 'ann');
    using alsoHere = await arrive(one.url, 'ann');
    using there = await arrive(two.url, 'ann');
    using other = await arrive(two.url, 'bob');
    one.fanout.toUser('ann', typing('1'));
    one.fanout.toUser('ann', typing('2'), { except: here.id });
    one.fanout.toLocal(typing('3'));
    one.fanout.toRoom(undefined, typing('4'));
    one.fanout.toWatchers(typing('end'));
    const all = [here, alsoHere, there, other];
    await eventually(() => all.every(({ heard }) => JSON.stringify(heard).includes('end')), 'the last has come');
    // What spares the nodes that need not hear it is asked for first, and comes a little later.
    await eventually(() => there.heard.length === 4, 'so has what was for the others');
    expect(here.heard).toEqual(['1', '3', '4', 'end'].map(heardTyping));
    expect(alsoHere.heard).toEqual(['1', '2', '3', '4', 'end'].map(heardTyping));
    expect(there.heard).toEqual(['1', '4', 'end', '2'].map(heardTyping));
    expect(other.heard).toEqual(['4', 'end'].map(heardTyping));
    // Those who listen at a node to what goes out hear the same, whoever sent it.
    expect(two.outgoing).toEqual(['1', '4', '4', 'end', 'end', '2'].map(heardTyping));
  });

  test('B11 who cannot be told that somebody has come is told to look again as soon as anything can be told', async () => {
    await using strict = await startRedis();
    using folder = temporaryFolder();
    const command = async (line: string) => {
      const socket = createConnection(Number(new URL(strict.url).port), '127.0.0.1');
      socket.write(`${line}\r\n`);
      const [answer] = await once(socket, 'data');
      socket.destroy();
      return String(answer);
    };
    const environment = { NODE_ENV: 'test', DATA_DIR: folder.path, REDIS_URL: strict.url };
    await using one = await startWholeNode(environment);
    await using two = await startWholeNode(environment);
    const [watches, comes, follows] = await Promise.all(['w', 'c', 'f'].map((name) => register(one.url, name)));
    using watcher = open(two.url, watches?.token);
    await next(watcher, 'user_status');
    // What nodes know is as ever; what they tell each other is refused.
    await command('ACL SETUSER default -spublish');
    using here = open(one.url, comes?.token);
    await next(here, 'user_status');
    await eventually(async () => (await command('ACL LOG')).includes('spublish'), 'the other node cannot be told');
    await command('ACL SETUSER default +spublish');
    const told = next(watcher, 'resync');
    using _ = open(one.url, follows?.token);
    await told;
  });

  test('B9 while Redis is away, people on one node reach each other all the same', async () => {
    await using node = await startNode(randomUUID());
    using ann = await arrive(node.url, 'ann');
    redis.process?.pause();
    try {
      node.fanout.toUser('ann', typing('1'));
      await eventually(() => ann.heard.length > 0, 'it has come');
      expect(ann.heard).toEqual([heardTyping('1')]);
    } finally {
      redis.process?.resume();
    }
  });
});
