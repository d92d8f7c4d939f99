import { randomBytes } from 'node:crypto';
import { type BackingService, databaseOf, startMongo, startRedis } from './backing-services.ts';
import { startNginx } from './nginx.ts';
import { type ServerProcess, startServer, temporaryFolder } from './server-process.ts';
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
  /** Gets what the nodes print. */
  onOutput?: (text: string) => unknown;
}

/** A node of a deployment: it keeps its port over restarts. */
export interface DeployedNode {
  url: string;
  /** The process that runs now. */
  process: ServerProcess;
  /** Starts it again after it was killed or stopped; resolves when it listens. */
  start(): Promise<void>;
}

/** Nodes and what they need, as processes of this machine. */
export interface Deployment extends AsyncDisposable {
  nodes: DeployedNode[];
  mongo: BackingService | undefined;
  redis: BackingService | undefined;
  nginx: ServiceProcess | undefined;
  /** nginx, or else the first node. */
  url: string;
}

async function startNode(
  { main, onOutput }: DeploymentOptions,
  environment: Record<string, string>,
): Promise<DeployedNode> {
  const node: DeployedNode = {
    url: `http://127.0.0.1:${environment.PORT}`,
    process: await startServer(main, environment, onOutput),
    async start() {
      node.process = await startServer(main, environment, onOutput);
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
    const [mongo, redis] = await Promise.all([use(options.mongo, startMongo), use(options.redis, startRedis)]);
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
      ports.map(async (port) => {
        const node = await startNode(options, { ...environment, PORT: String(port) });
        stack.defer(() => node.process.kill());
        return node;
      }),
    );
    const nginx = await use(options.nginx, () =>
      startNginx(ports, options.port === undefined ? {} : { port: options.port }),
    );
    const url = nginx ? `http://127.0.0.1:${nginx.port}` : (nodes[0] as DeployedNode).url;
    const disposal = stack.move();
    return { nodes, mongo, redis, nginx, url, [Symbol.asyncDispose]: () => disposal.disposeAsync() };
  } catch (error) {
    await stack.disposeAsync();
    throw error;
  }
}
