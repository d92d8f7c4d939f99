import { temporaryFolder } from '@duet/testkit/cluster';
import { describe, expect, test } from 'vitest';
import { faults } from '../src/torture/faults/index.ts';
import type { Fault } from '../src/torture/faults/stage.ts';
import type { Invariant } from '../src/torture/judge/index.ts';
import { type Report, torture } from '../src/torture/run.ts';
import { startSubject } from '../src/torture/start.ts';

/** A short run against one node, with a bug in it or without. */
async function run(tamper: string | undefined, chosen: Fault[] = []): Promise<Report> {
  using folder = temporaryFolder();
  await using subject = await startSubject({ shape: 'one', network: false, store: 'sqlite', tamper });
  return await torture(subject, {
    name: tamper ?? 'clean',
    faults: chosen,
    mix: false,
    seed: 7,
    secs: 0,
    acknowledgements: 200,
    short: true,
    people: 8,
    peers: 2,
    burst: 4,
    folder: folder.path,
  });
}

const kill = faults.get('kill') as Fault;

/** Each bug, what it is brought out by, and the promise that it breaks. */
const bugs: [bug: string, breaks: Invariant, chosen: Fault[]][] = [
  ['ack-before-commit', 'I1', [kill]],
  ['skipped-insert', 'I1', []],
  ['dedupe-dropped', 'I2', []],
  ['seq-swapped', 'I3', []],
  ['sync-skips-one', 'I6', []],
  ['receipt-goes-back', 'I8', []],
  ['presence-never-expired', 'I9', []],
  ['told-to-another', 'I10', []],
  ['not-told-live', 'I13', []],
];

describe('the judge is judged', () => {
  test('T3 a node without a planted bug keeps every promise', async () => {
    const { verdict, failures, traces } = await run(undefined, [kill]);
    expect({ violations: verdict.violations, failures }).toEqual({ violations: {}, failures: [] });
    expect(traces).toHaveLength(1);
  });

  test.concurrent.for(bugs)('T3 the judge finds %s by %s', async ([bug, breaks, chosen], { expect }) => {
    const { verdict } = await run(bug, chosen);
    expect(verdict.figures.acknowledged).toBeGreaterThan(200);
    expect(Object.keys(verdict.violations)).toContain(breaks);
  });
});
