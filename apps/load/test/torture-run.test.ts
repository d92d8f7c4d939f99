import { temporaryFolder } from '@duet/testkit/cluster';
import { expect, test } from 'vitest';
import { failed } from '../src/torture/report.ts';
import { torture } from '../src/torture/run.ts';
import type { Subject } from '../src/torture/start.ts';

test('T4 a run that breaks off is a failed report', async () => {
  using folder = temporaryFolder();
  // Nobody listens there.
  const subject = { on: { url: 'http://127.0.0.1:1', nodes: [] } } as unknown as Subject;
  const report = await torture(subject, {
    name: 'broken',
    faults: [],
    mix: false,
    seed: 1,
    secs: 0,
    acknowledgements: 1,
    short: true,
    people: 2,
    peers: 1,
    burst: 1,
    folder: folder.path,
  });
  expect(report.failures).toEqual([expect.stringContaining('fetch failed')]);
  expect(failed(report)).toBe(true);
});
