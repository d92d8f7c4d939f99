import { INVARIANTS, type Invariant } from './judge/index.ts';
import type { Report } from './run.ts';

const ms = (value: number | undefined): string => (value === undefined ? '-' : `${Math.round(value)} ms`);

/** Whether a promise was broken, or the run proves nothing. */
export const failed = ({ failures, verdict }: Report): boolean =>
  failures.length > 0 || Object.keys(verdict.violations).length > 0;

/** Says in words what a run has found. */
export function print(report: Report): void {
  const { name, seed, seconds, traces, failures, verdict, file } = report;
  const { figures, violations } = verdict;
  const lines = [
    `  ${figures.acknowledged} acknowledged in ${Math.round(seconds)} s; ${figures.unknown} tries without an outcome, ${figures.refused} refused, ${figures.repeated} repeats, ${figures.disconnects} connections lost`,
    `  from the first try to the acknowledgement p50 ${ms(figures.sendP50)}, p99 ${ms(figures.sendP99)}, longest ${ms(figures.sendMax)}; known to the other side p99 ${ms(figures.lateP99)}, longest ${ms(figures.lateMax)} later`,
    `  after the faults: p99 below 2 s after ${ms(figures.recoveredAfterMs)}, presence right after ${ms(figures.presenceRightAfterMs)}`,
    ...traces.map((trace) => `  ${trace}`),
    ...failures.map((failure) => `  FAILED ${failure}`),
    ...Object.entries(violations).flatMap(([id, { count, examples }]) => [
      `  VIOLATED ${id} ${INVARIANTS[id as Invariant]}: ${count} times`,
      ...examples.map((example) => `    ${example}`),
    ]),
    failed(report)
      ? `  ${name} FAILED, seed ${seed}; history in ${file}`
      : '  every promise was kept (I1 to I13; there are no attachments for I12 yet)',
  ];
  console.log(lines.join('\n'));
}
