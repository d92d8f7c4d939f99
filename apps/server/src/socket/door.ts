import { performance } from 'node:perf_hooks';
import type { Clock } from '@duet/core';

/** How many newcomers enter together, as a rule: what they ask of Redis then travels together, which saves a quarter. */
const TOGETHER = 8;
/** How many may be on their way in, which is when the store and Redis are asked about them. */
const AT_ONCE = 16;
/** For each millisecond of work a node rests for so many, before it lets more in. */
const REST = 6;
/** However busy it is, some enter after this time, in ms. */
const LONGEST_PAUSE_MS = 32;
/** And as many as it takes for all to be in after this time, in ms, if store and Redis answer: clients wait for 20 s. */
const IN_WITHIN_MS = 12_000;
const LOOK_AGAIN_MS = 1;

export interface Door {
  /** @param enter called when it is this newcomer's turn; it says whether he has entered: he may be gone by then */
  knock(enter: () => boolean): void;
  /** Whoever has knocked and is now being looked up; others wait while too many are. */
  pass<T>(lookUp: () => Promise<T>): Promise<T>;
}

interface Waiting {
  since: number;
  enter: () => boolean;
}

/**
 * Lets newcomers in one after the other. When a node dies its clients come to the others all at once: they wait for each
 * other here until the node has time to spare, so that those who are in already wait for a turn with a few handshakes in
 * it, not for one with a thousand, and their messages for a store that is asked a few questions at a time. Nobody is
 * refused, and who has knocked holds up nobody: a client that says no more than that is not on its way in.
 */
export function createDoor({ elapsed }: Pick<Clock, 'elapsed'>): Door {
  const waiting: Waiting[] = [];
  let onTheirWay = 0;
  let isOpening = false;
  /** When somebody was let in last, and what the event loop had done by then. */
  let last = { at: Number.NEGATIVE_INFINITY, load: performance.eventLoopUtilization() };

  /** How many should enter now: none while the node is busy, and those who wait are not late. */
  function due(): number {
    const [first] = waiting;
    if (!first) return 0;
    const now = elapsed();
    const left = IN_WITHIN_MS - (now - first.since);
    const since = now - Math.max(last.at, first.since);
    const inTime = since < left ? Math.floor((since / left) * waiting.length) : waiting.length;
    if (inTime > TOGETHER) return Math.min(inTime, AT_ONCE);
    const { active, idle } = performance.eventLoopUtilization(last.load);
    return now - last.at >= LONGEST_PAUSE_MS || idle >= active * REST ? TOGETHER : 0;
  }

  function enterSome(count: number): void {
    for (let entered = 0; entered < count && waiting.length > 0; ) {
      if (waiting.shift()?.enter()) entered += 1;
    }
    last = { at: elapsed(), load: performance.eventLoopUtilization() };
  }

  function open(): void {
    isOpening = false;
    if (onTheirWay >= AT_ONCE) return;
    const count = due();
    if (count > 0) enterSome(count);
    openSoon();
  }

  function openSoon(): void {
    if (isOpening || waiting.length === 0) return;
    isOpening = true;
    // Between immediates the event loop never rests: whoever waits for it to do so needs a timer.
    if (due() > 0) setImmediate(open);
    else setTimeout(open, LOOK_AGAIN_MS);
  }

  return {
    knock(enter) {
      waiting.push({ since: elapsed(), enter });
      openSoon();
    },
    async pass(lookUp) {
      onTheirWay += 1;
      try {
        return await lookUp();
      } finally {
        onTheirWay -= 1;
        openSoon();
      }
    },
  };
}
