import type { Worker } from 'node:cluster';
import type { Server, Socket } from 'node:net';

/** Connections that the primary holds for a worker: requests with a body, and those on their way to it. */
export interface EntrustedConnections {
  /** Notes which connections this worker is given. */
  watch(worker: Worker): void;
  /** The worker has got it: the primary lets go of its own end, and the connection is the worker's. */
  taken(key: string): void;
  /** The worker is dead: nobody would ever answer them, and their clients would wait in vain. */
  drop(worker: Worker): void;
}

interface StickyMessage {
  type?: string;
  /** Added here: under which key the worker reports that it has got the connection. */
  key?: string;
  /** Of a request with a body: its client's address, which is all that the sticky module tells of it. */
  socketInfo?: Socket;
}
type Send = (message: StickyMessage, ...rest: unknown[]) => boolean;

const keyOf = ({ remoteAddress, remotePort }: Pick<Socket, 'remoteAddress' | 'remotePort'>) =>
  `${remoteAddress} ${remotePort}`;

/**
 * A connection that was sent to a worker which dies before it reads it is lost: neither the sticky module nor Node ends
 * it, and its client waits until it gives up. So the primary keeps its end of each until the worker has said that it
 * has it. The same goes for requests with a body, whose bytes pass through the primary all the time.
 */
export function createEntrustedConnections(server: Server): EntrustedConnections {
  /** Client's address -> connection, and -> its worker. */
  const open = new Map<string, Socket>();
  const given = new Map<string, Worker>();

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
      const noting: Send = (message, ...rest) => {
        if (message.type === 'sticky:http-chunk-start' && message.socketInfo)
          given.set(keyOf(message.socketInfo), worker);
        if (message.type !== 'sticky:connection') return send(message, ...rest);
        const [socket, done] = rest as [Socket, unknown];
        const key = keyOf(socket);
        given.set(key, worker);
        // From here on the worker reads; both ends of it are open until it has said so.
        socket.pause();
        return send({ ...message, key }, socket, { keepOpen: true }, done);
      };
      worker.send = noting as Worker['send'];
    },
    taken(key) {
      open.get(key)?.destroy();
    },
    drop(worker) {
      for (const [key, holder] of [...given]) if (holder === worker) open.get(key)?.destroy();
    },
  };
}
