import { fileURLToPath } from 'node:url';
import {
  connect,
  type Deployment,
  type DeploymentOptions,
  eventually,
  type HostApp,
  register,
  startCluster,
  startHostApp,
} from '@duet/testkit';

export const MAIN = fileURLToPath(new URL('../src/main.ts', import.meta.url));

/** A running deployment. `url(0)` and `url(1)` are different nodes where there are several. */
export interface Stand extends AsyncDisposable {
  url(i: number): string;
  /** The application whose tokens are good there. */
  host?: HostApp;
}

/** A way in which a deployment can be put together: the contract holds on all of them. */
export interface Shape {
  name: string;
  /** Whether an address is always the same process: what was changed there shows there at once. */
  direct: boolean;
  /** Whether there is a host application. */
  hosted: boolean;
  start(): Promise<Stand>;
}

function shape(
  name: string,
  options: Omit<DeploymentOptions, 'main'>,
  addresses: (on: Deployment) => string[] | Promise<string[]>,
): Shape {
  return {
    name,
    direct: !options.nginx && options.environment?.WORKERS === undefined,
    hosted: true,
    async start() {
      await using stack = new AsyncDisposableStack();
      const host = stack.use(await startHostApp());
      const environment = { ...host.environment, ...options.environment };
      const deployment = stack.use(await startCluster({ main: MAIN, ...options, environment }));
      const urls = await addresses(deployment);
      const disposal = stack.move();
      return {
        url: (i) => urls[i % urls.length] as string,
        host,
        [Symbol.asyncDispose]: () => disposal.disposeAsync(),
      };
    },
  };
}

const only = ({ url }: Deployment) => [url];
const each = ({ nodes }: Deployment) => nodes.map(({ url }) => url);

/** For each node a device that nginx puts there: found by looking where it arrives. */
async function deviceOnEach({ url, nodes }: Deployment): Promise<string[]> {
  const { token } = await register(url);
  const isThere = async (node: { url: string }) =>
    (await (await fetch(`${node.url}/metrics`)).text()).includes('duet_connected_sockets 1');
  const found = new Map<number, string>();
  for (let i = 0; found.size < nodes.length; i++) {
    const device = `${url}/?k=device-${i}`;
    using socket = await connect(device, token);
    const node = (await Promise.all(nodes.map(isThere))).indexOf(true);
    if (node !== -1 && !found.has(node)) found.set(node, device);
    socket.disconnect();
    await eventually(async () => !(await Promise.all(nodes.map(isThere))).includes(true), 'it has gone');
  }
  return nodes.map((_, node) => found.get(node) as string);
}

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
  deviceOnEach,
);

/** What docker-compose.yml makes, started by somebody else. */
export const composed = (address: string): Shape => ({
  name: 'docker-compose.yml',
  direct: false,
  hosted: false,
  start: async () => ({ url: (i) => `${address}/?k=device-${i}`, async [Symbol.asyncDispose]() {} }),
});
