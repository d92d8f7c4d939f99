import type { IncomingMessage } from 'node:http';
import { DuetError, errorBody, limits } from '@duet/contract';
import { type Clock, createMemoryLimiter, type Limiter } from '@duet/core';
import type { Server, Socket } from 'socket.io';
import { addressOf, networkOf } from '../addresses.ts';
import type { Log } from '../ops/log.ts';
import type { Metrics } from '../ops/metrics.ts';
import { roomOf } from './fanout.ts';

type Connection = Socket['conn'];

/** Times the limit by address at which transports are not even opened: up to there they are told why. */
const HARD = 2;
const RETRY_AFTER_MS = 10_000;
/** What a packet costs of `limits.flood` that comes before its sender is known, as one that asks to be let in. */
const STRANGER_COST = 50;
/** What an event costs that no client knows of. */
const UNKNOWN_COST = 10;

/** Whoever was cut off comes back when he may send so many packets at once again. */
const CALM = limits.flood.limit / 2;

const rateLimited = (retryAfterMs: number) => new DuetError('RATE_LIMITED', { retryAfterMs });

export interface FloodDeps {
  limiter: Limiter;
  clock: Clock;
  /** How many proxies are believed. */
  proxies: number;
  /** Sockets that one user, and connections that one address, may have at this process. */
  perUser: number;
  perAddress: number;
  metrics: Metrics;
  log: Log;
}

export interface FloodGuard {
  /** Whether a transport from there may be opened at all. */
  mayOpen(req: IncomingMessage): boolean;
  /** Counts the connections of a server, and their packets. */
  watch(io: Server): void;
  /**
   * Lets the user of a socket in, who is `socket.data.user`.
   * @param join puts it where his sockets are counted
   * @throws DuetError TOO_MANY_CONNECTIONS, RATE_LIMITED
   */
  admit(socket: Socket, join: () => Promise<void>): Promise<void>;
  /** An event came that does not exist. */
  unknownEvent(socket: Socket): void;
}

/**
 * Holds floods off before anything is done about them. Packets are counted as they come out of the transport, whatever
 * they are: refusing each in words would cost as much as serving it, so whoever goes on is disconnected. The counts are
 * the process's own, so that they cost no question.
 */
export function createFloodGuard(deps: FloodDeps): FloodGuard {
  const packets = createMemoryLimiter(deps.clock);
  const addresses = new Map<string, number>();
  /** Sockets that are on their way in, and whose they are: the limiter, and Redis behind it, is asked meanwhile. */
  const entering = new Map<string, string>();
  const admitted = new WeakMap<Connection, Socket>();
  const networkBehind = (req: IncomingMessage) => networkOf(addressOf(req, deps.proxies));
  const countAt = (network: string) => addresses.get(network) ?? 0;
  const bucketOf = (user: string) => `flood:${user}`;

  function cut(conn: Connection): void {
    deps.metrics.limited('flood');
    const socket = admitted.get(conn);
    deps.log.warn({ user: socket?.data.user, address: networkBehind(conn.request) }, 'a flood was cut off');
    // A socket that is still on its way in does not let itself be disconnected.
    if (!socket || entering.has(socket.id)) {
      conn.close(true);
      return;
    }
    const error = errorBody(rateLimited(RETRY_AFTER_MS));
    socket.emit('error', { ...error, event: 'connect' });
    // After this the stock client stays away, which a program in a loop should.
    socket.disconnect(true);
  }

  function count(conn: Connection, cost: number): void {
    const bucket = bucketOf(admitted.get(conn)?.data.user ?? (conn as unknown as { id: string }).id);
    if (!packets.take(bucket, limits.flood, cost).ok) cut(conn);
  }

  function opened(conn: Connection): void {
    const network = networkBehind(conn.request);
    addresses.set(network, countAt(network) + 1);
    conn.once('close', () => {
      const left = countAt(network) - 1;
      if (left > 0) addresses.set(network, left);
      else addresses.delete(network);
    });
    conn.on('packet', () => count(conn, admitted.has(conn) ? 1 : STRANGER_COST));
  }

  /** Sockets of this one's user, those that are not in his room yet included. */
  function held({ data, nsp }: Socket): number {
    const room = nsp.adapter.rooms.get(roomOf(data.user));
    let count = room?.size ?? 0;
    for (const [id, user] of entering) if (user === data.user && !room?.has(id)) count += 1;
    return count;
  }

  function tooMany(): DuetError {
    return new DuetError('TOO_MANY_CONNECTIONS', { retryAfterMs: RETRY_AFTER_MS });
  }

  return {
    mayOpen: (req) => countAt(networkBehind(req)) < HARD * deps.perAddress,
    watch(io) {
      io.engine.on('connection', opened);
    },
    async admit(socket, join) {
      const { user } = socket.data;
      if (held(socket) >= deps.perUser || countAt(networkBehind(socket.conn.request)) > deps.perAddress)
        throw tooMany();
      if (packets.take(bucketOf(user), limits.flood, 0).remaining < CALM) throw rateLimited(RETRY_AFTER_MS);
      entering.set(socket.id, user);
      try {
        const taken = await deps.limiter.take(`connect:${user}`, limits.connect);
        if (!taken.ok) throw rateLimited(taken.retryAfterMs);
        admitted.set(socket.conn, socket);
        await join();
      } finally {
        entering.delete(socket.id);
      }
    },
    unknownEvent: (socket) => count(socket.conn, UNKNOWN_COST),
  };
}
