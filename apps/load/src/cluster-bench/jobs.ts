// A process of its own, so that it can be pinned: takes a job on its channel, and does it step by step.
import { once } from 'node:events';
import type { Account } from '../accounts.ts';
import { type Crowded, crowd } from './crowd-clients.ts';
import { type PresenceCounted, presence } from './presence-clients.ts';
import { scatter } from './scatter-clients.ts';
import { type Written, writers } from './writers-clients.ts';

export type Job =
  /** Messages from anybody who is connected to anybody of each list in turn, one list for each step. */
  | { what: 'scatter'; accounts: Account[]; receivers: { ids: string[]; connected: boolean }[]; messages: number }
  /** Everybody connects; then some go, and in the next step come back. */
  | { what: 'presence'; accounts: Account[]; movers: number[] }
  /** Everybody connects, loses his node, and comes back to one of the refuges. */
  | { what: 'crowd'; accounts: Account[]; refuges: string[] }
  /** These write to anybody of the receivers. */
  | { what: 'writers'; accounts: Account[]; receivers: string[]; perSecond: number };

/** What the steps of a job come to. */
export interface Results {
  scatter: null;
  presence: PresenceCounted;
  crowd: Crowded;
  writers: Written;
}

/** Reports a step, and resolves when the next one may begin. */
export type Report<W extends Job['what']> = (result: Results[W]) => Promise<void>;

async function report(result: unknown): Promise<void> {
  process.send?.(result ?? null);
  await once(process, 'message');
}

process.once('message', (job: Job) => {
  if (job.what === 'scatter') void scatter(job, report);
  else if (job.what === 'presence') void presence(job, report);
  else if (job.what === 'crowd') void crowd(job, report);
  else void writers(job, report);
});
process.on('disconnect', () => process.exit(0));
