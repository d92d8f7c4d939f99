import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process';
import { constants } from 'node:os';

/** What asks a process to end: Ctrl-C, a supervisor, a terminal that closes. */
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
const ends = new Set<() => void>();
let listening = false;

/** What shells expect of a process that a signal has ended. */
export const exitCodeOf = (signal: NodeJS.Signals): number => 128 + constants.signals[signal];

function listen(): void {
  if (listening) return;
  listening = true;
  process.once('exit', () => {
    // The last first: a process before the folder that it writes to.
    for (const end of [...ends].reverse()) {
      try {
        end();
      } catch {
        // It has gone by itself; the others have not.
      }
    }
  });
  for (const signal of SIGNALS) {
    process.on(signal, () => {
      // Whoever listens as well has a way of its own to end.
      if (process.listenerCount(signal) === 1) process.exit(exitCodeOf(signal));
    });
  }
}

/**
 * What is not to outlive this process. A signal that nobody else listens to ends this process by `process.exit`, which
 * Node's own answer to signals passes over.
 * @param end is called when this process exits, unless the result is disposed before; it must not wait for anything
 */
export function endWithProcess(end: () => void): Disposable {
  listen();
  ends.add(end);
  return { [Symbol.dispose]: () => void ends.delete(end) };
}

/** Resolves when this process is asked to end. From the call on, its end is the caller's to bring about. */
export function askedToEnd(): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    // More than once: npm passes on what a terminal has sent to all of its processes.
    for (const signal of SIGNALS) process.on(signal, resolve);
  });
}

/** Sends a signal to a process of `startGroup` and all that it has started, if it still runs. */
export function signalGroup(child: ChildProcess, name: NodeJS.Signals): void {
  if (child.exitCode === null && child.signalCode === null) process.kill(-(child.pid as number), name);
}

/** `spawn`, in a process group of its own, which Ctrl-C does not reach and which ends with this process. */
export function startGroup(command: string, args: string[], options: SpawnOptions): ChildProcess {
  const child = spawn(command, args, { ...options, detached: true });
  const ending = endWithProcess(() => signalGroup(child, 'SIGKILL'));
  child.once('exit', () => ending[Symbol.dispose]());
  return child;
}
