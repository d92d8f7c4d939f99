import type { Server as HttpServer, IncomingMessage } from 'node:http';
import { errorBody, errorTable, toDuetError } from '@duet/contract';
import type { Cluster, Core } from '@duet/core';
import { Server, type ServerOptions, type Socket } from 'socket.io';
import type { Log } from '../ops/log.ts';
import type { Metrics } from '../ops/metrics.ts';
import type { OriginRule } from '../origins.ts';
import { coalesceWrites } from './coalesce.ts';
import type { Door } from './door.ts';
import { roomOf, WATCHERS } from './fanout.ts';
import type { FloodGuard } from './floods.ts';
import type { Followers } from './follow.ts';
import type { Guard } from './guard.ts';
import { createWatchers } from './watchers.ts';

/** Bytes of one packet: the longest message, escaped, fits. */
const MAX_PACKET = 64 * 1024;
/** A peer that is gone without a word is noticed after the sum; proxies must wait longer than that. */
const PING_INTERVAL_MS = 20_000;
const PING_TIMEOUT_MS = 15_000;
const CONNECT_TIMEOUT_MS = 10_000;
/** How the text of a message to a socket begins. */
const DELIVERY = '2["receive_message",';

export interface SocketServerOptions {
  adapter: unknown;
  mayCall: OriginRule;
  door: Door;
  /** undefined: no limits. */
  floods?: FloodGuard | undefined;
}

/** The library's client and its source maps, for pages that do not bring their own. */
const CLIENT_FILES = '/socket.io/socket.io';

const ignore = () => {};
/**
 * Node takes its own listener off a connection that is to become a websocket, and the library puts one on when it is
 * one: between the two a reset would end the process.
 */
function hearErrors(socket: IncomingMessage['socket']): void {
  if (socket.listenerCount('error') === 0) socket.on('error', ignore);
}

/** The Socket.IO server of a node, not yet open for users: `admitUsers` does that. */
export function createSocketServer(http: HttpServer, options: SocketServerOptions): Server {
  const { adapter, mayCall, door, floods } = options;
  const mayEnter = (req: IncomingMessage) =>
    mayCall(req.headers.origin, req.headers.host) && (floods?.mayOpen(req) ?? true);
  const io = new Server(http, {
    ...(adapter === undefined ? {} : { adapter: adapter as NonNullable<ServerOptions['adapter']> }),
    maxHttpBufferSize: MAX_PACKET,
    pingInterval: PING_INTERVAL_MS,
    pingTimeout: PING_TIMEOUT_MS,
    connectTimeout: CONNECT_TIMEOUT_MS,
    // Connection state recovery stays off: it skips authentication, and the store knows better what was missed.
    perMessageDeflate: false,
    cors: (req: { headers: { origin?: string; host?: string } }, done: (error: null, options: object) => void) =>
      done(null, { origin: mayCall(req.headers.origin, req.headers.host) }),
    // CORS does not hold for WebSockets, so the origin is checked here for both transports.
    allowRequest: (req, done) => {
      const { socket } = req;
      hearErrors(socket);
      if (!mayEnter(req)) return done(null, false);
      door.knock(() => {
        if (socket.destroyed || socket.readableEnded) {
          socket.destroy();
          return false;
        }
        // Again: others of the same network may have entered since.
        const enters = mayEnter(req);
        done(null, enters);
        return enters;
      });
    },
  } as Partial<ServerOptions>);
  // The library compresses its client anew, and as well as it can, for everybody who downloads it: half a second of CPU
  // for a request that nobody is asked to sign in for.
  http.prependListener('request', (req: IncomingMessage) => {
    if (req.url?.startsWith(CLIENT_FILES)) delete req.headers['accept-encoding'];
  });
  floods?.watch(io);
  return io;
}

/** The sockets of a node by transport; none while there is no server yet. */
export function countSockets(io: Server | undefined): { websocket: number; polling: number } {
  const count = { websocket: 0, polling: 0 };
  for (const { conn } of io?.of('/').sockets.values() ?? [])
    count[conn.transport.name === 'polling' ? 'polling' : 'websocket'] += 1;
  return count;
}

export interface AdmitDeps {
  core: Core;
  cluster: Cluster;
  door: Door;
  guard: Guard;
  /** undefined: no limits. */
  floods: FloodGuard | undefined;
  bindEvents: (socket: Socket) => void;
  followers: Followers;
  metrics: Metrics;
  log: Log;
}

/** Lets users in: authentication, their room, their events, their presence. */
export function admitUsers(
  io: Server,
  { core, cluster, door, guard, floods, bindEvents, followers, metrics, log }: AdmitDeps,
): void {
  io.use((socket, next) => {
    const enter = async () => {
      await guard.authenticate(socket);
      await (floods ? floods.admit(socket, () => join(socket)) : join(socket));
    };
    door.pass(enter).then(
      () => next(),
      (thrown: unknown) => {
        const error = toDuetError(thrown);
        metrics.error(error.code);
        if (error.code === 'INTERNAL') log.error({ err: error }, 'handshake failed');
        // After a refusal the stock client stays away for good; after a lost connection it comes back by itself.
        if (errorTable[error.code].retry === 'same') socket.conn.close();
        next(Object.assign(new Error(error.message), { data: errorBody(error) }));
      },
    );
  });

  const watchers = createWatchers(core.privacy);

  /** The room is known to all nodes before the client hears that it is connected: what it reads then misses nothing. */
  async function join(socket: Socket): Promise<void> {
    await socket.join([roomOf(socket.data.user), WATCHERS]);
    // Without it live events may be missed, but the store answers: better than no chat. The gap is told when it ends.
    const start = performance.now();
    await cluster.fence().catch((err) => log.warn({ err }, 'live events may be late'));
    metrics.fenced((performance.now() - start) / 1000);
    await watchers.admit(socket);
  }

  io.on('connection', (socket) => {
    const user: string = socket.data.user;
    const failed = (err: unknown) => log.error({ err, user }, 'presence of a socket could not be recorded');
    coalesceWrites(socket);
    bindEvents(socket);
    followers.follow(socket);
    // By its text: a listener to events would have each of those that other nodes send put out of words again.
    socket.conn.on('packetCreate', ({ data }: { data?: unknown }) => {
      if (typeof data !== 'string') return;
      if (data.startsWith(DELIVERY)) return metrics.delivered();
      guard.overhear(socket, data);
      watchers.overhear(socket, data);
    });
    // It is gone by now, without a `disconnect` that could still be heard: presence would keep it for good.
    if (!guard.watch(socket)) return;
    const registered = core.presence.connected(user, socket.id).catch(failed);
    socket.on('disconnect', (reason) => {
      // There is nothing else to be connected to; what waits for it would count for nobody.
      if (reason === 'client namespace disconnect') socket.conn.close(true);
      registered.then(() => core.presence.disconnected(user, socket.id)).catch(failed);
    });
  });
}

/**
 * Closes all sockets of this node, spread at random over `ms`, so that they do not all arrive at the other nodes at
 * once. Their clients reconnect by themselves, which they would not after `disconnect()`.
 */
export async function drain(io: Server, ms: number): Promise<void> {
  const closings = [...io.of('/').sockets.values()].map(
    (socket) =>
      new Promise<void>((resolve) => {
        setTimeout(() => {
          socket.conn.close();
          resolve();
        }, Math.random() * ms);
      }),
  );
  await Promise.all(closings);
}
