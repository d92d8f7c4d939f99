import { randomBytes, randomUUID } from 'node:crypto';
import type { Server as HttpServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { type Clock, type Cluster, type Core, createCore, type Store, type WrappedKey } from '@duet/core';
import { createSealedStore, type KeyRing, missingRingKeys, type Unreadable } from '@duet/sealing';
import type { Server } from 'socket.io';
import { loadCluster, loadStore, type WorkerCluster } from './adapters.ts';
import { createHostTokens } from './auth/host-tokens.ts';
import { createPasswords, passwordThreads } from './auth/passwords.ts';
import { createTokens } from './auth/tokens.ts';
import { systemClock } from './clock.ts';
import { type Config, PASSWORD_COST } from './config.ts';
import { createApp } from './http/app.ts';
import { bindRoutes } from './http/bind-routes.ts';
import { createRouteHandlers } from './http/handlers.ts';
import { type Connections, createHttpServer } from './http/server.ts';
import { createHealth, type Dependency, type Health } from './ops/health.ts';
import type { Log } from './ops/log.ts';
import { measuredLimiter, measuredPresence, measuredStore } from './ops/measured.ts';
import { createMetrics, type Metrics } from './ops/metrics.ts';
import { createOriginRule, type OriginRule } from './origins.ts';
import { createBacklog } from './socket/backlog.ts';
import { createEventBinder } from './socket/bind-events.ts';
import { createDoor } from './socket/door.ts';
import { createFanout } from './socket/fanout.ts';
import { createFloodGuard } from './socket/floods.ts';
import { createFollowers } from './socket/follow.ts';
import { guardSockets } from './socket/guard.ts';
import { createEventHandlers } from './socket/handlers.ts';
import { admitUsers, countSockets, createSocketServer, drain } from './socket/server.ts';

const WEB_CLIENT = fileURLToPath(new URL('../../web/dist', import.meta.url));
const RETRY_MS = 1_000;
/** A node that stops waits so long for requests that are under way, or for clients that have said the half of one. */
const LAST_REQUESTS_MS = 2_000;
/** Passwords that still wait then would do so for longer: they are given up, and their requests told to come again. */
const LAST_PASSWORDS_MS = 1_500;

export interface NodeOptions {
  config: Config;
  log: Log;
  clock?: Clock;
  /** This process is one of several workers: how it joins the others. Without it the node listens on its port itself. */
  worker?: WorkerCluster;
  /** The store and the cluster to use, instead of those that the configuration names. */
  store?: Store;
  cluster?: Cluster;
}

export interface Node {
  /** Where the node listens; for a worker, where its primary does. */
  port: number;
  /** Stops without losing what was acknowledged: drains sockets, finishes commits, lets go of everything. */
  close(): Promise<void>;
}

/** Everything that a running node is made of. */
interface Parts extends Required<Pick<NodeOptions, 'config' | 'clock' | 'log'>> {
  http: HttpServer;
  metrics: Metrics;
  mayCall: OriginRule;
  store: Store;
  cluster: Cluster;
}

/**
 * Builds a node from its configuration and starts it: the only place where the parts meet. It listens at once, and
 * serves when its store and cluster answer; until then `/ready` and the API say so.
 * @throws Error with an explanation for people when it cannot ever start (port taken, data folder unusable)
 */
export async function createNode(options: NodeOptions): Promise<Node> {
  const { config, log, clock = systemClock, worker } = options;
  const connections = createHttpServer({ proxies: config.trustProxy });
  const { http } = connections;
  let io: Server | undefined;
  let dependencies: Dependency[] = [];
  let serving = false;
  const metrics = createMetrics(
    () => countSockets(io),
    () => health.isReady(),
  );
  const health: Health = createHealth({
    dependencies: () => dependencies,
    serving: () => serving,
    metrics: worker?.metrics ?? metrics.text,
    metricsType: metrics.contentType,
  });
  const mayCall = createOriginRule({ allowed: config.corsOrigins, development: !config.production });
  const appDeps = { log, metrics, mayCall, trustProxy: config.trustProxy, ops: health.router, web: WEB_CLIENT };

  // Listening comes before the services answer, so that a probe can see what the node waits for. The listener is there
  // before Engine.IO is, which takes the requests of its own path away from those it finds.
  let app = createApp({ ...appDeps, api: undefined });
  http.on('request', (req, res) => app(req, res));
  // Node keeps the times of connections, and a list of them, for servers that listen: one that is handed them says so.
  if (worker) http.emit('listening');
  else await listen(http, config.port);

  const { ring, seals, sealedOnly } = config.encryption;
  const store = createSealedStore(measuredStore(options.store ?? (await loadStore(config.store)), metrics), {
    ring,
    seals,
    sealedOnly,
    clock,
    observe: observeSealing(metrics, log),
  });
  const cluster = worker ?? options.cluster ?? (await loadCluster(config.cluster, { clock, log }));
  dependencies = [
    { name: config.store.kind, ready: store.ready },
    { name: config.cluster.kind, ready: cluster.ready },
  ];
  // In any order with them: a node that is started first waits, and says for what.
  await Promise.all(dependencies.map((dependency) => answering(dependency, log)));
  await requireKeys(store, ring, log);

  const parts = { config, clock, log, http, metrics, mayCall, store, cluster };
  const served = serve(parts, cluster.socketAdapter === undefined);
  io = served.io;
  app = createApp({ ...appDeps, api: served.api });
  worker?.takeConnections(io);
  serving = true;
  const port = worker ? config.port : (http.address() as AddressInfo).port;
  return { port, close: once(() => stop({ ...parts, ...served, connections, health })) };
}

/** @throws Error that names the keys without which stored messages cannot be read */
async function requireKeys({ dataKeys }: Store, ring: KeyRing, log: Log): Promise<void> {
  let missing: string[] = [];
  const ready = async () => {
    missing = await missingRingKeys(dataKeys, ring);
  };
  await answering({ name: 'the keys of messages', ready }, log);
  if (missing.length === 0) return;
  throw new Error(`the key ring lacks ${missing.join(', ')}, with which stored messages are encrypted`);
}

/** What cannot be opened is said and counted; the log names places, not people. */
function observeSealing(metrics: Metrics, log: Log) {
  return {
    unreadable(messages: Unreadable[]) {
      log.error({ messages }, 'messages cannot be opened');
      metrics.unreadable(messages.length);
    },
    damagedKey: ({ conversation, id, ringKey }: WrappedKey) =>
      log.error({ conversation, id, ringKey }, 'the key of a conversation is damaged'),
  };
}

/** Puts the rules behind HTTP and sockets. */
function serve({ config, clock, log, http, metrics, mayCall, store, cluster }: Parts, alone: boolean) {
  const door = createDoor(clock);
  if (config.store.kind === 'mongo' && !config.store.isNamed)
    log.warn('MONGODB_URI names no database: messages are kept in the one called test');
  if (!config.rateLimits) log.warn('RATE_LIMITS is off: for load tests only');
  if (config.passwordCost < PASSWORD_COST)
    log.warn('NODE_ENV is test: passwords of real people would be hashed too cheaply');
  const passwords = createPasswords({
    cost: config.passwordCost,
    threads: passwordThreads(availableParallelism(), config.workers),
    failed: (err) => log.error({ err }, 'a thread for passwords has failed'),
  });
  const limits = config.rateLimits ? measuredLimiter(cluster.limiter, metrics) : undefined;
  const limiter = limits ?? { take: () => ({ ok: true, remaining: 1, retryAfterMs: 0 }) };
  const { maxConnections, trustProxy: proxies } = config;
  const floods = limits && createFloodGuard({ ...maxConnections, limiter: limits, clock, proxies, metrics, log });
  const io = createSocketServer(http, { adapter: cluster.socketAdapter, mayCall, door, floods });
  const backlog = createBacklog(io, { clock, metrics });
  const fanout = createFanout(io, alone);
  const failed = (err: unknown) => log.warn({ why: reasonOf(err) }, 'the keys of the host application cannot be had');
  const hostTokens = config.host && createHostTokens({ host: config.host, clock, failed });
  const core = createCore({
    store,
    cluster: { presence: measuredPresence(cluster.presence, metrics), limiter: cluster.limiter },
    limiter,
    fanout,
    clock,
    passwords,
    tokens: createTokens({
      secret: config.jwtSecret,
      previousSecret: config.jwtSecretPrevious,
      expiresIn: config.jwtExpiresIn,
      clock,
    }),
    hostTokens,
    registration: config.registration,
    newId: () => randomBytes(12).toString('hex'),
    newSecret: () => randomBytes(32).toString('base64url'),
    newTempId: randomUUID,
    sessionIdleMs: config.sessionExpiresIn * 1_000,
    presenceBudget: config.presenceBudget,
    observe: {
      committed: metrics.committed,
      accepted: metrics.accepted,
      repeated: metrics.repeated,
      synced: metrics.synced,
      presenceChanged: metrics.presenceChanged,
      failed: (err) => log.error({ err }, 'background work failed'),
    },
  });
  cluster.onGap(() => {
    log.warn('live events may have been missed: local clients read again');
    metrics.gap();
    fanout.toLocal({ name: 'resync', payload: {} });
  });
  cluster.onLoss((rooms) => {
    log.warn(
      { rooms: rooms?.length ?? 'all' },
      'live events may not have reached other nodes: their clients read again',
    );
    for (const room of rooms ?? [undefined]) fanout.toRoom(room, { name: 'resync', payload: {} });
  });
  const guard = guardSockets(io, core, clock);
  const followers = createFollowers(core.conversations, (err, user) =>
    log.error({ err, user }, 'a conversation could not be told'),
  );
  const bindEvents = createEventBinder({
    handlers: createEventHandlers(core, guard.renew),
    limiter: limits,
    unknownEvent: (socket) => floods?.unknownEvent(socket),
    served: followers.served,
    backlog,
    metrics,
    log,
  });
  admitUsers(io, { core, cluster, door, guard, floods, bindEvents, followers, metrics, log });
  const { authenticate } = core.accounts;
  const api = bindRoutes({ handlers: createRouteHandlers(core), authenticate, limiter: limits, backlog, metrics });
  return { io, core, passwords, hostTokens, api };
}

interface Running extends Parts {
  io: Server;
  connections: Connections;
  core: Core;
  passwords: { close(): Promise<void> };
  hostTokens: { close(): void } | undefined;
  health: Health;
}

async function stop({ config, log, http, store, cluster, io, core, ...rest }: Running): Promise<void> {
  const { connections, passwords, hostTokens, health } = rest;
  log.info('stopping');
  health.drain();
  // A worker does not listen itself. Its server would be closed at once, and all sockets with it.
  if (http.listening) http.close();
  await drain(io, config.drainMs);
  await Promise.all([core.messages.idle(), core.receipts.idle()]);
  core.presence.close();
  core.sessions.close();
  hostTokens?.close();
  const patience = setTimeout(connections.end, LAST_REQUESTS_MS);
  const patienceForPasswords = setTimeout(passwords.close, LAST_PASSWORDS_MS);
  await Promise.all([io.close(), connections.answered()]);
  clearTimeout(patience);
  clearTimeout(patienceForPasswords);
  connections.end();
  await passwords.close();
  await cluster.close();
  await store.close();
  log.info('stopped');
}

/** @throws Error with an explanation for people when the port cannot be had */
export function listen(http: HttpServer, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    http.once('error', (cause: NodeJS.ErrnoException) => {
      const why = cause.code === 'EADDRINUSE' ? 'is taken; set PORT to another one' : `cannot be used (${cause.code})`;
      reject(new Error(`Port ${port} ${why}`, { cause }));
    });
    http.listen(port, resolve);
  });
}

/** Waits for a backing service; says once what it waits for. */
async function answering({ name, ready }: Dependency, log: Log): Promise<void> {
  for (let said = false; ; said = true) {
    try {
      return await ready();
    } catch (err) {
      // Why in words: at a start this is expected, and a trace would look like a fault.
      if (!said) log.warn({ why: reasonOf(err) }, `waiting for ${name}`);
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
    }
  }
}

/** An adapter's error says the same to everybody; what is behind it helps the operator. */
function reasonOf(error: unknown): string {
  const { message, cause } = error as Error;
  return cause instanceof Error ? cause.message : message;
}

function once<T>(work: () => Promise<T>): () => Promise<T> {
  let result: Promise<T> | undefined;
  return () => (result ??= work());
}
