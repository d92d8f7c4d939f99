import { availableParallelism } from 'node:os';
import { expect, test } from 'vitest';
import { createPasswords } from '../src/auth/passwords.ts';

/** More than wait and are under way together, on any machine. */
const TOO_MANY = 140 * availableParallelism();

test('A16 of more passwords than can be looked at in time the last are turned away at once, and the first served', async () => {
  const passwords = createPasswords();
  const first = passwords.hash('password123');
  const turnedAway: number[] = [];
  for (let i = 0; i < TOO_MANY; i++) passwords.verify('password123', undefined).catch(() => turnedAway.push(i));
  const last = passwords.verify('password123', undefined);
  await expect(last).rejects.toMatchObject({ code: 'UNAVAILABLE', retryAfterMs: 1_000 });
  expect(turnedAway.at(-1)).toBe(TOO_MANY - 1);
  expect(Math.min(...turnedAway)).toBeGreaterThan(100);
  expect(await first).toMatch(/^\$2b\$10\$/);
  await passwords.close();
});
