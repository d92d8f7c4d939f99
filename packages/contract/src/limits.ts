/**
 * How often one caller may do one thing: `limit` at once, refilled evenly over `windowMs`.
 * `by` is whom it counts: a network address, a signed-in user, or the account that a login names.
 */
interface LimitRow {
  readonly limit: number;
  readonly windowMs: number;
  readonly by: 'address' | 'user' | 'account';
}

const MINUTE = 60_000;

export const limits = {
  register: { limit: 100, windowMs: 60 * MINUTE, by: 'address' },
  login: { limit: 100, windowMs: 15 * MINUTE, by: 'address' },
  /** Wrong passwords for one account, from wherever: slows guessing down, and locks the owner out no longer than that. */
  login_failure: { limit: 10, windowMs: 15 * MINUTE, by: 'account' },
  refresh: { limit: 3_000, windowMs: 15 * MINUTE, by: 'address' },
  api: { limit: 600, windowMs: MINUTE, by: 'user' },
  /** What is told to up to a thousand others. */
  settings: { limit: 30, windowMs: MINUTE, by: 'user' },
  /** What reads every conversation of its user. */
  totals: { limit: 60, windowMs: MINUTE, by: 'user' },
  send: { limit: 120, windowMs: 10_000, by: 'user' },
  receipt: { limit: 300, windowMs: 10_000, by: 'user' },
  sync: { limit: 120, windowMs: MINUTE, by: 'user' },
  typing: { limit: 60, windowMs: 10_000, by: 'user' },
  connect: { limit: 60, windowMs: MINUTE, by: 'user' },
  /**
   * Packets of any kind, those that are refused and those that mean nothing included: about twice what the limits of
   * the events let through together. Whoever sends more is disconnected. Counted by each process for itself.
   */
  flood: { limit: 1_000, windowMs: 10_000, by: 'user' },
} as const satisfies Record<string, LimitRow>;

export type LimitName = keyof typeof limits;
