import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import {
  BARE_ENVIRONMENT,
  connect,
  hasMongo,
  hasRedis,
  register,
  rest,
  startCluster,
  startServer,
  type TestUser,
  temporaryFolder,
} from '@duet/testkit';
import { expect } from 'vitest';
import { MAIN } from './shapes.ts';

export const DUET = fileURLToPath(new URL('../src/duet.ts', import.meta.url));

export interface Said {
  code: number;
  out: string;
  error: string;
}

/** `npm run duet -- ...` as its script runs it. */
export async function duet(environment: Record<string, string>, ...args: string[]): Promise<Said> {
  const env = { ...BARE_ENVIRONMENT, ...environment };
  const child = spawn(process.execPath, [DUET, ...args], { env, stdio: ['ignore', 'pipe', 'pipe'] });
  let [out, error] = ['', ''];
  child.stdout.on('data', (chunk) => (out += chunk));
  child.stderr.on('data', (chunk) => (error += chunk));
  const [code] = await once(child, 'close');
  return { code, out, error };
}

export interface Shape {
  url: string;
  nodes: number;
  environment: Record<string, string>;
  stop(): Promise<void>;
}

export async function embedded(extra: Record<string, string> = {}): Promise<Shape> {
  const folder = temporaryFolder();
  const server = await startServer(MAIN, { DATA_DIR: folder.path, ...extra });
  const environment = { DATA_DIR: folder.path, PORT: new URL(server.url).port };
  return {
    url: server.url,
    nodes: 1,
    environment,
    async stop() {
      await server.kill();
      folder[Symbol.dispose]();
    },
  };
}

async function clustered(environment: Record<string, string> = {}): Promise<Shape> {
  const on = await startCluster({ main: MAIN, nodes: 2, mongo: true, redis: true, environment });
  return { url: on.url, nodes: 2, environment: on.environment, stop: async () => on[Symbol.asyncDispose]() };
}

const all = [
  { name: 'the embedded store', start: embedded, there: true },
  { name: 'MongoDB and Redis', start: clustered, there: hasMongo() && hasRedis() },
];
/** What this machine can start. */
export const shapes = all.filter(({ there }) => there);

/** People who write, and commands beside their servers. */
export function beside(on: () => Shape) {
  const run = (...args: string[]) => duet(on().environment, ...args);
  return {
    run,
    /** What a command prints for machines; it has to end with 0, and to say nothing else but what it begins to delete. */
    async json(...args: string[]) {
      const { code, out, error } = await run(...args, '--json');
      const unsaid = error.replace(/^Deleting .*\n/, '');
      expect({ args, code, error: unsaid }).toEqual({ args, code: 0, error: '' });
      return JSON.parse(out);
    },
    pair: (): Promise<[TestUser, TestUser]> => Promise.all([register(on().url, 'alice'), register(on().url, 'bob')]),
    async write(from: TestUser, to: Pick<TestUser, 'id'>, ...texts: string[]): Promise<void> {
      using socket = await connect(on().url, from.token);
      for (const content of texts) {
        const ack = await socket.emitWithAck('send_message', { receiverId: to.id, content });
        expect(ack).toMatchObject({ ok: true });
      }
    },
    login: ({ email, password }: Pick<TestUser, 'email' | 'password'>) =>
      rest(on().url, '/auth/login', { body: { email, password } }),
  };
}
