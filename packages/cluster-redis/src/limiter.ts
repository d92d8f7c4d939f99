import { type Clock, createMemoryLimiter, type Limiter } from '@duet/core';
import type { Run } from './scripts.ts';

/** Buckets in Redis, shared by all nodes. While Redis is away each node counts by itself, so that a limit never ends. */
export function createLimiter(run: Run, clock: Clock): Limiter {
  const floor = createMemoryLimiter(clock);
  return {
    async take(key, rule, cost = 1) {
      try {
        const taken = (await run('take', key, rule.limit, rule.windowMs, cost)) as [number, number, number];
        const [ok, remaining, retryAfterMs] = taken;
        return { ok: ok === 1, remaining, retryAfterMs };
      } catch {
        return floor.take(key, rule, cost);
      }
    },
  };
}
