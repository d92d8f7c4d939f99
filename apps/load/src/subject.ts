import { type ChildProcess, execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { startGroup, temporaryFolder } from '@duet/testkit/cluster';

const RELAY = fileURLToPath(new URL('./relay.ts', import.meta.url));
const DUET = fileURLToPath(new URL('../../server/src/main.ts', import.meta.url));
export const SERVER_CORE = '0';
export const GENERATOR_CORE = '1';

export type Kind = 'relay' | 'duet';

/** A server under test, pinned to a core of its own. */
export interface Subject extends AsyncDisposable {
  kind: Kind;
  url: string;
  /** CPU time of the process so far, all threads, in seconds. */
  cpuSeconds(): number;
  /** Memory that it holds, in bytes. */
  residentBytes(): number;
  signal(name: NodeJS.Signals): void;
  /** SIGKILL. */
  kill(): Promise<void>;
}

/** Prefix of a command that runs it on one core; empty where the machine cannot. */
export function pinned(core: string): string[] {
  try {
    execFileSync('taskset', ['-c', core, 'true'], { stdio: 'ignore' });
    return ['taskset', '-c', core];
  } catch {
    return [];
  }
}

/** Moves a process that runs already, with all its threads, to a core; nothing where the machine cannot. */
export function pin(pid: number, core: string): void {
  const [taskset] = pinned(core);
  if (taskset) execFileSync(taskset, ['-a', '-p', '-c', core, String(pid)], { stdio: 'ignore' });
}

let ticks: number | undefined;
const ticksPerSecond = (): number => (ticks ??= Number(execFileSync('getconf', ['CLK_TCK'])));

/** CPU time of a process so far, all threads, in seconds. */
export function cpuSecondsOf(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
  return (Number(fields[11]) + Number(fields[12])) / ticksPerSecond();
}

/** Starts a server with an empty data folder and resolves when it listens. `settings` are environment variables. */
export async function startSubject(kind: Kind, settings: Record<string, string> = {}): Promise<Subject> {
  const data = temporaryFolder();
  const env = {
    PATH: process.env.PATH,
    NODE_ENV: 'production',
    PORT: '0',
    DATA_DIR: data.path,
    RATE_LIMITS: 'off',
    JWT_SECRET: randomBytes(32).toString('hex'),
    ...settings,
  };
  const [command, ...args] = [...pinned(SERVER_CORE), process.execPath, kind === 'relay' ? RELAY : DUET];
  const child = startGroup(command as string, args, { env, stdio: ['ignore', 'pipe', 'inherit'] });
  const url = await address(child);
  return {
    kind,
    url,
    cpuSeconds: () => cpuSecondsOf(child.pid as number),
    residentBytes() {
      const status = readFileSync(`/proc/${child.pid}/status`, 'utf8');
      return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) * 1024;
    },
    signal: (name) => void child.kill(name),
    async kill() {
      const exited = once(child, 'exit');
      child.kill('SIGKILL');
      await exited;
    },
    async [Symbol.asyncDispose]() {
      const exited = child.exitCode === null && child.signalCode === null ? once(child, 'exit') : undefined;
      child.kill('SIGTERM');
      await exited;
      data[Symbol.dispose]();
    },
  };
}

function address(child: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    let output = '';
    child.once('exit', () => reject(new Error(`the server ended:\n${output}`)));
    child.stdout?.on('data', (chunk) => {
      output += chunk;
      const port = /http:\/\/localhost:(\d+)/.exec(output)?.[1];
      if (port) resolve(`http://127.0.0.1:${port}`);
    });
  });
}
