import { DuetError } from '@duet/contract';
import type { Passwords } from '@duet/core';
import { Piscina } from 'piscina';
import type { HashTask } from './passwords-worker.ts';

/** A hash of nobody's password, of the same cost as real ones: comparing with it takes as long as comparing with them. */
const nobodys = (cost: number) =>
  `$2b$${String(cost).padStart(2, '0')}$CwTycUXWue0Thq9StjUM0uJ8.C1VgPXqQ4bqBDnMWRJ3pm/3zWq4.`;
const MAX_BYTES = 72;
/** About eight seconds of its work on a small core: clients give up after fifteen. */
const MAX_WAITING_PER_THREAD = 128;
/**
 * Of all workers together: each takes about 20 MiB, and a container whose memory is limited counts all cores of its
 * machine. Four hash some sixty passwords a second.
 */
const MAX_THREADS = 4;

const WORKER = new URL('./passwords-worker.ts', import.meta.url);

/** How many threads a process may start that is one of so many workers; a core is left to messages. */
export const passwordThreads = (cores: number, workers: number): number =>
  Math.max(1, Math.floor(Math.min(cores - 1, MAX_THREADS) / workers));

export interface PasswordsDeps {
  cost: number;
  threads: number;
  failed: (error: unknown) => void;
  worker?: URL;
}

/**
 * bcrypt in worker threads. The event loop never hashes, the threads run at low priority, and the queue is bounded, so
 * a flood of logins slows logins down and nothing else. `close` lets a hash that is being made be finished, and gives up
 * those that wait.
 * @param cost new hashes are made in 2^cost rounds
 * @param threads as many at most
 * @param failed a thread has ended, or could not be started: for want of memory or of descriptors
 * @param worker what runs in the threads
 */
export function createPasswords({
  cost,
  threads,
  failed,
  worker = WORKER,
}: PasswordsDeps): Passwords & { close(): Promise<void> } {
  const nobody = nobodys(cost);
  const pool = new Piscina<HashTask, string | boolean>({
    filename: worker.href,
    // A thread that ends while require() loads its ES module takes the process with it (a failed assertion in Node 26).
    execArgv: ['--no-require-module'],
    minThreads: 1,
    maxThreads: threads,
    maxQueue: threads * MAX_WAITING_PER_THREAD,
    concurrentTasksPerWorker: 1,
  });

  let closed: Promise<void> | undefined;
  /** How to give up those that wait. */
  const waiting = new Set<(why: unknown) => void>();
  /** Piscina leaves what waits to the next thread, which nobody but the next login would start. */
  function giveUpWithoutThreads(why: unknown): void {
    if (pool.threads.length === 0) for (const giveUp of waiting) giveUp(why);
  }
  // Unheard it would end the process.
  pool.on('error', (error) => {
    failed(error);
    giveUpWithoutThreads(error);
  });

  async function run<T extends string | boolean>(task: HashTask): Promise<T> {
    const givenUp = Promise.withResolvers<never>();
    waiting.add(givenUp.reject);
    try {
      return (await Promise.race([pool.run(task), givenUp.promise])) as T;
    } catch (cause) {
      giveUpWithoutThreads(cause);
      throw new DuetError('UNAVAILABLE', { cause, retryAfterMs: 1_000 });
    } finally {
      waiting.delete(givenUp.reject);
    }
  }

  return {
    hash: (password) => run<string>({ password, cost }),
    async verify(password, hash) {
      // bcrypt ignores what follows the 72nd byte: two passwords that begin alike would be one.
      const tooLong = Buffer.byteLength(password) > MAX_BYTES;
      const equal = await run<boolean>({ password, hash: hash ?? nobody });
      return equal && !tooLong && hash !== undefined;
    },
    close: () => (closed ??= pool.close({ force: true })),
  };
}
