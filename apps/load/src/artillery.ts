import { once } from 'node:events';
import { existsSync, readdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { exitCodeOf, signalGroup, startGroup } from '@duet/testkit/cluster';

const FOLDER = fileURLToPath(new URL('../artillery', import.meta.url));
const PROGRAM = join(FOLDER, 'node_modules/artillery/bin/run');
const KEEP_REPORT = join(FOLDER, 'keep-report.mjs');

/** Files of the folder, by their names. */
export const scenarios = readdirSync(FOLDER).flatMap((file) => (file.endsWith('.yml') ? [basename(file, '.yml')] : []));

/** Installs Artillery where it is missing. @throws Error when that fails */
export async function install(): Promise<void> {
  if (existsSync(PROGRAM)) return;
  console.log('Installing Artillery ...');
  const args = ['-y', 'pnpm@12', 'install', '--frozen-lockfile', '--prefer-offline'];
  const [code] = await once(startGroup('npx', args, { cwd: FOLDER, stdio: ['ignore', 'inherit', 'inherit'] }), 'exit');
  if (code !== 0) throw new Error('Artillery could not be installed');
}

export interface Run {
  scenario: string;
  /** Where the deployment answers. */
  url: string;
  /** The file of accounts to read, and the one of results to write. */
  accounts: string;
  output: string;
  /** More options of `artillery run`. */
  options: string[];
  /** Words before its command, such as those that pin it to a core. */
  prefix?: string[];
  /** Resolves when this process is asked to end, and the run with it. */
  asked: Promise<NodeJS.Signals>;
  /** After so many milliseconds it is cut off. */
  withinMs?: number;
}

/**
 * Runs a scenario to its end.
 * @returns the exit code: 1 when a limit of the scenario's file was passed or the time was up, above 128 when this process
 * was asked to end
 */
export async function artillery({
  scenario,
  url,
  accounts,
  output,
  options,
  prefix = [],
  ...run
}: Run): Promise<number> {
  const files = ['--target', url, '--payload', accounts, '--output', output, join(FOLDER, `${scenario}.yml`)];
  const [command, ...args] = [...prefix, process.execPath, PROGRAM, 'run', '--quiet', ...options, ...files];
  const env = { ...process.env, ARTILLERY_DISABLE_TELEMETRY: 'true', CUSTOM_REPORTERS: KEEP_REPORT };
  const child = startGroup(command as string, args, { env, stdio: ['ignore', 'inherit', 'inherit'] });
  // Not gently: its virtual users would finish their scenarios first.
  const cut = () => signalGroup(child, 'SIGKILL');
  let asked: NodeJS.Signals | undefined;
  void run.asked.then((signal) => {
    console.log('\nStopping ...');
    asked = signal;
    cut();
  });
  const timer = run.withinMs === undefined ? undefined : setTimeout(cut, run.withinMs);
  const [code] = await once(child, 'exit');
  clearTimeout(timer);
  return asked ? exitCodeOf(asked) : (code ?? 1);
}

/** People who come for some seconds, so many each second, or ever more up to `rampTo`. */
export interface Phase {
  duration: number;
  arrivalRate: number;
  rampTo?: number;
}

/** Options that let people come so, in place of the phases of the scenario's file, and do what the variables say. */
export const arrivals = (phases: Phase[], variables: Record<string, number> = {}): string[] => [
  '--overrides',
  JSON.stringify({ config: { phases, variables } }),
];
