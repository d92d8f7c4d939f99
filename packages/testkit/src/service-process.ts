import type { ChildProcess } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { chmodSync, globSync, readFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { eventually } from './chat-client.ts';
import { signalGroup, startGroup } from './ending.ts';
import { type Host, thisMachine } from './hosts.ts';
import { temporaryFolder } from './server-process.ts';

/** A backing service as a process (group) of its own, on a port and a folder that it keeps over restarts. */
export interface ServiceProcess extends AsyncDisposable {
  port: number;
  pid(): number;
  /** SIGTERM, and waits for the end. */
  stop(): Promise<void>;
  /** SIGKILL: a crash. */
  kill(): Promise<void>;
  /** Starts it again after `stop` or `kill`, on the same data; resolves when it takes connections. */
  start(): Promise<void>;
  /** SIGSTOP: it is there, and says nothing. Returns when all of it stands still. */
  pause(): void;
  resume(): void;
  signal(name: NodeJS.Signals): void;
}

/**
 * Whether any thread of a process group goes on. A signal stops all threads of a process when the one that gets it next has
 * its turn: on a busy machine the others may answer meanwhile. Where there is no /proc nobody knows.
 */
function isRunning(group: number): boolean {
  const states = globSync('/proc/[0-9]*/task/[0-9]*/stat').map((file) => {
    try {
      // The name, in parentheses, may hold anything; then state, parent and group.
      const text = readFileSync(file, 'utf8');
      return text.slice(text.lastIndexOf(')') + 2).split(' ');
    } catch {
      return []; // It has just ended.
    }
  });
  return states.some(([state = '', , itsGroup]) => Number(itsGroup) === group && !'TtZX'.includes(state));
}

/** Below the ports that systems give to outgoing connections, one of which could take a port between two starts. */
const PORTS = { from: 15_000, to: 32_000 };

async function isFree(port: number): Promise<boolean> {
  const server = createServer();
  const free = await new Promise<boolean>((resolve) => {
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => resolve(true));
  });
  if (free) await new Promise((resolve) => server.close(resolve));
  return free;
}

/** The first of so many TCP ports in a row that nobody uses now. */
export async function freePort(count = 1): Promise<number> {
  for (;;) {
    const first = randomInt(PORTS.from, PORTS.to - count);
    const free = await Promise.all(Array.from({ length: count }, (_, i) => isFree(first + i)));
    if (free.every(Boolean)) return first;
  }
}

/** Whether something takes connections there. */
export function listens(port: number, host = '127.0.0.1'): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ port, host });
    const done = (answer: boolean) => {
      socket.destroy();
      resolve(answer);
    };
    socket.once('connect', () => done(true));
    socket.once('error', () => done(false));
  });
}

/**
 * Starts a program that listens.
 * @param argumentsOf its command line, for an address, a port and a folder
 */
export async function startService(
  program: string,
  argumentsOf: (at: { address: string; port: number; folder: string }) => string[],
  { host = thisMachine, ...options }: { port?: number; host?: Host } = {},
): Promise<ServiceProcess> {
  const { address } = host;
  const folder = temporaryFolder();
  // Some services give up root's rights and must still find their folder.
  chmodSync(folder.path, 0o755);
  const port = options.port ?? (await freePort());
  let child: ChildProcess;

  async function start(): Promise<void> {
    // Whoever is there would be taken for it.
    if (await listens(port, address)) throw new Error(`port ${port} is taken: ${program} cannot have it`);
    const [command, ...rest] = host.wrap([program, ...argumentsOf({ address, port, folder: folder.path })]);
    child = startGroup(command as string, rest, { stdio: 'ignore' });
    await eventually(() => {
      if (child.exitCode !== null) throw new Error(`${program} ended with ${child.exitCode}`);
      return listens(port, address);
    }, `${program} takes connections`);
  }

  async function end(name: NodeJS.Signals): Promise<void> {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, 'exit');
    signalGroup(child, 'SIGCONT');
    signalGroup(child, name);
    await exited;
    await eventually(async () => !(await listens(port, address)), `${program} has gone`);
  }

  await start();
  return {
    port,
    pid: () => child.pid as number,
    stop: () => end('SIGTERM'),
    kill: () => end('SIGKILL'),
    start,
    pause() {
      signalGroup(child, 'SIGSTOP');
      while (isRunning(child.pid as number)) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1);
    },
    resume: () => signalGroup(child, 'SIGCONT'),
    signal: (name) => signalGroup(child, name),
    async [Symbol.asyncDispose]() {
      await end('SIGKILL');
      folder[Symbol.dispose]();
    },
  };
}
