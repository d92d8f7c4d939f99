// `npm run load`: Artillery with one of the scenarios, against a cluster that it starts, or any address.
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import {
  askedToEnd,
  exitCodeOf,
  lackOfMongo,
  lackOfNginx,
  lackOfRedis,
  signalGroup,
  startCluster,
  startGroup,
  temporaryFolder,
} from '@duet/testkit/cluster';
import { prepare } from './prepare.ts';
import { counts, type LoadResult, latencies, page } from './report.ts';
import { print } from './table.ts';

const FOLDER = fileURLToPath(new URL('../artillery', import.meta.url));
const ARTILLERY = join(FOLDER, 'node_modules/artillery/bin/run');
const KEEP_REPORT = join(FOLDER, 'keep-report.mjs');
const SERVER = fileURLToPath(new URL('../../server/src/main.ts', import.meta.url));
const scenarios = readdirSync(FOLDER).flatMap((file) => (file.endsWith('.yml') ? [basename(file, '.yml')] : []));

const HELP = `npm run load -- [--scenario ${scenarios.join('|')}] [--target http://...] [--pairs 20] [--messages 60]
                [--accounts file.csv] [--full] [--rate 10 --seconds 120] [--nodes 3] [--sqlite]
                [--out file.html]
npm run load -- --prepare file.csv --target http://... [--pairs 20] [--messages 60]
npm run load -- --from run.json [--out file.html]

Runs a scenario with Artillery, prints a table and writes a page with plots. Without --target it starts nginx, nodes,
Redis and MongoDB for it; --sqlite: one SQLite file that the nodes share. The short form takes some 15 seconds; --full
that of the scenario's file, with its limits; --rate lets so many people come each second instead, for --seconds.
--prepare only makes accounts, for Artillery by hand; --from makes the page of a file that artillery run --output wrote.
The target has to run with RATE_LIMITS=off. The first run installs Artillery, 400 MB, into apps/load/artillery.`;

const { values } = parseArgs({
  options: {
    scenario: { type: 'string', default: 'mixed' },
    target: { type: 'string' },
    pairs: { type: 'string', default: '20' },
    messages: { type: 'string', default: '60' },
    accounts: { type: 'string' },
    full: { type: 'boolean', default: false },
    rate: { type: 'string' },
    seconds: { type: 'string', default: '120' },
    nodes: { type: 'string', default: '3' },
    sqlite: { type: 'boolean', default: false },
    prepare: { type: 'string' },
    from: { type: 'string' },
    out: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
});

const amount = { pairs: Number(values.pairs), messages: Number(values.messages) };

async function install(): Promise<void> {
  if (existsSync(ARTILLERY)) return;
  console.log('Installing Artillery ...');
  const args = ['-y', 'pnpm@12', 'install', '--frozen-lockfile', '--prefer-offline'];
  const [code] = await once(startGroup('npx', args, { cwd: FOLDER, stdio: ['ignore', 'inherit', 'inherit'] }), 'exit');
  if (code !== 0) throw new Error('Artillery could not be installed');
}

/** Runs Artillery to its end, or until this process is asked to end. @returns the exit code */
async function artillery(options: string[]): Promise<number> {
  const env = { ...process.env, ARTILLERY_DISABLE_TELEMETRY: 'true', CUSTOM_REPORTERS: KEEP_REPORT };
  const child = startGroup(process.execPath, [ARTILLERY, 'run', ...options], {
    env,
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  let asked: NodeJS.Signals | undefined;
  void askedToEnd().then((signal) => {
    console.log('\nStopping ...');
    asked = signal;
    // Not gently: its virtual users would finish their scenarios first.
    signalGroup(child, 'SIGKILL');
  });
  const [code] = await once(child, 'exit');
  return asked ? exitCodeOf(asked) : (code ?? 1);
}

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

/** Arrivals at one rate, instead of the phases of the file. */
function phases(): string[] {
  if (values.rate === undefined) return [];
  const phase = { duration: Number(values.seconds), arrivalRate: Number(values.rate) };
  return ['--overrides', JSON.stringify({ config: { phases: [phase] } })];
}

/** @returns the exit code: 1 when a limit of the scenario's file was passed */
async function load(name: string): Promise<number> {
  await install();
  await using stack = new AsyncDisposableStack();
  const url = values.target ?? stack.use(await startTarget()).url;
  const folder = stack.use(temporaryFolder());
  const accounts = values.accounts ?? join(folder.path, 'accounts.csv');
  if (!values.accounts) {
    console.log(`Registering ${amount.pairs} pairs with ${amount.messages} messages each ...`);
    await prepare({ url, ...amount, file: accounts });
  }
  const output = join(folder.path, 'run.json');
  const form = [...(values.full ? [] : ['--environment', 'short']), ...phases()];
  const options = ['--target', url, '--payload', accounts, '--output', output, '--quiet', ...form];
  const code = await artillery([...options, join(FOLDER, `${name}.yml`)]);
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
