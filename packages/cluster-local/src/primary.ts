import cluster, { type Worker } from 'node:cluster';
import { createServer, type Server } from 'node:http';
import { type AddressInfo, Server as NetServer } from 'node:net';
import { type Clock, createMemoryLimiter } from '@duet/core';
import { setupPrimary } from '@socket.io/cluster-adapter';
import { setupMaster } from '@socket.io/sticky';
import { answerTo, failureOf, isCall, isReady, isTaken, type Method, type PrimaryMethods } from './calls.ts';
import { createEntrustedConnections } from './entrusted.ts';
import { createPresenceTable } from './presence.ts';

/** A worker that dies sooner than this after its start is replaced only after this time, so that a fault at start does not spin. */
const RESTART_PAUSE_MS = 1_000;
/** For the first bytes of a connection, and for its way to a worker. Node waits 60 s, which a slow flood makes use of. */
const HANDED_OVER_WITHIN_MS = 10_000;
const LOOK_EVERY_MS = 2_000;

export interface PrimaryOptions {
  workers: number;
  port: number;
  /** Makes a server listen. @throws Error with an explanation for people when it cannot */
  listen: (server: Server, port: number) => Promise<void>;
  clock: Clock;
  /** The metrics of all workers together. */
  metrics: () => Promise<string>;
  log: { info(details: object, text: string): void; error(details: object, text: string): void };
}

export interface Primary {
  port: number;
  /** Asks every worker to stop and waits until they have. */
  close(): Promise<void>;
}

/**
 * Runs a node as several processes of one machine: takes connections and hands each to one worker (for long-polling
 * always the same one), passes live events between workers, keeps presence and limits, and replaces workers that die.
 * Resolves when the first worker serves.
 */
export async function startPrimary(options: PrimaryOptions): Promise<Primary> {
  // The sticky module passes Buffers to workers: with the default JSON they would arrive broken.
  cluster.setupPrimary({ serialization: 'advanced' });
  const server = createServer({
    highWaterMark: 1,
    headersTimeout: HANDED_OVER_WITHIN_MS,
    connectionsCheckingInterval: LOOK_EVERY_MS,
  });
  setupMaster(server, { loadBalancingMethod: 'round-robin' });
  setupPrimary();
  const serve = createDesk(options);
  const entrusted = createEntrustedConnections(server);
  let stopping = false;

  function fork(): Worker {
    const born = options.clock.elapsed();
    const worker = cluster.fork();
    entrusted.watch(worker);
    // A message to one that has just died: `exit` says what is to be done.
    worker.on('error', (err) => options.log.error({ worker: worker.id, err }, 'a worker cannot be reached'));
    worker.on('message', (message) => {
      if (isTaken(message)) entrusted.taken(message.taken);
      else if (isReady(message)) entrusted.serves(worker);
      else serve(worker, message);
    });
    worker.on('exit', (code, signal) => {
      serve.left(worker);
      entrusted.drop(worker);
      if (stopping) return;
      options.log.error({ worker: worker.id, code, signal }, 'a worker died and is replaced');
      setTimeout(() => stopping || fork(), options.clock.elapsed() - born < RESTART_PAUSE_MS ? RESTART_PAUSE_MS : 0);
    });
    return worker;
  }

  const first = Array.from({ length: options.workers }, fork);
  await Promise.race(first.map(untilReady));
  await options.listen(server, options.port);

  return {
    port: (server.address() as AddressInfo).port,
    async close() {
      stopping = true;
      // Not the HTTP server's own way: to it connections on their way to a worker are idle.
      NetServer.prototype.close.call(server);
      const workers = Object.values(cluster.workers ?? {}).filter((worker) => worker !== undefined);
      const exits = workers.map((worker) => new Promise((resolve) => worker.once('exit', resolve)));
      for (const worker of workers) worker.process.kill('SIGTERM');
      await Promise.all(exits);
    },
  };
}

function untilReady(worker: Worker): Promise<void> {
  return new Promise((resolve, reject) => {
    worker.on('message', (message) => isReady(message) && resolve());
    worker.once('exit', () => reject(new Error('a worker ended before it could serve')));
  });
}

/** The desk at which workers ask: one table of presence and one of limits for the whole machine. */
function createDesk(options: Pick<PrimaryOptions, 'clock' | 'metrics'>) {
  const table = createPresenceTable(options.clock);
  const limiter = createMemoryLimiter(options.clock);

  const methodsFor = (worker: Worker): PrimaryMethods => ({
    ...table.forNode(String(worker.id)),
    take: limiter.take,
    metrics: options.metrics,
  });

  async function serve(worker: Worker, message: unknown): Promise<void> {
    if (!isCall(message)) return;
    const method = methodsFor(worker)[message.method as Method] as (...args: unknown[]) => unknown;
    const reply = await Promise.resolve(method(...message.args)).then(
      (result) => answerTo(message.id, result),
      () => failureOf(message.id),
    );
    // The worker may have died meanwhile; nobody waits for the answer then.
    if (worker.isConnected()) worker.send(reply, () => {});
  }

  return Object.assign(serve, { left: (worker: Worker) => table.dropNode(String(worker.id)) });
}
