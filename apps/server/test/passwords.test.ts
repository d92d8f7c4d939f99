import { spawnSync } from 'node:child_process';
import { EventEmitter, once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { temporaryFolder } from '@duet/testkit';
import { expect, test } from 'vitest';
import { createPasswords, passwordThreads } from '../src/auth/passwords.ts';

/** More than wait for one thread and are under way together. */
const TOO_MANY = 140;

const WORKER = new URL('../src/auth/passwords-worker.ts', import.meta.url).href;
const REPOSITORY = fileURLToPath(new URL('../../..', import.meta.url));
const neverFails = (error: unknown): never => {
  throw error;
};

test('A16 of more passwords than can be looked at in time the last are turned away at once, and the first served', async () => {
  const passwords = createPasswords({ cost: 10, threads: 1, failed: neverFails });
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

test('A17 threads that cannot be started cost logins an answer that says to try again, and nothing else', async () => {
  using folder = temporaryFolder();
  const file = join(folder.path, 'worker.mjs');
  writeFileSync(file, 'throw new Error("it cannot be loaded");');
  const failures = new EventEmitter();
  const failed = once(failures, 'failed');
  const passwords = createPasswords({
    cost: 10,
    threads: 2,
    failed: (error) => failures.emit('failed', error),
    worker: pathToFileURL(file),
  });
  expect(await failed).toMatchObject([{ message: 'it cannot be loaded' }]);
  const answers = await Promise.allSettled([1, 2, 3].map(() => passwords.hash('password123')));
  for (const answer of answers)
    expect(answer).toMatchObject({ status: 'rejected', reason: { code: 'UNAVAILABLE', retryAfterMs: 1_000 } });
  // The next login tries again.
  writeFileSync(file, `export { default } from ${JSON.stringify(WORKER)};`);
  expect(await passwords.hash('password123')).toMatch(/^\$2b\$10\$/);
  await passwords.close();
});

test('A17 where a thread may not be slowed down passwords are hashed all the same', () => {
  const hash = `import(${JSON.stringify(WORKER)}).then((it) => console.log(it.default({ password: 'password123', cost: 10 })))`;
  const confined = ['--permission', `--allow-fs-read=${REPOSITORY}*`, '-e', hash];
  const { stdout, stderr } = spawnSync(process.execPath, confined, { encoding: 'utf8' });
  expect(stdout).toMatch(/^\$2b\$10\$/);
  expect(stderr).toContain('passwords are hashed at ordinary priority');
});

test.each([
  [1, 1, 1],
  [2, 1, 1],
  [4, 1, 3],
  [64, 1, 4],
  [64, 2, 2],
  [16, 4, 1],
  [64, 8, 1],
])('A18 on %i cores each of %i workers has %i threads for passwords at most', (cores, workers, threads) => {
  expect(passwordThreads(cores, workers)).toBe(threads);
});
