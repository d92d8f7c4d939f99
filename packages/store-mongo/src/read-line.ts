import { takeLate } from '@duet/core';

interface Waiting {
  since: number;
  begin: () => void;
  reject: (error: Error) => void;
}

export interface ReadLineOptions {
  /** Reads under way at once. */
  atOnce: number;
  /** Whoever has waited longer is turned away, in ms. */
  patienceMs: number;
  /** A read that has no outcome after this time, in ms, holds its place no longer: it may never have one. */
  givenUpMs: number;
}

/** Runs a read when it is its turn; rejects when that has not come in time. */
export type ReadLine = <T>(read: () => Promise<T>) => Promise<T>;

/**
 * Lets so many reads at once to the database, so that writes never wait behind them for a connection. The newest goes
 * first, and whoever has waited longer than `patienceMs` is turned away: a database that is asked more than it can answer
 * then answers some in time, where the order of arrival would make all of them late. (After Facebook's adaptive LIFO;
 * B. Maurer, "Fail at Scale", ACM Queue 2015.)
 */
export function createReadLine({ atOnce, patienceMs, givenUpMs }: ReadLineOptions): ReadLine {
  /** Oldest first. */
  const waiting: Waiting[] = [];
  let underWay = 0;

  function turnAway(): void {
    for (const { reject } of takeLate(waiting, performance.now() - patienceMs))
      reject(new Error('too much is asked of the database'));
  }

  function next(): void {
    underWay -= 1;
    turnAway();
    waiting.pop()?.begin();
  }

  return <T>(read: () => Promise<T>): Promise<T> =>
    new Promise((resolve, reject) => {
      const begin = () => {
        underWay += 1;
        const reading = Promise.try(read);
        reading.then(resolve, reject);
        const { promise: givenUp, resolve: giveUp } = Promise.withResolvers<void>();
        const timer = setTimeout(giveUp, givenUpMs);
        const leave = () => {
          clearTimeout(timer);
          next();
        };
        Promise.race([reading, givenUp]).then(leave, leave);
      };
      if (underWay < atOnce) return begin();
      turnAway();
      waiting.push({ since: performance.now(), begin, reject });
    });
}
