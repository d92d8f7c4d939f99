import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { type Cluster, createMemoryLimiter } from '@duet/core';
import { clusterSuite, createManualClock } from '@duet/testkit';
import { describe, expect, test } from 'vitest';
import { createLocalCluster, createPresenceTable } from '../src/index.ts';

// Two nodes at one table: what workers are to their primary, without the pipe between them. The pipe itself, and workers
// that die, are tested with real processes in apps/server.
clusterSuite('local', async () => {
  const clock = createManualClock();
  const table = createPresenceTable(clock);
  const limiter = createMemoryLimiter(clock);
  const node = (name: string): Cluster => ({
    ...createLocalCluster({ clock }),
    presence: table.forNode(name),
    limiter,
  });
  return {
    nodes: [node('0'), node('1')],
    advance: clock.advance,
    jump: clock.jump,
    kill: (i) => table.dropNode(String(i)),
    close: async () => {},
  };
});

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

describe('memory', () => {
  test('L5 buckets that are full again are forgotten', async () => {
    const clock = createManualClock();
    const limiter = createMemoryLimiter(clock);
    const heap = () => {
      collect();
      return process.memoryUsage().heapUsed;
    };
    const before = heap();
    for (let round = 0; round < 10; round++) {
      for (let i = 0; i < 30_000; i++) limiter.take(`${round}:${i}`, { limit: 1, windowMs: 1_000 });
      await clock.advance(10_000);
    }
    // 300,000 buckets would hold well over 100 bytes each.
    expect(heap() - before).toBeLessThan(10_000_000);
  });
});
