import { existsSync } from 'node:fs';
import { type Host, thisMachine } from './hosts.ts';
import { beginReplicaSet, REPLICA_SET } from './replica-set.ts';
import { type ServiceProcess, startService } from './service-process.ts';
import { available, findProgram, lackOf } from './services.ts';

/** A backing service that a test may use; `process` when the test may also break it. */
export interface BackingService extends AsyncDisposable {
  url: string;
  process: ServiceProcess | undefined;
}

interface Address {
  host: string;
  port: number;
}

interface Kind {
  name: string;
  /** Names an address to use instead of starting one. */
  variable: string;
  program: string;
  /** How to get it. */
  how: string;
  argumentsOf: (at: { address: string; port: number; folder: string }) => string[];
  image: string;
  containerPort: number;
  /** What the image's program is told. */
  containerArguments: string[];
  /** Behind the address of a container. */
  containerQuery: string;
  urlOf: (host: string, port: number) => string;
  /** Brings a server that was just started to where it serves; `self` is the address by which it finds itself. */
  prepare: (at: Address, self: string) => Promise<void>;
}

const mongo: Kind = {
  name: 'A server that speaks the MongoDB protocol',
  variable: 'DUET_TEST_MONGODB_URI',
  program: 'mongod',
  how: 'install mongod (mongodb.com/docs/manual/installation, brew install mongodb-community)',
  argumentsOf: ({ address, port, folder }) =>
    ['--dbpath', folder, '--port', port, '--bind_ip', address, '--replSet', REPLICA_SET].map(String),
  image: 'mongo:8',
  containerPort: 27_017,
  containerArguments: ['--replSet', REPLICA_SET, '--bind_ip_all'],
  // Its members name each other by addresses that are good inside of it alone.
  containerQuery: '?directConnection=true',
  urlOf: (host, port) => `mongodb://${host}:${port}/duet`,
  prepare: beginReplicaSet,
};

const redis: Kind = {
  name: 'Redis 7',
  variable: 'DUET_TEST_REDIS_URL',
  program: 'redis-server',
  how: 'install redis-server (apt-get install redis-server, brew install redis)',
  argumentsOf: ({ address, port, folder }) =>
    ['--port', port, '--bind', address, '--protected-mode', 'no', '--dir', folder, '--save', ''].map(String),
  image: 'redis:7',
  containerPort: 6_379,
  containerArguments: [],
  containerQuery: '',
  urlOf: (host, port) => `redis://${host}:${port}`,
  prepare: async () => {},
};

const hasDocker = (): boolean => process.env.DOCKER_HOST !== undefined || existsSync('/var/run/docker.sock');

/** An address from the environment, else a program on this machine, else a container. */
function lack({ name, variable, program, how }: Kind): string | undefined {
  const found = process.env[variable] ?? findProgram(program) ?? hasDocker();
  return lackOf(name, found, `${how}, start Docker, or name a server in ${variable}`);
}

async function start(kind: Kind, host: Host = thisMachine): Promise<BackingService> {
  const { variable, program, argumentsOf, urlOf } = kind;
  const url = process.env[variable];
  // A host of its own is asked for to be cut off, which a shared server must not be.
  if (url !== undefined && host === thisMachine) return { url, process: undefined, async [Symbol.asyncDispose]() {} };
  const path = findProgram(program);
  if (path !== undefined) {
    const service = await startService(path, argumentsOf, { host });
    const at = { host: host.address, port: service.port };
    return prepared(() => kind.prepare(at, `${at.host}:${at.port}`), {
      url: urlOf(at.host, at.port),
      process: service,
      [Symbol.asyncDispose]: () => service[Symbol.asyncDispose](),
    });
  }
  return startContainer(kind);
}

async function startContainer(kind: Kind): Promise<BackingService> {
  const { image, containerPort, containerArguments, containerQuery, urlOf } = kind;
  const { GenericContainer } = await import('testcontainers');
  const container = await new GenericContainer(image)
    .withCommand(containerArguments)
    .withExposedPorts(containerPort)
    .start();
  const at = { host: container.getHost(), port: container.getMappedPort(containerPort) };
  return prepared(() => kind.prepare(at, `127.0.0.1:${containerPort}`), {
    url: urlOf(at.host, at.port) + containerQuery,
    process: undefined,
    async [Symbol.asyncDispose]() {
      await container.stop();
    },
  });
}

async function prepared(prepare: () => Promise<void>, service: BackingService): Promise<BackingService> {
  try {
    await prepare();
    return service;
  } catch (error) {
    await service[Symbol.asyncDispose]();
    throw error;
  }
}

export const lackOfMongo = (): string | undefined => lack(mongo);
export const lackOfRedis = (): string | undefined => lack(redis);
/** Whether tests can have MongoDB. @throws Error in CI when they cannot */
export const hasMongo = (): boolean => available(lackOfMongo());
/** Whether tests can have Redis. @throws Error in CI when they cannot */
export const hasRedis = (): boolean => available(lackOfRedis());
export const startMongo = (host?: Host): Promise<BackingService> => start(mongo, host);
export const startRedis = (host?: Host): Promise<BackingService> => start(redis, host);

/** The same server, another database: tests that share a server keep apart. */
export function databaseOf(url: string, name: string): string {
  const address = new URL(url);
  address.pathname = `/${name}`;
  return address.href;
}
