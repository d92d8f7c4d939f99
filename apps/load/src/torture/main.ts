// `npm run torture`: breaks a cluster under load, records what its clients see, and judges it.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { askedToEnd, exitCodeOf, lackOfMongo, lackOfNginx, lackOfRedis } from '@duet/testkit/cluster';
import { faults } from './faults/index.ts';
import type { Fault } from './faults/stage.ts';
import { lackOfNetwork } from './network.ts';
import { failed, print } from './report.ts';
import { brokenReport, type Report, type RunOptions, torture } from './run.ts';
import { type Shape, type Subject, startSubject } from './start.ts';

const HELP = `npm run torture -- --fault NAME[,NAME] [--seed 1] [--secs 60] [--acks N] [--people 60] [--peers 4] [--burst 4]
                       [--store mongo|sqlite] [--out data/torture]
npm run torture -- --short [--fault NAME[,NAME]] [--seed 1]

Three nodes behind nginx, with Redis and MongoDB, each in a network namespace of its own, under load; then one fault
after the other, or 'mix'. Clients write down what they see, and a judge says whether every promise was kept.
--secs is how long at least, --acks how many acknowledged messages at least. --people is how many chat, each with so
many --peers and those who have him among theirs, and half of their devices send up to --burst messages at once.
--store sqlite has the nodes share one SQLite file, which takes far more messages a second. --short is each fault
once, in a few minutes.

Faults: mix, ${[...faults.keys()].join(', ')}`;

/** Faults that share a run in the short form: related ones, so that a failure still says where to look. */
const SHORT: string[][] = [
  ['kill', 'stop-5'],
  ['rolling'],
  ['redis-restart', 'redis-flush', 'redis-gone'],
  ['redis-silent', 'redis-loud', 'redis-oneway'],
  ['db-restart', 'db-silent', 'db-loud', 'db-oneway'],
  ['nginx-reload', 'nginx-kill', 'slow-clients', 'half-open'],
  ['herd'],
  ['clock-skew'],
  // One node with the embedded store: it takes thousands of messages in a moment.
  ['disk-full', 'slow-consumer'],
];

const { values } = parseArgs({
  options: {
    fault: { type: 'string' },
    seed: { type: 'string' },
    secs: { type: 'string' },
    acks: { type: 'string' },
    people: { type: 'string' },
    peers: { type: 'string' },
    burst: { type: 'string' },
    out: { type: 'string', default: 'data/torture' },
    short: { type: 'boolean', default: false },
    store: { type: 'string', default: 'mongo' },
    tamper: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
});

const store = values.store === 'sqlite' ? 'sqlite' : 'mongo';

/** @throws Error naming what is not there */
function faultsNamed(names: string[]): Fault[] {
  return names.map((name) => {
    const fault = faults.get(name);
    if (!fault) throw new Error(`there is no fault ${name}; --help names them`);
    return fault;
  });
}

/** @throws Error when it is no whole number from 1 on */
function numberOf(name: 'seed' | 'secs' | 'acks' | 'people' | 'peers' | 'burst', otherwise: number): number {
  const text = values[name];
  if (text === undefined) return otherwise;
  if (!/^[1-9]\d{0,8}$/.test(text)) throw new Error(`--${name} must be a whole number from 1 on`);
  return Number(text);
}

function plan(): { faults: Fault[]; options: RunOptions }[] {
  const { short } = values;
  const secs = numberOf('secs', 60);
  const groups = values.fault === undefined ? SHORT : [values.fault.split(',')];
  return groups.map((names) => {
    const mix = names[0] === 'mix';
    const chosen = mix
      ? [...faults.values()].filter(
          ({ name, shape }) => shape === 'cluster' && (store === 'mongo' || !name.startsWith('db-')),
        )
      : faultsNamed(names);
    return {
      faults: chosen,
      options: {
        name: names.join('+'),
        faults: chosen,
        mix,
        seed: numberOf('seed', 1),
        secs,
        acknowledgements: numberOf('acks', short ? 200 : 20 * secs),
        short,
        people: numberOf('people', short ? 12 : 60),
        peers: numberOf('peers', short ? 2 : 4),
        burst: numberOf('burst', 4),
        folder: values.out,
      },
    };
  });
}

/** What runs are against: as their first fault has it. */
const shapeOf = (run: { faults: Fault[] }): Fault['shape'] => run.faults[0]?.shape ?? 'cluster';

/** What this machine lacks for these runs. */
function lacks(runs: { faults: Fault[] }[]): string[] {
  const shapes = runs.map(shapeOf);
  const all = runs.flatMap((run) => run.faults);
  return [
    ...(shapes.some((shape) => shape !== 'disk') ? [lackOfRedis(), lackOfNginx()] : []),
    ...(store === 'mongo' && shapes.some((shape) => shape !== 'disk') ? [lackOfMongo()] : []),
    ...(all.some(({ network }) => network) ? [lackOfNetwork()] : []),
    ...(process.getuid?.() !== 0 && shapes.includes('disk') ? ['A small disk needs root'] : []),
  ].filter((lack) => lack !== undefined);
}

async function main(): Promise<number> {
  if (values.help || (!values.short && !values.fault)) {
    console.log(HELP);
    return values.help ? 0 : 1;
  }
  let runs: ReturnType<typeof plan>;
  try {
    runs = plan();
  } catch (error) {
    console.error((error as Error).message);
    return 1;
  }
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
    for (const [shape, output] of outputs) writeFileSync(join(values.out, `nodes-${shape}.log`), output.join(''));
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
      store,
      tamper: values.tamper,
      onOutput: (text) => output.push(text),
    });
    stack.defer(() => subject[Symbol.asyncDispose]());
    current = { shape, subject };
    return subject;
  }

  async function reportOf(run: (typeof runs)[number]): Promise<Report> {
    try {
      return await torture(await subjectOf(shapeOf(run)), run.options);
    } catch (error) {
      return brokenReport(run.options, error);
    }
  }

  mkdirSync(values.out, { recursive: true });
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
