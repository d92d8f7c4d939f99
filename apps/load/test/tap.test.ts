import { eventually, hasRedis, startRedis } from '@duet/testkit';
import { Redis } from 'ioredis';
import { describe, expect, test } from 'vitest';
import { createMessageCounter, startTap } from '../src/cluster-bench/tap.ts';

describe('the tap', () => {
  test('B7 messages are counted exactly, however their bytes are cut, and nothing else is', () => {
    const message = '>3\r\n$8\r\nsmessage\r\n$7\r\nchannel\r\n$12\r\nwith\r\nbreaks\r\n';
    const others = ['+OK\r\n', '$-1\r\n', '*2\r\n:1\r\n$8\r\nsmessage\r\n', '%1\r\n$1\r\na\r\n_\r\n', '*0\r\n'];
    const subscribed = '>3\r\n$10\r\nssubscribe\r\n$7\r\nchannel\r\n:1\r\n';
    const stream = Buffer.from(others.map((other) => other + message + subscribed + message).join(''));
    for (const size of [1, 2, 3, 7, 64, stream.length]) {
      const { read, count } = createMessageCounter();
      for (let at = 0; at < stream.length; at += size) read(stream.subarray(at, at + size));
      expect(count()).toBe(10);
    }
  });

  test.skipIf(!hasRedis())('B7 what a client is pushed through the tap is counted, and arrives', async () => {
    await using redis = await startRedis();
    await using tap = await startTap(redis.url);
    const [sub, pub] = [new Redis(tap.url), new Redis(redis.url)];
    let arrived = 0;
    for (const event of ['message', 'pmessage', 'smessage']) sub.on(event, () => (arrived += 1));
    await Promise.all([sub.subscribe('a'), sub.psubscribe('b*'), sub.ssubscribe('c')]);
    expect(tap.received()).toBe(0);
    for (let i = 0; i < 200; i++) {
      await Promise.all([pub.publish('a', '1'), pub.publish('b2', '2'), pub.spublish('c', 'é'.repeat(9_000))]);
    }
    await eventually(() => arrived === 600, 'all have come');
    expect(tap.received()).toBe(600);
    await Promise.all([sub.quit(), pub.quit()]);
  });
});
