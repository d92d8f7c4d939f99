import type { Line } from '../history.ts';
import { heardLive, type ProbeFigures } from './live.ts';
import { alive, type Figures } from './liveness.ts';
import {
  liveAndSyncAreTheStore,
  nothingLost,
  onceAndAsSent,
  oneOrder,
  ownConversationsOnly,
  sessionOrder,
} from './messages.ts';
import { presenceConverges } from './presence.ts';
import { marksOnlyRise, unreadIsRight } from './receipts.ts';
import { type Check, createFinals, createReader } from './roster.ts';
import { stableVisibility } from './visibility.ts';

/** What the judge looks for, by number; docs/torture.md says each in full. I12 waits for attachments. */
export const INVARIANTS = {
  I1: 'no acknowledged message is lost',
  I2: 'none is doubled, invented or changed',
  I3: 'one order for everybody',
  I4: 'what a client writes stands behind what it has seen',
  I5: 'what was shown stays',
  I6: 'live events and sync together are the store',
  I7: 'unread counts are right',
  I8: 'receipts only rise',
  I9: 'presence is right again',
  I10: 'nobody sees what is not theirs',
  I11: 'all goes on, nothing is stuck',
  I13: 'when all is well everybody hears live, once',
} as const;
export type Invariant = keyof typeof INVARIANTS;

export interface Verdict {
  /** By invariant, how often it was violated and the first examples. */
  violations: Partial<Record<Invariant, { count: number; examples: string[] }>>;
  figures: Figures & ProbeFigures & { presenceRightAfterMs: number | undefined };
}

const EXAMPLES = 5;

/**
 * Judges a history: pure, and in one pass, so that it need not fit into memory. The idea and the classes are those of
 * Jepsen's total-queue and set-full checkers (github.com/jepsen-io/jepsen).
 */
export function judge(history: Iterable<Line>): Verdict {
  const violations: Verdict['violations'] = {};
  const accuser = (invariant: Invariant) => (what: string) => {
    violations[invariant] ??= { count: 0, examples: [] };
    const found = violations[invariant];
    found.count++;
    if (found.examples.length < EXAMPLES) found.examples.push(what);
  };
  const { roster, read } = createReader();
  const finals = createFinals(roster);
  const deps = (invariant: Invariant) => ({ roster, finals, accuse: accuser(invariant) });
  const liveness = alive(deps('I11'));
  const presence = presenceConverges(deps('I9'));
  const live = heardLive(deps('I13'));
  const checks: Check[] = [
    // First, because the others look at what it has collected when their end comes.
    finals,
    nothingLost(deps('I1')),
    onceAndAsSent(deps('I2')),
    oneOrder(deps('I3')),
    sessionOrder(deps('I4')),
    stableVisibility(deps('I5')),
    liveAndSyncAreTheStore(deps('I6')),
    unreadIsRight(deps('I7')),
    marksOnlyRise(deps('I8')),
    presence,
    ownConversationsOnly(deps('I10')),
    liveness,
    live,
  ];
  for (const line of history) {
    const event = read(line);
    for (const check of checks) check.see(event);
  }
  for (const check of checks) check.end();
  return {
    violations,
    figures: { ...liveness.figures(), ...live.figures(), presenceRightAfterMs: presence.rightAfterMs() },
  };
}
