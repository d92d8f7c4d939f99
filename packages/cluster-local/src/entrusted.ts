import type { Worker } from 'node:cluster';
import type { Server, Socket } from 'node:net';

/** Connections on their way from the primary to a worker. */
export interface EntrustedConnections {
  /** Notes which connections this worker is given. */
  watch(worker: Worker): void;
  /** The worker serves. Until then, what would be its goes to others that do. */
  serves(worker: Worker): void;
  /** The worker has got it: the primary lets go of its own end, and the connection is the worker's. */
  taken(key: string): void;
  /** The worker is dead: nobody would ever answer those on their way, and their clients would wait in vain. */
  drop(worker: Worker): void;
}

interface StickyMessage {
  type?: string;
  /** What the primary has read. */
  data?: Buffer | undefined;
  /** Added here: under which key the worker reports that it has got the connection. */
  key?: string;
  /** Of a request with a body that begins: its client's address, which is all that the sticky module tells of it. */
  socketInfo?: Socket;
}
type Send = (message: StickyMessage, ...rest: unknown[]) => boolean;

const keyOf = ({ remoteAddress, remotePort }: Pick<Socket, 'remoteAddress' | 'remotePort'>) =>
  `${remoteAddress} ${remotePort}`;

/**
 * A connection that was sent to a worker which dies before it reads it is lost: neither the sticky module nor Node ends
 * it, and its client waits until it gives up. So the primary keeps its end of each until the worker has said that it
 * has it.
 *
 * Connections whose request has a body go the same way. The sticky module would keep them and pass every byte on, with
 * no limit to what a client does not read; it does so because two processes that read one connection share its bytes
 * out at random. Here the primary stops reading.
 * @param server its `highWaterMark` is 1, so that a connection is full with the first bytes that are read from it
 */
export function createEntrustedConnections(server: Server): EntrustedConnections {
  /** Client's address -> connection, and -> its worker. */
  const open = new Map<string, Socket>();
  const given = new Map<string, Worker>();
  /** First who has taken something for another one longest ago. */
  const serving = new Set<Worker>();

  /** Who takes what is meant for this worker: the sticky module has workers that only run take part. */
  function takerFor(worker: Worker): Worker {
    if (serving.has(worker)) return worker;
    const [taker = worker] = serving;
    if (serving.delete(taker)) serving.add(taker);
    return taker;
  }

  server.on('connection', (socket: Socket) => {
    const key = keyOf(socket);
    open.set(key, socket);
    socket.once('close', () => {
      open.delete(key);
      given.delete(key);
    });
  });

  return {
    watch(worker) {
      const send = worker.send.bind(worker) as Send;
      const handOver: Send = (message, ...rest) => {
        const { type, data, socketInfo } = message;
        const socket = type === 'sticky:connection' ? (rest[0] as Socket) : socketInfo && open.get(keyOf(socketInfo));
        if (!socket) return send(message, ...rest);
        const taker = takerFor(worker);
        if (taker !== worker) return (taker.send as Send)(message, ...rest);
        const key = keyOf(socket);
        given.set(key, worker);
        // From here on the worker reads; both ends of it are open until it has said so. A stream that is paused reads
        // on until it is full, which this one is with what it has read.
        socket.pause();
        socket.unshift(data);
        return send({ type: 'sticky:connection', data, key }, socket, { keepOpen: true }, rest.at(-1));
      };
      worker.send = handOver as Worker['send'];
    },
    serves(worker) {
      serving.add(worker);
    },
    taken(key) {
      open.get(key)?.destroy();
    },
    drop(worker) {
      serving.delete(worker);
      for (const [key, holder] of [...given]) if (holder === worker) open.get(key)?.destroy();
    },
  };
}
