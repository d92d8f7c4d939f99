import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Server } from 'socket.io';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { createDevice, type Device } from '../src/torture/device.ts';
import { type FinalDeps, readEverything } from '../src/torture/final.ts';
import { createHistory } from '../src/torture/history.ts';
import type { Load } from '../src/torture/load.ts';
import { createRandom } from '../src/torture/random.ts';

/** One device, whose pages are what `page` says. */
function read(page: Device['page'], settle: Device['settle'] = async () => true): Promise<void> {
  const person = { index: 0, id: 'anne', token: '' };
  const yes = async () => true;
  const device = {
    person,
    name: '0.0',
    threads: new Map(),
    settle,
    syncFromZero: yes,
    list: yes,
    unread: yes,
    page,
  } as unknown as Device;
  const load = { talkers: () => [device], peersOf: () => [person] } as unknown as Load;
  return readEverything({ history: createHistory(() => {}), load } as FinalDeps);
}

describe('last readings without an answer', () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

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

  test('T1 what devices show is written down when they know everything', async () => {
    const begin = performance.now();
    let paged: number | undefined;
    const ended = read(
      async () => {
        paged ??= performance.now() - begin;
        return 5;
      },
      async () => performance.now() - begin > 6_000,
    );
    await vi.advanceTimersByTimeAsync(61_000);
    await ended;
    expect(paged).toBeGreaterThan(6_000);
  });
});

test('T1 a device that gets no answer to its sync does not take itself for settled', async () => {
  let busy = true;
  const http = createServer((_, response) => {
    const body = busy
      ? { success: false, code: 'UNAVAILABLE' }
      : { success: true, data: { conversations: [], complete: true } };
    response.end(JSON.stringify(body));
  }).listen(0, '127.0.0.1');
  const io = new Server(http);
  io.on('connection', (socket) =>
    socket.on('sync', (_, answer) =>
      answer(
        busy
          ? { ok: false, error: { code: 'UNAVAILABLE' } }
          : { ok: true, data: { conversations: [], complete: true } },
      ),
    ),
  );
  await once(http, 'listening');
  const person = { index: 0, id: 'anne', token: '' };
  const device = createDevice({
    person,
    people: { all: [person], indexOf: () => 0 },
    name: '0.0',
    url: `http://127.0.0.1:${(http.address() as AddressInfo).port}`,
    transports: ['websocket'],
    run: 'r',
    history: createHistory(() => {}),
    random: createRandom(1),
    nextTag: () => 0,
  });
  device.socket.connect();
  await device.connected();
  expect(await device.settle()).toBe(false);
  busy = false;
  expect(await device.settle()).toBe(true);
  device.close();
  await io.close();
});
