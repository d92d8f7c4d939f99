import type { Clock } from '@duet/core';

/** A clock that stands still until it is moved: tests wait for nothing. */
export interface ManualClock extends Clock {
  /** Moves time forward; periodic tasks run as often as they would have, each given time to do its work. */
  advance(ms: number): Promise<void>;
  /** Sets the time that it shows; no time passes. */
  jump(ms: number): void;
}

export function createManualClock(start = Date.UTC(2026, 0, 1)): ManualClock {
  let now = start;
  let offset = 0;
  const tasks = new Set<{ ms: number; next: number; task: () => void }>();
  return {
    now: () => now + offset,
    elapsed: () => now,
    jump(ms) {
      offset += ms;
    },
    every(ms, task) {
      const entry = { ms, next: now + ms, task };
      tasks.add(entry);
      return () => {
        tasks.delete(entry);
      };
    },
    async advance(ms) {
      const end = now + ms;
      for (;;) {
        const due = [...tasks].filter(({ next }) => next <= end).sort((a, b) => a.next - b.next)[0];
        if (!due) break;
        now = due.next;
        due.next += due.ms;
        due.task();
        await new Promise((resolve) => setImmediate(resolve));
      }
      now = end;
    },
  };
}
