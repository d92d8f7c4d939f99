// `npm run load`: Artillery with one of the scenarios, against a cluster that it starts, or any address.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
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
import { prepare } from './prepare.ts';
import { counts, type LoadResult, latencies, page } from './report.ts';
import { GENERATOR_CORE, pin, pinned, SERVER_CORE } from './subject.ts';
import { print } from './table.ts';

const SERVER = fileURLToPath(new URL('../../server/src/main.ts', import.meta.url));
/** Of a search for the maximum, in people who come each second: few, because nodes that have just begun are slow. */
const FIRST_RATE = 10;
/** A search has many people at once: with few accounts, each would have many devices. */
const PAIRS = { run: '20', search: '200' };

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

const { values } = parseArgs({
  options: {
    scenario: { type: 'string', default: 'mixed' },
    target: { type: 'string' },
    pairs: { type: 'string' },
    messages: { type: 'string', default: '60' },
    accounts: { type: 'string' },
    full: { type: 'boolean', default: false },
    rate: { type: 'string' },
    'find-maximum': { type: 'boolean', default: false },
    seconds: { type: 'string', default: '120' },
    nodes: { type: 'string', default: '3' },
    sqlite: { type: 'boolean', default: false },
    prepare: { type: 'string' },
    from: { type: 'string' },
    out: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
});

const pairs = values.pairs ?? (values['find-maximum'] ? PAIRS.search : PAIRS.run);
const amount = { pairs: Number(pairs), messages: Number(values.messages) };

async function startTarget() {
  const missing = [values.sqlite ? undefined : lackOfMongo(), lackOfRedis(), lackOfNginx()].filter(
    (lack) => lack !== undefined,
  );
  if (missing.length > 0) throw new Error(`A cluster needs what this machine has not:\n  ${missing.join('\n  ')}`);
  console.log(`Starting ${values.sqlite ? '' : 'MongoDB, '}Redis, ${values.nodes} nodes and nginx ...`);
  return startCluster({ main: SERVER, nodes: Number(values.nodes), mongo: !values.sqlite, redis: true, nginx: true });
}

function report(file: string, name: string): void {
  if (!existsSync(file)) {
    console.log('Nothing is known yet: Artillery tells what it has measured every ten seconds.');
    return;
  }
  const result = JSON.parse(readFileSync(file, 'utf8')) as LoadResult;
  const out = values.out ?? join(tmpdir(), `duet-load-${name}.html`);
  writeFileSync(out, page(result, name));
  console.log();
  print(latencies(result));
  console.log();
  print(counts(result));
  console.log(`\nPlots: ${out}`);
}

/** @returns the exit code: 1 when a limit of the scenario's file was passed */
async function load(name: string): Promise<number> {
  await install();
  const search = values['find-maximum'];
  const prefix = search && !values.target ? pinned(GENERATOR_CORE) : [];
  // What this process starts inherits its core: the whole cluster.
  if (prefix.length > 0) pin(process.pid, SERVER_CORE);
  await using stack = new AsyncDisposableStack();
  const url = values.target ?? stack.use(await startTarget()).url;
  const folder = stack.use(temporaryFolder());
  const accounts = values.accounts ?? join(folder.path, 'accounts.csv');
  if (!values.accounts) {
    console.log(`Registering ${amount.pairs} pairs with ${amount.messages} messages each ...`);
    await prepare({ url, ...amount, file: accounts });
  }
  const output = join(folder.path, 'run.json');
  const run = { url, accounts, output, prefix, asked: askedToEnd() };
  const { rate } = values;
  const options = [
    ...(values.full ? [] : ['--environment', 'short']),
    ...(rate === undefined ? [] : arrivals([{ duration: Number(values.seconds), arrivalRate: Number(rate) }])),
  ];
  const code = search
    ? await findMaximum({ ...run, first: Number(rate ?? FIRST_RATE) })
    : await artillery({ ...run, scenario: name, options });
  report(output, name);
  return code;
}

async function main(): Promise<number> {
  if (values.help || !scenarios.includes(values.scenario) || (values.prepare && !values.target)) {
    console.log(HELP);
    return values.help ? 0 : 1;
  }
  if (values.from) report(values.from, basename(values.from, '.json'));
  else if (values.prepare) await prepare({ url: values.target as string, ...amount, file: values.prepare });
  else return load(values.scenario);
  return 0;
}

process.exitCode = await main().catch((error: Error) => {
  console.error(error.message);
  return 1;
});
