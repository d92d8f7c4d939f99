import { EventEmitter } from 'node:events';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { halfOpen } from '../src/torture/faults/clients.ts';
import type { Stage } from '../src/torture/faults/stage.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

/** A turn with one client on the narrow line and one elsewhere, whose sockets end for these reasons during it. */
async function turn(reasons: { narrow?: string; wide?: string }): Promise<string> {
  const deviceOf = (name: string, address: string) => ({
    name,
    url: `http://${address}:80`,
    socket: Object.assign(new EventEmitter(), { connected: true }),
  });
  const [narrow, wide] = [deviceOf('0.0', '198.18.1.130'), deviceOf('1.0', '198.18.1.15')];
  const rule = async () => ({ packets: async () => 3, async [Symbol.asyncDispose]() {} });
  const stage = {
    network: { slowAddress: '198.18.1.130', rule },
    load: { devices: [narrow, wide] },
    short: true,
    note() {},
  } as unknown as Stage;
  const ended = halfOpen.turn(stage);
  ended.catch(() => {});
  setTimeout(() => {
    if (reasons.narrow) narrow.socket.emit('disconnect', reasons.narrow);
    if (reasons.wide) wide.socket.emit('disconnect', reasons.wide);
  }, 35_000);
  await vi.advanceTimersByTimeAsync(60_000);
  return ended;
}

test('T5 a half-open connection is proven by a client that finds out, on the line that was cut', async () => {
  await expect(turn({ narrow: 'ping timeout' })).resolves.toContain('1 of 1 clients noticed');
  await expect(turn({ narrow: 'forced close' })).rejects.toThrow('no trace');
  await expect(turn({ wide: 'ping timeout' })).rejects.toThrow('no trace');
});
