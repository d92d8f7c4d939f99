// `npm run load`: Artillery with one of the scenarios, against a cluster that it starts, or any address.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  askedToEnd,
  lackOfMongo,
  lackOfNginx,
  lackOfRedis,
  startCluster,
  temporaryFolder,
} from '@duet/testkit/cluster';
import { arrivals, artillery, install, scenarios } from './artillery.ts';
import { findMaximum } from './maximum.ts';
import { flag, oneOf, readOptions, refuse, text, whole } from './options.ts';
import { prepare } from './prepare.ts';
import { counts, type LoadResult, latencies, page } from './report.ts';
import { GENERATOR_CORE, pin, pinned, SERVER_CORE } from './subject.ts';
import { print } from './table.ts';

const SERVER = fileURLToPath(new URL('../../server/src/main.ts', import.meta.url));
/** Of a search for the maximum, in people who come each second: few, because nodes that have just begun are slow. */
const FIRST_RATE = 10;
/** A search has many people at once: with few accounts, each would have many devices. */
const PAIRS = { run: 20, search: 200 };
const SECONDS = 120;

const HELP = `npm run load -- [--scenario ${scenarios.join('|')}] [--target http://...] [--pairs 20] [--messages 60]
                [--accounts file.csv] [--full] [--rate 10 --seconds 120] [--nodes 3] [--sqlite]
                [--out file.html]
npm run load -- --find-maximum [--rate 10] [--target http://...] [--pairs 200] [--nodes 3] [--sqlite]
npm run load -- --prepare file.csv --target http://... [--pairs 20] [--messages 60]
npm run load -- --from run.json [--out file.html]

Runs a scenario with Artillery, prints a table and writes a page with plots. Without --target it starts nginx, nodes,
Redis and MongoDB for it; --sqlite: one SQLite file that the nodes share. The short form takes some 15 seconds; --full
that of the scenario's file, with its limits; --rate lets so many people come each second instead, for --seconds.
--find-maximum raises the rate of the mixed day, from --rate on, until its limits are passed, and then runs half of what
was borne, in six minutes; the cluster is on one core, Artillery on another.
--prepare only makes accounts, for Artillery by hand; --from makes the page of a file that artillery run --output wrote.
The target has to run with RATE_LIMITS=off. The first run installs Artillery, 400 MB, into apps/load/artillery.`;

const options = readOptions(HELP, {
  scenario: oneOf(scenarios, 'mixed'),
  target: text(undefined),
  pairs: whole(undefined),
  messages: whole(60, { least: 0 }),
  accounts: text(undefined),
  full: flag,
  rate: whole(undefined),
  'find-maximum': flag,
  seconds: whole(undefined),
  nodes: whole(3, { most: 16 }),
  sqlite: flag,
  prepare: text(undefined),
  from: text(undefined),
  out: text(undefined),
});
const search = options['find-maximum'];
const { scenario, rate } = options;
const amount = { pairs: options.pairs ?? (search ? PAIRS.search : PAIRS.run), messages: options.messages };

if (search && (scenario !== 'mixed' || options.full || options.seconds !== undefined))
  refuse('--find-maximum is of the mixed day, for as long as it takes: without --scenario, --full and --seconds');
if (options.seconds !== undefined && rate === undefined) refuse('--seconds is how long people come at a --rate');
if (options.prepare !== undefined && options.target === undefined) refuse('--prepare makes accounts at a --target');
for (const file of [options.from, options.accounts])
  if (file !== undefined && !existsSync(file)) refuse(`there is no file ${file}`);

async function startTarget() {
  const missing = [options.sqlite ? undefined : lackOfMongo(), lackOfRedis(), lackOfNginx()].filter(
    (lack) => lack !== undefined,
  );
  if (missing.length > 0) throw new Error(`A cluster needs what this machine has not:\n  ${missing.join('\n  ')}`);
  console.log(`Starting ${options.sqlite ? '' : 'MongoDB, '}Redis, ${options.nodes} nodes and nginx ...`);
  return startCluster({ main: SERVER, nodes: options.nodes, mongo: !options.sqlite, redis: true, nginx: true });
}

/** @throws Error when it is not what Artillery writes */
function resultOf(file: string): LoadResult {
  try {
    const result = JSON.parse(readFileSync(file, 'utf8')) as LoadResult;
    if (result.aggregate && result.intermediate) return result;
  } catch {}
  throw new Error(`${file} is not what artillery run --output writes`);
}

function report(file: string, name: string): void {
  if (!existsSync(file)) {
    console.log('Nothing is known yet: Artillery tells what it has measured every ten seconds.');
    return;
  }
  const result = resultOf(file);
  const out = options.out ?? join(tmpdir(), `duet-load-${name}.html`);
  writeFileSync(out, page(result, name));
  console.log();
  print(latencies(result));
  console.log();
  print(counts(result));
  console.log(`\nPlots: ${out}`);
}

/** @returns the exit code: 1 when a limit of the scenario's file was passed */
async function load(): Promise<number> {
  await install();
  const prefix = search && !options.target ? pinned(GENERATOR_CORE) : [];
  // What this process starts inherits its core: the whole cluster.
  if (prefix.length > 0) pin(process.pid, SERVER_CORE);
  await using stack = new AsyncDisposableStack();
  const url = options.target ?? stack.use(await startTarget()).url;
  const folder = stack.use(temporaryFolder());
  const accounts = options.accounts ?? join(folder.path, 'accounts.csv');
  if (!options.accounts) {
    console.log(`Registering ${amount.pairs} pairs with ${amount.messages} messages each ...`);
    await prepare({ url, ...amount, file: accounts });
  }
  const output = join(folder.path, 'run.json');
  const run = { url, accounts, output, prefix, asked: askedToEnd() };
  const words = [
    ...(options.full ? [] : ['--environment', 'short']),
    ...(rate === undefined ? [] : arrivals([{ duration: options.seconds ?? SECONDS, arrivalRate: rate }])),
  ];
  const code = search
    ? await findMaximum({ ...run, first: rate ?? FIRST_RATE })
    : await artillery({ ...run, scenario, options: words });
  report(output, scenario);
  return code;
}

async function main(): Promise<number> {
  if (options.from) report(options.from, basename(options.from, '.json'));
  else if (options.prepare) await prepare({ url: options.target as string, ...amount, file: options.prepare });
  else return load();
  return 0;
}

process.exitCode = await main().catch((error: Error) => {
  console.error(error.message);
  return 1;
});
