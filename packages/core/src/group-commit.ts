import { endOfTurn } from './turn.ts';

/**
 * The most that is committed together. A commit writes each page of the database once, however many of its messages lie
 * there: measured with 100 busy conversations, 512 cost half the CPU of 64 each. Small loads never fill it.
 */
export const MAX_GROUP = 512;

export interface GroupCommit<T, R> {
  /** Queues an item behind all earlier ones; resolves when its group is durable. Calls in a row keep their order. */
  add(item: T): Promise<R>;
  /** Resolves when nothing is queued or under way. */
  idle(): Promise<void>;
}

interface Waiting<T, R> {
  item: T;
  resolve: (result: R) => void;
  reject: (error: unknown) => void;
}

/**
 * Group commit: items that arrive while a commit is under way share the next one, so the cost of durability is paid
 * once for many and falls as load rises. (The idea is as old as databases: DeWitt et al., SIGMOD 1984.)
 * @param write commits a group, at most MAX_GROUP items in their order, and gives a result for each
 * @param committed hears of each group: its size, and the seconds that it took
 */
export function createGroupCommit<T, R>(
  write: (items: T[]) => Promise<R[]>,
  committed: (size: number, seconds: number) => void = () => {},
): GroupCommit<T, R> {
  const queue: Waiting<T, R>[] = [];
  let running: Promise<void> | undefined;

  async function commit(group: Waiting<T, R>[]): Promise<void> {
    const start = performance.now();
    try {
      const results = await write(group.map((waiting) => waiting.item));
      committed(group.length, (performance.now() - start) / 1000);
      for (const [i, waiting] of group.entries()) waiting.resolve(results[i] as R);
    } catch (error) {
      for (const waiting of group) waiting.reject(error);
    }
  }

  async function run(): Promise<void> {
    while (queue.length > 0) {
      // What other sockets have already sent joins this group.
      await endOfTurn();
      await commit(queue.splice(0, MAX_GROUP));
    }
    running = undefined;
  }

  return {
    add(item) {
      return new Promise((resolve, reject) => {
        queue.push({ item, resolve, reject });
        running ??= run();
      });
    },
    async idle() {
      await running;
    },
  };
}
