import { once } from 'node:events';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { startGroup } from '@duet/testkit/cluster';
import { GENERATOR_CORE, pinned } from '../subject.ts';

const MEMORY = fileURLToPath(new URL('./memory-mongo.ts', import.meta.url));

export interface Database extends AsyncDisposable {
  url: string;
}

/** The one that keeps everything in memory, on the generator's core: see `memory-mongo.ts`. */
export async function startMemory(): Promise<Database> {
  const [command, ...args] = [...pinned(GENERATOR_CORE), process.execPath, MEMORY];
  const child = startGroup(command as string, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const [line] = await once(child.stdout as Readable, 'data');
  return {
    url: String(line).trim(),
    async [Symbol.asyncDispose]() {
      child.kill();
      await once(child, 'exit');
    },
  };
}
