/** Time and chance: given from outside, so that a test can move the one and fix the other. */
export interface Runtime {
  /** Milliseconds since 1970. */
  now(): number;
  /** From 0 up to, not including, 1. */
  random(): number;
  /** Does something later; the result calls it off. */
  after(ms: number, task: () => void): () => void;
}

export const systemRuntime: Runtime = {
  now: () => Date.now(),
  random: () => Math.random(),
  after(ms, task) {
    const timer = setTimeout(task, ms);
    return () => clearTimeout(timer);
  },
};

/** Milliseconds since a moment. That it lies in the future says that the clock was set back: then it was long ago. */
export function elapsed({ now }: Runtime, since: number): number {
  const ms = now() - since;
  return ms < 0 ? Number.POSITIVE_INFINITY : ms;
}

/**
 * Makes ids that are unique and rise with time: they sort by age, and the server's index of them stays compact.
 * Not secret; not every runtime has crypto.randomUUID (browsers offer it on https alone).
 */
export function createIds({ now, random }: Runtime) {
  let time = 0;
  let count = 0;
  const hex = (value: number, digits: number) => Math.floor(value).toString(16).padStart(digits, '0');
  return {
    next(): string {
      count = now() > time ? 0 : count + 1;
      time = Math.max(time, now());
      return hex(time, 12) + hex(count, 4) + hex(random() * 2 ** 48, 12) + hex(random() * 2 ** 16, 4);
    },
    /** Those to come sort behind this one, which was made before, though the clock may have been set back since. */
    follow(id: string): void {
      time = Math.max(time, (Number.parseInt(id.slice(0, 12), 16) || 0) + 1);
    },
  };
}

const MAX_WAIT_MS = 30_000;

/**
 * How long to wait before the next try: anything up to a ceiling that doubles with each failure, so that a crowd that
 * was cut off together comes back spread out (exponential backoff with full jitter).
 * @param tries failures so far
 * @param firstMs the first ceiling
 * @returns milliseconds, at most 30 s
 */
export function backoff(tries: number, firstMs: number, random: () => number): number {
  const ceiling = Math.min(firstMs * 2 ** Math.min(tries, 16), MAX_WAIT_MS);
  return ceiling * (0.1 + 0.9 * random());
}
