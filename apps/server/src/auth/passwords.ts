import { availableParallelism } from 'node:os';
import { DuetError } from '@duet/contract';
import type { Passwords } from '@duet/core';
import { Piscina } from 'piscina';
import type { HashTask } from './passwords-worker.ts';

/** A hash of nobody's password, of the same cost as real ones: comparing with it takes as long as comparing with them. */
const NOBODY = '$2b$10$CwTycUXWue0Thq9StjUM0uJ8.C1VgPXqQ4bqBDnMWRJ3pm/3zWq4.';
const MAX_BYTES = 72;
/** About eight seconds of its work on a small core: clients give up after fifteen. */
const MAX_WAITING_PER_THREAD = 128;

/**
 * bcrypt in worker threads. The event loop never hashes, the threads run at low priority, and the queue is bounded, so
 * a flood of logins slows logins down and nothing else.
 */
export function createPasswords(): Passwords & { close(): Promise<void> } {
  const maxThreads = Math.max(1, availableParallelism() - 1);
  const pool = new Piscina<HashTask, string | boolean>({
    filename: new URL('./passwords-worker.ts', import.meta.url).href,
    // A thread that ends while require() loads its ES module takes the process with it (a failed assertion in Node 26).
    execArgv: ['--no-require-module'],
    minThreads: 1,
    maxThreads,
    maxQueue: maxThreads * MAX_WAITING_PER_THREAD,
    concurrentTasksPerWorker: 1,
  });

  async function run<T extends string | boolean>(task: HashTask): Promise<T> {
    try {
      return (await pool.run(task)) as T;
    } catch (cause) {
      throw new DuetError('UNAVAILABLE', { cause, retryAfterMs: 1_000 });
    }
  }

  return {
    hash: (password) => run<string>({ password }),
    async verify(password, hash) {
      // bcrypt ignores what follows the 72nd byte: two passwords that begin alike would be one.
      const tooLong = Buffer.byteLength(password) > MAX_BYTES;
      const equal = await run<boolean>({ password, hash: hash ?? NOBODY });
      return equal && !tooLong && hash !== undefined;
    },
    close: () => pool.close({ force: true }),
  };
}
