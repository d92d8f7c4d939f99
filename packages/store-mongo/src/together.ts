import { isSilence } from './bounds.ts';
import type { ReadLine } from './read-line.ts';

/** A server that lets a question wait for so long has no good plan for it, or is slow. */
const SLOW_MS = 200;
/** For so long it is then asked one by one. */
const SLOW_FOR_MS = 60_000;

/**
 * Asks for many at once; one by one where that failed, or has been slow. When that is slow as well, it is the server, and
 * more questions would make it slower. The one question waits for its turn in `line`; whoever is turned away there has
 * asked nothing, and asks for none.
 */
export type Together = <T>(ask: () => Promise<T>, askEach: () => Promise<T>, line?: ReadLine) => Promise<T>;

/**
 * One kind of question for many documents, which costs a node little more than that for one. Not every server of
 * MongoDB's protocol answers it from an index.
 */
export function createTogether(): Together {
  /** By `performance.now()`. */
  let slowUntil = 0;

  return async (ask, askEach, line = (read) => read()) => {
    const isSlow = performance.now() < slowUntil;
    let start: ReturnType<typeof performance.eventLoopUtilization> | undefined;
    const timed = <T>(read: () => Promise<T>) => {
      start = performance.eventLoopUtilization();
      return read();
    };
    const answer = Promise.try(() => (isSlow ? timed(askEach) : line(() => timed(ask))));
    await answer.catch(() => {});
    // The time in which this process was busy itself is not the server's.
    if (start && performance.eventLoopUtilization(start).idle > SLOW_MS)
      slowUntil = isSlow ? 0 : performance.now() + SLOW_FOR_MS;
    if (isSlow) return answer;
    return answer.catch((error) => {
      // A server that has no good plan answers late, or that its time is up; one that says nothing would not say more.
      if (!start || isSilence(error)) throw error;
      return askEach();
    });
  };
}
