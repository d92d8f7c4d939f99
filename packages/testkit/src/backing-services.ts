import { existsSync } from 'node:fs';
import { type Host, thisMachine } from './hosts.ts';
import { type ServiceProcess, startService } from './service-process.ts';
import { available, findProgram, lackOf } from './services.ts';

/** A backing service that a test may use; `process` when the test may also break it. */
export interface BackingService extends AsyncDisposable {
  url: string;
  process: ServiceProcess | undefined;
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
  urlOf: (host: string, port: number) => string;
}

const mongo: Kind = {
  name: 'A server that speaks the MongoDB protocol',
  variable: 'DUET_TEST_MONGODB_URI',
  program: 'mongod',
  how: 'install mongod (mongodb.com/docs/manual/installation, brew install mongodb-community)',
  argumentsOf: ({ address, port, folder }) => ['--dbpath', folder, '--port', String(port), '--bind_ip', address],
  image: 'mongo:8',
  containerPort: 27_017,
  urlOf: (host, port) => `mongodb://${host}:${port}/duet`,
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
  urlOf: (host, port) => `redis://${host}:${port}`,
};

const hasDocker = (): boolean => process.env.DOCKER_HOST !== undefined || existsSync('/var/run/docker.sock');

/** An address from the environment, else a program on this machine, else a container. */
function lack({ name, variable, program, how }: Kind): string | undefined {
  const found = process.env[variable] ?? findProgram(program) ?? hasDocker();
  return lackOf(name, found, `${how}, start Docker, or name a server in ${variable}`);
}

async function start(kind: Kind, host: Host = thisMachine): Promise<BackingService> {
  const { variable, program, argumentsOf, image, containerPort, urlOf } = kind;
  const url = process.env[variable];
  // A host of its own is asked for to be cut off, which a shared server must not be.
  if (url !== undefined && host === thisMachine) return { url, process: undefined, async [Symbol.asyncDispose]() {} };
  const path = findProgram(program);
  if (path !== undefined) {
    const service = await startService(path, argumentsOf, { host });
    return {
      url: urlOf(host.address, service.port),
      process: service,
      [Symbol.asyncDispose]: () => service[Symbol.asyncDispose](),
    };
  }
  const { GenericContainer } = await import('testcontainers');
  const container = await new GenericContainer(image).withExposedPorts(containerPort).start();
  return {
    url: urlOf(container.getHost(), container.getMappedPort(containerPort)),
    process: undefined,
    async [Symbol.asyncDispose]() {
      await container.stop();
    },
  };
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
