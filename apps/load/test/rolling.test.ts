import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { rolling } from '../src/torture/faults/processes.ts';
import type { Stage } from '../src/torture/faults/stage.ts';
import { pause } from '../src/torture/random.ts';

beforeEach(() => {
  vi.useFakeTimers();
  vi.stubGlobal('fetch', async () => ({ ok: true }));
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

/** A turn with one node that ends with this code so long after it was told to stop. */
async function turn(code: number | null, afterMs: number): Promise<string> {
  const process = { stop: () => pause(afterMs).then(() => code), kill: async () => {} };
  let disconnects = 0;
  const stage = {
    on: { nodes: [{ url: 'http://127.0.0.1:1', process, start: async () => {} }] },
    tally: { disconnects: () => disconnects++ },
    note() {},
  } as unknown as Stage;
  const ended = rolling.turn(stage);
  ended.catch(() => {});
  await vi.advanceTimersByTimeAsync(300_000);
  return ended;
}

test('T5 a node that is told to stop ends with 0, or with 1 when its time is up', async () => {
  await expect(turn(0, 1_500)).resolves.toContain('ended with 0');
  await expect(turn(1, 21_000)).resolves.toContain('ended with 1');
  await expect(turn(1, 1_500)).rejects.toThrow('ended with 1');
  await expect(turn(139, 1_500)).rejects.toThrow('ended with 139');
  await expect(turn(null, 1_500)).rejects.toThrow('ended with null');
});

test('T4 a node that does not stop ends the turn', async () => {
  await expect(turn(0, 3_600_000)).rejects.toThrow('ended with nothing');
});
