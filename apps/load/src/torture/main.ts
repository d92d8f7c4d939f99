// `npm run torture`: breaks a cluster under load, records what its clients see, and judges it.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { askedToEnd, exitCodeOf, lackOfMongo, lackOfNginx, lackOfRedis } from '@duet/testkit/cluster';
import { flag, oneOf, readOptions, refuse, text, whole } from '../options.ts';
import { faults } from './faults/index.ts';
import { lackOfNetwork } from './network.ts';
import { type PlannedRun, planRuns } from './plan.ts';
import { failed, print } from './report.ts';
import { brokenReport, type Report, torture } from './run.ts';
import { type Shape, type Subject, startSubject } from './start.ts';

const HELP = `npm run torture -- --fault NAME[,NAME] [--seed 1] [--secs 60] [--acks N] [--people 60] [--peers 4] [--burst 4]
                       [--store mongo|sqlite] [--out data/torture]
npm run torture -- --short [--fault NAME[,NAME]] [--seed 1]

Three nodes behind nginx, with Redis and MongoDB, each in a network namespace of its own, under load; then one fault
after the other, or 'mix'. Clients write down what they see, and a judge says whether every promise was kept.
--secs is how long at least, --acks how many acknowledged messages at least. --people is how many chat, each with so
many --peers and those who have him among theirs, and half of their devices send up to --burst messages at once.
--store sqlite has the nodes share one SQLite file, which takes far more messages a second. --short is each fault
once, in a few minutes; of stop-60 it has the like, stop-30.

Faults: mix, ${[...faults.keys()].join(', ')}`;

const { tamper, ...wish } = readOptions(HELP, {
  fault: text(undefined),
  store: oneOf(['mongo', 'sqlite'], 'mongo'),
  short: flag,
  seed: whole(1),
  secs: whole(60),
  acks: whole(undefined),
  people: whole(undefined),
  peers: whole(undefined),
  burst: whole(4),
  out: text('data/torture'),
  tamper: text(undefined),
});

function plan(): PlannedRun[] {
  if (!wish.short && wish.fault === undefined) refuse(HELP);
  try {
    return planRuns(wish);
  } catch (error) {
    return refuse((error as Error).message);
  }
}

/** What this machine lacks for these runs. */
function lacks(runs: PlannedRun[]): string[] {
  const shapes = runs.map(({ shape }) => shape);
  const all = runs.flatMap(({ options }) => options.faults);
  return [
    ...(shapes.some((shape) => shape !== 'disk') ? [lackOfRedis(), lackOfNginx()] : []),
    ...(wish.store === 'mongo' && shapes.some((shape) => shape !== 'disk') ? [lackOfMongo()] : []),
    ...(all.some(({ network }) => network) ? [lackOfNetwork()] : []),
    ...(process.getuid?.() !== 0 && shapes.includes('disk') ? ['A small disk needs root'] : []),
  ].filter((lack) => lack !== undefined);
}

async function main(): Promise<number> {
  const runs = plan();
  const missing = lacks(runs);
  if (missing.length > 0) {
    console.error(`This needs what the machine has not:\n${missing.map((lack) => `  ${lack}`).join('\n')}`);
    return 1;
  }
  const reports: Report[] = [];
  // What was started is ended in any case, however often that is asked for.
  const interrupted = askedToEnd().then(exitCodeOf);
  await using stack = new AsyncDisposableStack();
  // What nodes print is the first thing that one wants to see after a failure.
  const outputs = new Map<Shape, string[]>();
  stack.defer(() => {
    for (const [shape, output] of outputs) writeFileSync(join(wish.out, `nodes-${shape}.log`), output.join(''));
  });
  let current: { shape: Shape; subject: Subject } | undefined;

  async function endSubject(): Promise<void> {
    const before = current;
    current = undefined;
    await before?.subject[Symbol.asyncDispose]();
  }

  /** The one that is there, or a new one. @throws Error when it does not start */
  async function subjectOf(shape: Shape): Promise<Subject> {
    if (current?.shape === shape) return current.subject;
    await endSubject();
    const output = outputs.getOrInsertComputed(shape, () => []);
    const subject = await startSubject({
      shape,
      network: lackOfNetwork() === undefined,
      store: wish.store,
      tamper,
      onOutput: (text) => output.push(text),
    });
    stack.defer(() => subject[Symbol.asyncDispose]());
    current = { shape, subject };
    return subject;
  }

  async function reportOf(run: PlannedRun): Promise<Report> {
    try {
      return await torture(await subjectOf(run.shape), run.options);
    } catch (error) {
      return brokenReport(run.options, error);
    }
  }

  mkdirSync(wish.out, { recursive: true });
  for (const run of runs) {
    console.log(`${run.options.name} ...`);
    const report = await Promise.race([reportOf(run), interrupted]);
    if (typeof report === 'number') return report;
    print(report);
    reports.push(report);
    // What a run leaves that did not go as it should may be broken: the next one shall not fail for it.
    if (report.failures.length > 0) await endSubject().catch((error) => console.error(error));
  }
  return reports.some(failed) ? 1 : 0;
}

process.exit(await main());
