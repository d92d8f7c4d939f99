import { randomBytes } from 'node:crypto';
import { type BackingService, databaseOf, startMongo, startRedis } from './backing-services.ts';
import { type Host, type HostName, thisMachine } from './hosts.ts';
import { startNginx } from './nginx.ts';
import { type ServerOptions, type ServerProcess, startServer, temporaryFolder } from './server-process.ts';
import { freePort, type ServiceProcess } from './service-process.ts';

export interface DeploymentOptions {
  /** The server's entry. */
  main: string;
  /** How many nodes (3). */
  nodes?: number;
  /** Messages in MongoDB; else in one SQLite file that the nodes share. */
  mongo?: boolean;
  /** Nodes joined by Redis; else each is alone. */
  redis?: boolean;
  nginx?: boolean;
  /** Where nginx listens, and the nodes behind it; free ones without it. */
  port?: number;
  environment?: Record<string, string>;
  /** Where each process runs; this machine without it. */
  hostOf?: (name: HostName) => Host;
  /** Gets what the nodes print. */
  onOutput?: (text: string) => unknown;
}

/** A node of a deployment: it keeps its port over restarts. */
export interface DeployedNode {
  url: string;
  /** The process that runs now. */
  process: ServerProcess;
  /** Starts it again after it was killed or stopped, or another `main` in its place; resolves when it listens. */
  start(main?: string): Promise<void>;
}

/** Nodes and what they need, as processes of this machine. */
export interface Deployment extends AsyncDisposable {
  nodes: DeployedNode[];
  mongo: BackingService | undefined;
  redis: BackingService | undefined;
  nginx: ServiceProcess | undefined;
  /** nginx, or else the first node. */
  url: string;
  /** What every node was started with. */
  environment: Record<string, string>;
}

async function startNode(
  main: string,
  environment: Record<string, string>,
  options: ServerOptions,
): Promise<DeployedNode> {
  const first = await startServer(main, environment, options);
  const node: DeployedNode = {
    url: first.url,
    process: first,
    async start(other = main) {
      node.process = await startServer(other, environment, options);
    },
  };
  return node;
}

/** Starts backing services, nodes and nginx; all end when the result is disposed. */
export async function startCluster(options: DeploymentOptions): Promise<Deployment> {
  const stack = new AsyncDisposableStack();
  try {
    const folder = stack.use(temporaryFolder());
    const use = async <T extends AsyncDisposable>(wanted: boolean | undefined, start: () => Promise<T>) =>
      wanted ? stack.use(await start()) : undefined;
    const { hostOf, onOutput } = options;
    const [mongo, redis] = await Promise.all([
      use(options.mongo, () => startMongo(hostOf?.('mongo'))),
      use(options.redis, () => startRedis(hostOf?.('redis'))),
    ]);
    // Servers that were given by address may be shared: this deployment keeps to itself.
    const name = `duet-${randomBytes(4).toString('hex')}`;
    const environment = {
      DATA_DIR: folder.path,
      JWT_SECRET: randomBytes(32).toString('hex'),
      DRAIN_SECONDS: '1',
      ...(mongo ? { MONGODB_URI: databaseOf(mongo.url, name) } : {}),
      ...(redis ? { REDIS_URL: redis.url, REDIS_PREFIX: name } : {}),
      ...(options.nginx ? { TRUST_PROXY: '1' } : {}),
      ...options.environment,
    };
    const count = options.nodes ?? 3;
    const ports = await Promise.all(
      Array.from({ length: count }, (_, i) => (options.port === undefined ? freePort() : options.port + 1 + i)),
    );
    const nodes = await Promise.all(
      ports.map(async (port, i) => {
        const host = hostOf?.(`node${i}`);
        const node = await startNode(options.main, { ...environment, PORT: String(port) }, { onOutput, host });
        stack.defer(() => node.process.kill());
        return node;
      }),
    );
    const nginx = await use(options.nginx, () =>
      startNginx(
        nodes.map((node) => new URL(node.url).host),
        { ...(options.port === undefined ? {} : { port: options.port }), ...(hostOf ? { host: hostOf('nginx') } : {}) },
      ),
    );
    const { address } = hostOf?.('nginx') ?? thisMachine;
    const url = nginx ? `http://${address}:${nginx.port}` : (nodes[0] as DeployedNode).url;
    const disposal = stack.move();
    return { nodes, mongo, redis, nginx, url, environment, [Symbol.asyncDispose]: () => disposal.disposeAsync() };
  } catch (error) {
    await stack.disposeAsync();
    throw error;
  }
}
