import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { endWithProcess, startGroup } from './ending.ts';
import { type Host, thisMachine } from './hosts.ts';
import { freePort } from './service-process.ts';

const START_WITHIN_MS = 30_000;
const LISTENING = /http:\/\/localhost:(\d+)/;

/** All that a node or a command gets of the environment of the tests. Compiled code is kept: a start takes half the time. */
export const BARE_ENVIRONMENT = {
  PATH: process.env.PATH,
  HOME: process.env.HOME,
  NODE_COMPILE_CACHE: fileURLToPath(new URL('../../../node_modules/.cache/compiled', import.meta.url)),
};

/** A real node as a process of its own, so that it can be killed. */
export interface ServerProcess {
  url: string;
  pid: number;
  /** What it has printed so far. */
  output(): string;
  /** SIGTERM; resolves with the exit code. */
  stop(): Promise<number | null>;
  /** SIGKILL: as if the power had failed. */
  kill(): Promise<void>;
  /** Any signal, such as SIGSTOP. */
  signal(name: NodeJS.Signals): void;
}

export interface ServerOptions {
  onOutput?: ((text: string) => unknown) | undefined;
  host?: Host | undefined;
}

/** A folder that is removed when the test resource is disposed, or else with this process. */
export function temporaryFolder(): { path: string } & Disposable {
  const path = mkdtempSync(join(tmpdir(), 'duet-'));
  // Somebody who dies may still be writing to it.
  const remove = () => rmSync(path, { recursive: true, force: true, maxRetries: 5 });
  const ending = endWithProcess(remove);
  return {
    path,
    [Symbol.dispose]() {
      ending[Symbol.dispose]();
      remove();
    },
  };
}

/**
 * Starts `main` with Node on a port of its own and resolves when it listens.
 * @param environment added to a bare environment: nothing of the developer's shell reaches the node
 * @param onOutput of the options gets what it prints, as it comes
 * @throws Error with its output when it ends or stays silent instead
 */
export async function startServer(
  main: string,
  environment: Record<string, string> = {},
  { onOutput = () => {}, host = thisMachine }: ServerOptions = {},
): Promise<ServerProcess> {
  const env = {
    ...BARE_ENVIRONMENT,
    // Its own also when it is started again: not one that the system may give away meanwhile.
    PORT: String(await freePort()),
    // Accounts cost little.
    NODE_ENV: 'test',
    RATE_LIMITS: 'off',
    LOG_LEVEL: 'warn',
    ...environment,
  };
  const [command, ...rest] = host.wrap([process.execPath, main]);
  const child = startGroup(command as string, rest, { env, stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream?.on('data', (chunk) => {
      output += chunk;
      onOutput(String(chunk));
    });
  const port = await listening(child, () => output);
  // Not its exit: the last of what it said comes later.
  const exited = once(child, 'close') as Promise<[number | null]>;
  return {
    url: `http://${host.address}:${port}`,
    pid: child.pid as number,
    output: () => output,
    async stop() {
      child.kill('SIGTERM');
      return (await exited)[0];
    },
    async kill() {
      if (!child.kill('SIGKILL')) return;
      await exited;
    },
    signal: (name) => child.kill(name),
  };
}

function listening(child: ChildProcess, output: () => string): Promise<string> {
  return new Promise((resolve, reject) => {
    const fail = (why: string) => reject(new Error(`the server ${why}:\n${output()}`));
    const timer = setTimeout(() => {
      child.kill('SIGKILL');
      fail('did not listen in time');
    }, START_WITHIN_MS);
    const ended = () => fail('ended');
    const look = () => {
      const port = LISTENING.exec(output())?.[1];
      if (port === undefined) return;
      clearTimeout(timer);
      child.off('exit', ended);
      child.stdout?.off('data', look);
      resolve(port);
    };
    child.once('exit', ended);
    child.stdout?.on('data', look);
  });
}
