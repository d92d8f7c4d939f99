import { ServerResponse } from 'node:http';
import { DuetError } from '@duet/contract';
import type { Clock } from '@duet/core';
import type { Server, Socket } from 'socket.io';
import type { Metrics } from '../ops/metrics.ts';
import { roomOf } from './fanout.ts';

type Connection = Socket['conn'];
interface Packet {
  data?: unknown;
}

/** Packets that may wait for a socket; one that reads slower is closed and catches up from the store. */
const MAX_WAITING_PACKETS = 2_000;
/** Bytes that may wait for a socket: the longest answer to a sync, which is 12 MB, and what a slow reader had before. */
const MAX_WAITING_BYTES = 16 * 1024 * 1024;
/** With so many bytes before it on its socket, or the above for its user, a long answer is not begun. */
const MAX_BEFORE_LONG = 3 * 1024 * 1024;
const LOOK_EVERY_MS = 1_000;
/** Whoever has waited for his turn for so long waits behind a store that is stuck. */
const TURN_WITHIN_MS = 4_000;
const RETRY_AFTER_MS = 1_000;
/** A client that does not answer the end of its websocket is cut off: the library would wait for it for 30 s. */
const GOODBYE_MS = 1_000;

export interface Backlog {
  /**
   * Makes and writes a long answer: one for each user at a time, and none to whom enough waits already.
   * @throws DuetError RATE_LIMITED while the user has to read first, UNAVAILABLE when his turn comes too late
   */
  inTurn(user: string, answer: () => Promise<void>, way: Connection | ServerResponse): Promise<void>;
}

export interface BacklogDeps {
  clock: Pick<Clock, 'elapsed'>;
  metrics: Pick<Metrics, 'slowConsumer'>;
}

/**
 * Knows what is written and not read, wherever it waits: neither Engine.IO nor Node have a limit of their own, and a
 * client that answers pings need not read anything.
 */
export function createBacklog(io: Server, { clock, metrics }: BacklogDeps): Backlog {
  const namespace = io.of('/');
  const answers = createAnswers();

  const waitingFor = (conn: Connection) => sumOf(packetsOf(conn)) + websocketBytes(conn) + answers.unread(conn);

  function waitingForUser(user: string): number {
    let bytes = answers.unread(user);
    for (const id of namespace.adapter.rooms.get(roomOf(user)) ?? []) {
      const socket = namespace.sockets.get(id);
      if (socket) bytes += waitingFor(socket.conn);
    }
    return bytes;
  }

  function closeSlow(conn: Connection): void {
    metrics.slowConsumer();
    // Discards what waits: flushing it first would wait for the reader that does not read.
    conn.close(true);
  }

  function watch(conn: Connection): void {
    // A poll that was answered is forgotten by Engine.IO, read or not.
    conn.on('flush', (packets: Packet[]) => {
      const { res } = conn.transport as unknown as { res?: ServerResponse };
      if (res) answers.add(conn, res, sumOf(packets));
    });
    conn.once('close', () => {
      const websocket = (conn.transport as { socket?: { terminate?(): void } }).socket;
      setTimeout(() => {
        websocket?.terminate?.();
        answers.destroy(conn);
      }, GOODBYE_MS).unref();
    });
  }

  io.engine.on('connection', watch);
  const timer = setInterval(() => {
    for (const { conn } of namespace.sockets.values())
      if (packetsOf(conn).length > MAX_WAITING_PACKETS || waitingFor(conn) > MAX_WAITING_BYTES) closeSlow(conn);
  }, LOOK_EVERY_MS);
  timer.unref();
  io.httpServer.once('close', () => clearInterval(timer));

  const inTurn = createTurns();
  return {
    inTurn(user, answer, way) {
      const since = clock.elapsed();
      return inTurn(user, async () => {
        if (clock.elapsed() - since > TURN_WITHIN_MS)
          throw new DuetError('UNAVAILABLE', { retryAfterMs: RETRY_AFTER_MS });
        const isResponse = way instanceof ServerResponse;
        const isSlow = !isResponse && waitingFor(way) > MAX_BEFORE_LONG;
        if (isSlow || waitingForUser(user) > MAX_WAITING_BYTES)
          throw new DuetError('RATE_LIMITED', { retryAfterMs: RETRY_AFTER_MS });
        await answer();
        if (isResponse) answers.add(user, way, Number(way.getHeader('content-length') ?? 0));
      });
    },
  };
}

const packetsOf = (conn: Connection) => (conn as unknown as { writeBuffer: Packet[] }).writeBuffer;

function sumOf(packets: Packet[]): number {
  let bytes = 0;
  for (const { data } of packets) if (typeof data === 'string') bytes += data.length;
  return bytes;
}

/** What Engine.IO has handed over, whether it waits in the library below it or in the TCP socket. */
const websocketBytes = ({ transport }: Connection): number =>
  (transport as { socket?: { bufferedAmount?: number } }).socket?.bufferedAmount ?? 0;

/** Answers by HTTP that were written and not read, by the connection or the user whose they are. */
function createAnswers() {
  const unread = new Map<Connection | string, Map<ServerResponse, number>>();
  return {
    unread(owner: Connection | string): number {
      let sum = 0;
      for (const bytes of unread.get(owner)?.values() ?? []) sum += bytes;
      return sum;
    },
    add(owner: Connection | string, response: ServerResponse, bytes: number): void {
      // Whoever has gone reads nothing, and does not close again.
      if (response.closed) return;
      const own = unread.get(owner) ?? new Map<ServerResponse, number>();
      unread.set(owner, own.set(response, bytes));
      response.once('close', () => {
        own.delete(response);
        if (own.size === 0) unread.delete(owner);
      });
    },
    destroy(owner: Connection): void {
      for (const response of unread.get(owner)?.keys() ?? []) response.destroy();
    },
  };
}

/** Work of one user after each other, in the order in which it came. */
function createTurns() {
  const last = new Map<string, Promise<void>>();
  return (user: string, work: () => Promise<void>): Promise<void> => {
    const done = (last.get(user) ?? Promise.resolve()).then(work);
    const settled = done.catch(() => {}).finally(() => last.get(user) === settled && last.delete(user));
    last.set(user, settled as Promise<void>);
    return done;
  };
}
