interface Waiting {
  since: number;
  begin: () => void;
  giveUp: (error: Error) => void;
}

/**
 * Lets so many reads at once to the database, so that writes never wait behind them for a connection. The newest goes
 * first, and whoever has waited longer than `patienceMs` is turned away: a database that is asked more than it can answer
 * then answers some in time, where the order of arrival would make all of them late. (After Facebook's adaptive LIFO;
 * B. Maurer, "Fail at Scale", ACM Queue 2015.)
 * @returns a function that runs a read when it is its turn; it rejects when that has not come in time
 */
export function createReadLine({ atOnce, patienceMs }: { atOnce: number; patienceMs: number }) {
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
        Promise.try(read).then(resolve, reject).finally(next);
      };
      if (underWay < atOnce) return begin();
      turnAway();
      waiting.push({ since: performance.now(), begin, giveUp: reject });
    });
}
