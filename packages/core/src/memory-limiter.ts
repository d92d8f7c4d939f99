import type { Clock, Limiter, LimitRule, Taken } from './ports.ts';

/** Above this many buckets the full ones are swept out: they say nothing that a new one would not. */
const SWEEP_AT = 10_000;
/** A bucket is a sum of fractions of a millisecond; this part of a unit is rounding. */
const ROUNDING = 1e-3;

/** A limiter that answers at once. */
export interface MemoryLimiter extends Limiter {
  take(key: string, rule: LimitRule, cost?: number): Taken;
}

/**
 * Token buckets in memory, by the generic cell rate algorithm: one number for each key, the time at which its bucket
 * will be full again (ITU-T I.371).
 */
export function createMemoryLimiter(clock: Clock): MemoryLimiter {
  const fullAt = new Map<string, number>();
  /** Times are counted from here: the smaller the numbers, the finer their fractions. */
  const origin = clock.elapsed();
  let sweepAt = SWEEP_AT;

  function sweep(now: number): void {
    for (const [key, at] of fullAt) if (at <= now) fullAt.delete(key);
    sweepAt = Math.max(SWEEP_AT, fullAt.size * 2);
  }

  function take(key: string, rule: LimitRule, cost = 1): Taken {
    const now = clock.elapsed() - origin;
    const unit = rule.windowMs / rule.limit;
    const before = Math.max(fullAt.get(key) ?? now, now);
    const after = before + unit * Math.max(cost, 1);
    const left = (at: number) => Math.floor((now + rule.windowMs - at) / unit + ROUNDING);
    const wait = after - now - rule.windowMs;
    if (wait > unit * ROUNDING) return { ok: false, remaining: left(before), retryAfterMs: Math.ceil(wait) };
    if (cost > 0) fullAt.set(key, after);
    if (fullAt.size > sweepAt) sweep(now);
    return { ok: true, remaining: left(cost > 0 ? after : before), retryAfterMs: 0 };
  }

  return { take };
}
