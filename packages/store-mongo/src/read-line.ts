interface Waiting {
  since: number;
  begin: () => void;
  giveUp: (error: Error) => void;
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
  let waiting: Waiting[] = [];
  let underWay = 0;

  function turnAway(): void {
    const oldest = performance.now() - patienceMs;
    if ((waiting[0]?.since ?? oldest) >= oldest) return;
    const late = waiting.filter(({ since }) => since < oldest);
    waiting = waiting.slice(late.length);
    for (const { giveUp } of late) giveUp(new Error('too much is asked of the database'));
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
        const leave = once(next);
        const timer = setTimeout(leave, givenUpMs);
        Promise.try(read)
          .then(resolve, reject)
          .finally(() => {
            clearTimeout(timer);
            leave();
          });
      };
      if (underWay < atOnce) return begin();
      turnAway();
      waiting.push({ since: performance.now(), begin, giveUp: reject });
    });
}

function once(act: () => void): () => void {
  let done = false;
  return () => {
    if (!done) act();
    done = true;
  };
}
