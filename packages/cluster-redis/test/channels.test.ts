import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import {
  type BackingService,
  createManualClock,
  eventually,
  eventuallyWorks,
  hasRedis,
  startRedis,
} from '@duet/testkit';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createChannels } from '../src/channels.ts';
import { createConnections } from '../src/connections.ts';

describe.skipIf(!hasRedis())('channels', () => {
  let server: BackingService;
  beforeAll(async () => {
    server = await startRedis();
  });
  afterAll(() => server[Symbol.asyncDispose]());

  /** A node, and everything that Redis has sent to it, wanted or not. */
  async function node(url = server.url) {
    const connections = createConnections(url, () => {}, createManualClock());
    const { pub, sub } = connections;
    const received: string[] = [];
    sub.on('smessage', (_, message) => received.push(message));
    const channels = createChannels(pub, sub);
    const ready = () => eventuallyWorks(() => connections.ready(), 'the node is ready');
    await ready();
    return { ...channels, received, ready, pub, sub, [Symbol.dispose]: connections.close };
  }

  test('B7 a message reaches the nodes that listen, once each, and costs the others nothing', async () => {
    using one = await node();
    using two = await node();
    using three = await node();
    const channel = randomUUID();
    one.listen(channel);
    two.listen(channel);
    three.listen(`${channel}:end`);
    await Promise.all([one.fence(), two.fence(), three.fence()]);
    for (let i = 0; i < 1_000; i++) one.send(channel, String(i));
    three.send(`${channel}:nobody`, 'nobody');
    one.send(`${channel}:end`, 'end');
    const listeners = [one, two];
    await eventually(
      () => three.received.length > 0 && listeners.every(({ received }) => received.length >= 1_000),
      'all has come',
    );
    expect(three.received).toEqual(['end']);
    const all = Array.from({ length: 1_000 }, (_, i) => String(i));
    for (const { received } of listeners) expect(received).toEqual(all);
  });

  test('B11 what could not be sent is told to those who listen there when it can', async () => {
    using one = await node();
    using two = await node();
    const channel = randomUUID();
    two.listen(channel);
    await two.fence();
    const lost: string[] = [];
    one.onLost((channels = []) => {
      lost.push(...channels);
      for (const each of channels) one.send(each, 'something is missing');
    });
    one.pub.disconnect(true);
    for (let i = 0; i < 5; i++) one.send(channel, String(i));
    await eventually(() => two.received.length > 0, 'they are told');
    expect(two.received).toEqual(['something is missing']);
    expect(lost).toEqual([channel]);
  });

  test('B11 when more was lost than is remembered, that is told of all', async () => {
    using one = await node();
    const lost: unknown[] = [];
    one.onLost((channels) => lost.push(channels?.length));
    for (const count of [5_000, 5_001]) {
      one.pub.disconnect(true);
      for (let i = 0; i < count; i++) one.send(`${i}`, 'lost');
      const before = lost.length;
      await eventually(() => lost.length > before, 'it is told');
    }
    expect(lost).toEqual([5_000, undefined]);
  });

  test('B11 what Redis had no time to answer does not come twice', async () => {
    await using slow = await startRedis();
    using one = await node(slow.url);
    using two = await node(slow.url);
    const channel = randomUUID();
    two.listen(channel);
    await two.fence();
    slow.process?.pause();
    one.send(channel, 'once');
    await new Promise((resolve) => setImmediate(resolve));
    await eventually(() => one.pub.stream.writableLength === 0, 'it is on its way');
    const closed = once(one.pub, 'close');
    one.pub.disconnect(true);
    await closed;
    slow.process?.resume();
    await one.ready();
    one.send(channel, 'last');
    await eventually(() => two.received.at(-1) === 'last', 'all has come');
    expect(two.received.filter((message) => message === 'once')).toHaveLength(1);
  });

  test("B8 what is for a sender's other devices is sent when another node has one, and not even written when none has", async () => {
    using one = await node();
    using two = await node();
    const channel = randomUUID();
    const written: string[] = [];
    const write = (message: string) => () => {
      written.push(message);
      return message;
    };
    /** Until everything that was sent has been answered. */
    const settle = async () => {
      for (let i = 0; i < 2; i++) {
        const before = one.received.length;
        one.send(channel, 'end');
        await eventually(() => one.received.length > before, 'all has come');
      }
    };
    one.listen(channel);
    await one.fence();
    one.sendToOthers(channel, write('alone'));
    await settle();
    two.listen(channel);
    await two.fence();
    one.sendToOthers(channel, write('both'));
    await eventually(() => two.received.includes('both'), 'the other node has it');
    two.forget(channel);
    await two.fence();
    one.sendToOthers(channel, write('alone again'));
    await settle();
    expect(written).toEqual(['both']);
    expect(two.received).toEqual(['both']);
  });

  test('B8 a node that Redis has forgotten spares nothing: the count would be wrong', async () => {
    using one = await node();
    using two = await node();
    const channel = randomUUID();
    for (const each of [one, two]) {
      each.listen(channel);
      await each.fence();
    }
    // The subscriptions of the first are gone, its other connections stay.
    const lost = new Promise((resolve) => one.sub.once('close', resolve));
    const killer = new Redis(server.url);
    await killer.client('KILL', 'ID', String(await one.sub.client('ID')));
    await lost;
    one.sendToOthers(channel, () => 'while it is away');
    await eventually(() => two.received.length > 0, 'the other node has it');
    await one.ready();
    await one.fence();
    await killer.quit();
    one.sendToOthers(channel, () => 'when it is back');
    await eventually(() => one.received.length > 0, 'it listens again by itself');
    expect(two.received).toEqual(['while it is away', 'when it is back']);
  });
});
