import { randomBytes } from 'node:crypto';
import { databaseOf, startRedis } from '@duet/testkit/cluster';
import { type Account, anybody } from '../accounts.ts';
import { cpuSecondsOf, pin, SERVER_CORE, type Subject, startSubject } from '../subject.ts';
import { seedUsers } from './seed.ts';
import { startTap, type Tap } from './tap.ts';

/** What joins the nodes: Duet itself, or the bare relay with an adapter of @socket.io/redis-adapter. */
export type Joined = 'duet' | 'classic' | 'sharded';

export interface NodesOptions {
  joined: Joined;
  count: number;
  /** Where Duet's nodes find MongoDB; they get a database of their own there. */
  mongoUrl: string;
  /** Counts what each node receives. Costs latency, so only where that is asked. */
  taps?: boolean;
  settings?: Record<string, string>;
}

/** Several nodes around one Redis, all on the servers' core. */
export interface Nodes extends AsyncDisposable {
  all: Subject[];
  /** The nodes' database. */
  mongoUrl: string;
  /** CPU time of all nodes and Redis so far, in seconds. */
  cpuSeconds(): number;
  /** Redis' part of it. */
  redisCpuSeconds(): number;
  /** Messages that each node has received from Redis so far; nothing without `taps`. */
  received(): number[];
  /** Makes accounts and deals them out to the nodes in turn. */
  accounts(count: number): Promise<Account[]>;
}

async function startPinnedRedis(stack: AsyncDisposableStack) {
  const { url, process } = stack.use(await startRedis());
  if (process) pin(process.pid(), SERVER_CORE);
  return { url, cpuSeconds: () => (process ? cpuSecondsOf(process.pid()) : 0) };
}

export async function startNodes({ joined, count, mongoUrl, taps, settings }: NodesOptions): Promise<Nodes> {
  const stack = new AsyncDisposableStack();
  const redis = await startPinnedRedis(stack);
  const name = `bench-${randomBytes(4).toString('hex')}`;
  const secret = randomBytes(32).toString('hex');
  const database = databaseOf(mongoUrl, name);
  const environment = {
    MONGODB_URI: database,
    REDIS_PREFIX: name,
    JWT_SECRET: secret,
    DRAIN_SECONDS: '0',
    LOG_LEVEL: 'error',
    // Says on which port it listens.
    NODE_ENV: 'development',
    ADAPTER: joined,
    ...settings,
  };
  const tapped: Tap[] = [];
  const all: Subject[] = [];
  for (let i = 0; i < count; i++) {
    const tap = taps ? stack.use(await startTap(redis.url)) : undefined;
    if (tap) tapped.push(tap);
    const REDIS_URL = tap?.url ?? redis.url;
    all.push(stack.use(await startSubject(joined === 'duet' ? 'duet' : 'relay', { ...environment, REDIS_URL })));
  }
  const urlOf = (i: number) => all[i % count]?.url as string;
  return {
    all,
    mongoUrl: database,
    redisCpuSeconds: redis.cpuSeconds,
    cpuSeconds: () => all.reduce((sum, node) => sum + node.cpuSeconds(), redis.cpuSeconds()),
    received: () => tapped.map((tap) => tap.received()),
    async accounts(wanted) {
      if (joined !== 'duet') return Array.from({ length: wanted }, (_, i) => anybody(urlOf(i)));
      const seeded = await seedUsers(database, secret, wanted);
      return seeded.map(({ id, token }, i) => ({ id, url: urlOf(i), auth: { token } }));
    },
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}
