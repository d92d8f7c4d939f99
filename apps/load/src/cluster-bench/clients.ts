import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { forkOnOwnCore } from '../drive.ts';
import type { Job, Results } from './jobs.ts';

const PROGRAM = fileURLToPath(new URL('./jobs.ts', import.meta.url));
/** No step may take longer than this: a bench that hangs is worse than one that fails. */
const MAX_MS = 170_000;

/** A process of clients on the generator's core. It works step by step, and waits between them. */
export interface Clients<W extends Job['what']> extends Disposable {
  /** Resolves with what the running step came to. The first one begins by itself. */
  step(): Promise<Results[W]>;
  /** Begins the next step. */
  go(): void;
}

export function startClients<W extends Job['what']>(job: Job & { what: W }): Clients<W> {
  const child = forkOnOwnCore(PROGRAM);
  child.send(job);
  return {
    async step() {
      const within = AbortSignal.timeout(MAX_MS);
      const ended = once(child, 'exit', { signal: within }).then(([code]) => {
        throw new Error(`the clients ended with ${code}`);
      });
      const [result] = await Promise.race([once(child, 'message', { signal: within }), ended]);
      ended.catch(() => {});
      return result as Results[W];
    },
    go: () => void child.send('go'),
    [Symbol.dispose]: () => void child.kill('SIGKILL'),
  };
}
