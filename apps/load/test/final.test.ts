import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { Device } from '../src/torture/device.ts';
import { type FinalDeps, readEverything } from '../src/torture/final.ts';
import { createHistory } from '../src/torture/history.ts';
import type { Load } from '../src/torture/load.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

/** One device, whose pages are what `page` says. */
function read(page: Device['page']): Promise<void> {
  const person = { index: 0, id: 'anne', token: '' };
  const yes = async () => true;
  const device = {
    person,
    name: '0.0',
    threads: new Map(),
    settle: async () => {},
    syncFromZero: yes,
    list: yes,
    unread: yes,
    page,
  } as unknown as Device;
  const load = { talkers: () => [device], peersOf: () => [person] } as unknown as Load;
  return readEverything({ history: createHistory(() => {}), load } as FinalDeps);
}

test('T4 last readings that get no answer for a minute end the run', async () => {
  const ended = expect(read(async () => undefined)).rejects.toThrow('the last readings get no answer');
  await vi.advanceTimersByTimeAsync(61_000);
  await ended;
});

test('T4 last readings that get answers again within a minute go on where they stood', async () => {
  const begin = performance.now();
  const asked: unknown[] = [];
  const ended = read(async (_, query) => {
    if (performance.now() - begin < 50_000) return undefined;
    asked.push(query?.after);
    return asked.length === 1 ? 100 : 5;
  });
  await vi.advanceTimersByTimeAsync(61_000);
  await ended;
  expect(asked).toEqual([0, 100]);
});
