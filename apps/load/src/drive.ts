import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Job, Measured, Signal } from './generator.ts';
import { GENERATOR_CORE, pinned, type Subject } from './subject.ts';

/** Takes a job of `generator.ts`. */
export const GENERATOR = fileURLToPath(new URL('./generator.ts', import.meta.url));
/** No job may take longer than this: a bench that hangs is worse than one that fails. */
const MAX_MS = 180_000;

export interface Driven extends Measured {
  /** CPU of the server for each message, in microseconds. */
  cpuMicros: number;
}

/**
 * Starts a program on the generator's core, with a channel to it, which tells it when this process ends. It has a session
 * of its own: Linux shares a core between sessions first, and then between the processes of each.
 */
export function forkOnOwnCore(program: string): ChildProcess {
  const [exec, ...args] = pinned(GENERATOR_CORE);
  const taskset = exec ? { execPath: exec, execArgv: [...args, process.execPath] } : {};
  return fork(program, { detached: true, ...taskset });
}

/** Starts a generator, gives it a job, and calls `onSignal` until that says it is enough. */
function generate(job: Job, onSignal: (signal: Signal) => boolean | Promise<boolean>): Promise<void> {
  const child = forkOnOwnCore(GENERATOR);
  child.send(job);
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => finish(new Error('the generator took too long')), MAX_MS);
    const finish = (error?: unknown) => {
      clearTimeout(timer);
      child.kill('SIGKILL');
      if (error) reject(error);
      else resolve();
    };
    child.once('exit', (code) => code && finish(new Error(`the generator ended with ${code}`)));
    child.on('message', (signal: Signal) => {
      Promise.resolve(onSignal(signal)).then((enough) => enough && finish(), finish);
    });
  });
}

/** Runs a load and reads the server's CPU at the moments at which the generator begins and ends to measure. */
export async function drive(subject: Pick<Subject, 'cpuSeconds'>, job: Job): Promise<Driven> {
  let cpuBefore = 0;
  let driven: Driven | undefined;
  await generate(job, (signal) => {
    if (signal.signal === 'begin') cpuBefore = subject.cpuSeconds();
    if (signal.signal !== 'end') return false;
    const cpu = subject.cpuSeconds() - cpuBefore;
    driven = { ...signal.measured, cpuMicros: (cpu / signal.measured.messages) * 1e6 };
    return true;
  });
  return driven as Driven;
}
