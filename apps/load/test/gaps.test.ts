import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { faults } from '../src/torture/faults/index.ts';
import type { Fault, Stage } from '../src/torture/faults/stage.ts';
import { createRandom } from '../src/torture/random.ts';

const HEALED_AFTER_MS = 30_000;

beforeEach(() => void vi.useFakeTimers());
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

/** A turn of a fault, for nodes of which some tell their clients to sync when it is over. */
async function turn(name: string, tells: (node: number) => boolean): Promise<string> {
  const begin = performance.now();
  const nodes = [0, 1, 2].map((i) => ({ url: `http://127.0.0.1:${i}` }));
  vi.stubGlobal('fetch', async (url: string) => {
    const told =
      performance.now() - begin > HEALED_AFTER_MS && tells(nodes.findIndex((node) => url.startsWith(node.url)));
    return { ok: true, text: async () => `duet_resyncs_total ${told ? 2 : 1}\n` };
  });
  const redis = { stop: async () => {}, start: async () => {} };
  const rule = async () => ({ packets: async () => 3, async [Symbol.asyncDispose]() {} });
  let acknowledged = 0;
  const stage = {
    on: { nodes, redis: { process: redis } },
    network: { host: () => ({ address: '127.0.0.1' }), rule },
    tally: { acknowledged: () => acknowledged++ },
    // Cuts all of them.
    random: { ...createRandom(1), chance: () => true },
    short: true,
    note() {},
  } as unknown as Stage;
  const ended = (faults.get(name) as Fault).turn(stage);
  ended.catch(() => {});
  await vi.advanceTimersByTimeAsync(300_000);
  return ended;
}

test.each(['redis-silent', 'redis-loud', 'redis-oneway', 'redis-gone'])(
  'T5 %s is over when each node that was cut off has told its clients to sync',
  async (name) => {
    await expect(turn(name, () => true)).resolves.toMatch(/./);
    await expect(turn(name, (node) => node !== 1)).rejects.toThrow('no trace: node1 tells its clients to sync');
  },
);
