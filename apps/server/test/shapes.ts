import { fileURLToPath } from 'node:url';
import { type Deployment, type DeploymentOptions, startCluster } from '@duet/testkit';

export const MAIN = fileURLToPath(new URL('../src/main.ts', import.meta.url));

/** A running deployment. `url(0)` and `url(1)` are different nodes where there are several. */
export interface Stand extends AsyncDisposable {
  url(i: number): string;
}

/** A way in which a deployment can be put together: the contract holds on all of them. */
export interface Shape {
  name: string;
  start(): Promise<Stand>;
}

function shape(
  name: string,
  options: Omit<DeploymentOptions, 'main'>,
  url: (on: Deployment, i: number) => string,
): Shape {
  return {
    name,
    async start() {
      const deployment = await startCluster({ main: MAIN, ...options });
      return {
        url: (i) => url(deployment, i),
        [Symbol.asyncDispose]: () => deployment[Symbol.asyncDispose](),
      };
    },
  };
}

const only = ({ url }: Deployment) => url;
const each = ({ nodes }: Deployment, i: number) => nodes[i % nodes.length]?.url as string;
/** Each a device of its own, which nginx puts on some node. */
const device = ({ url }: Deployment, i: number) => `${url}/?k=device-${i}`;

export const embedded = shape('one process', { nodes: 1 }, only);
export const embeddedWorkers = shape('SQLite, three workers', { nodes: 1, environment: { WORKERS: '3' } }, only);
export const embeddedRedis = shape('SQLite, three nodes on Redis', { redis: true }, each);
export const mongoWorkers = shape(
  'MongoDB, three workers',
  { nodes: 1, mongo: true, environment: { WORKERS: '3' } },
  only,
);
export const mongoRedis = shape('MongoDB, three nodes on Redis', { mongo: true, redis: true }, each);
export const behindNginx = shape(
  'MongoDB, three nodes on Redis behind nginx',
  { mongo: true, redis: true, nginx: true },
  device,
);
