import { fileURLToPath } from 'node:url';
import { startCluster, temporaryFolder } from '@duet/testkit';

export const MAIN = fileURLToPath(new URL('../src/main.ts', import.meta.url));

/** A running deployment: nodes that share their users. `url(0)` and `url(1)` are different nodes where there are several. */
export interface Deployment extends AsyncDisposable {
  url(i: number): string;
}

export interface Shape {
  name: string;
  start(): Promise<Deployment>;
}

function embedded(name: string, environment: Record<string, string>): Shape {
  return {
    name,
    async start() {
      const folder = temporaryFolder();
      const cluster = await startCluster(MAIN, { count: 1, environment: { DATA_DIR: folder.path, ...environment } });
      return {
        url: () => cluster.nodes[0]?.url as string,
        async [Symbol.asyncDispose]() {
          await cluster[Symbol.asyncDispose]();
          folder[Symbol.dispose]();
        },
      };
    },
  };
}

/** Every way in which a deployment can be put together: the contract holds on all of them. */
export const shapes: Shape[] = [embedded('one process', {}), embedded('three workers', { WORKERS: '3' })];
