import { DuetError } from '@duet/contract';
import type { Clock } from './ports.ts';
import { endOfTurn } from './turn.ts';
import { takeLate } from './waiting.ts';

/**
 * The most that is committed together. A commit writes each page of the database once, however many of its messages lie
 * there: measured with 100 busy conversations, 512 cost half the CPU of 64 each. Small loads never fill it.
 */
export const MAX_GROUP = 512;

/**
 * What has waited longer is refused untried. A store answers within 5 s, and a client waits 10 s for its acknowledgement:
 * behind commits that fail, what is written for somebody who no longer waits would be in the way of its own repeat.
 */
export const COMMIT_PATIENCE_MS = 4_000;

/**
 * UNAVAILABLE for some items of a group, and nothing was stored: the rest of the group can be written. So what is wrong
 * with one conversation keeps nobody else waiting.
 */
export class SomeUnfit extends DuetError {
  /** Their places in the group. */
  readonly unfit: ReadonlySet<number>;
  constructor(unfit: ReadonlySet<number>, cause: unknown) {
    super('UNAVAILABLE', { cause });
    this.unfit = unfit;
  }
}

/** UNAVAILABLE, and nothing was stored. */
export class Untried extends DuetError {
  constructor() {
    super('UNAVAILABLE', { cause: new Error('the commits before it took too long') });
  }
}

export interface GroupCommit<T, R> {
  /**
   * Queues an item behind all earlier ones; resolves when its group is durable. Calls in a row keep their order.
   * @throws Untried when its turn has not come in time
   */
  add(item: T): Promise<R>;
  /** Resolves when nothing is queued or under way. */
  idle(): Promise<void>;
}

export interface GroupCommitOptions {
  clock: Clock;
  /** Hears of each group: its size, and the seconds that it took. */
  committed?: (size: number, seconds: number) => void;
}

interface Waiting<T, R> {
  item: T;
  /** By the clock's `elapsed`. */
  since: number;
  resolve: (result: R) => void;
  reject: (error: unknown) => void;
}

/**
 * Group commit: items that arrive while a commit is under way share the next one, so the cost of durability is paid
 * once for many and falls as load rises. (The idea is as old as databases: DeWitt et al., SIGMOD 1984.)
 * @param write commits a group, at most MAX_GROUP items in their order, and gives a result for each; when it throws
 * SomeUnfit, it gets the others once more
 */
export function createGroupCommit<T, R>(
  write: (items: T[]) => Promise<R[]>,
  { clock, committed = () => {} }: GroupCommitOptions,
): GroupCommit<T, R> {
  const queue: Waiting<T, R>[] = [];
  let running: Promise<void> | undefined;

  async function commit(group: Waiting<T, R>[]): Promise<void> {
    if (group.length === 0) return;
    const start = clock.elapsed();
    try {
      const results = await write(group.map((waiting) => waiting.item));
      committed(group.length, (clock.elapsed() - start) / 1000);
      for (const [i, waiting] of group.entries()) waiting.resolve(results[i] as R);
    } catch (error) {
      const isUnfit = (i: number) => !(error instanceof SomeUnfit) || error.unfit.has(i);
      for (const [i, waiting] of group.entries()) if (isUnfit(i)) waiting.reject(error);
      await commit(group.filter((_, i) => !isUnfit(i)));
    }
  }

  function turnAway(): void {
    for (const { reject } of takeLate(queue, clock.elapsed() - COMMIT_PATIENCE_MS)) reject(new Untried());
  }

  async function run(): Promise<void> {
    while (queue.length > 0) {
      // What other sockets have already sent joins this group.
      await endOfTurn();
      turnAway();
      await commit(queue.splice(0, MAX_GROUP));
    }
    running = undefined;
  }

  return {
    add(item) {
      return new Promise((resolve, reject) => {
        queue.push({ item, since: clock.elapsed(), resolve, reject });
        running ??= run();
      });
    },
    async idle() {
      await running;
    },
  };
}
