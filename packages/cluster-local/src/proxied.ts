import type { Worker } from 'node:cluster';
import type { Server, Socket } from 'node:net';

/** Requests whose bytes pass through the primary, because they have a body; by the worker that answers them. */
export interface ProxiedRequests {
  /** Notes which requests this worker is given. */
  watch(worker: Worker): void;
  /** The worker is dead: its requests would never be answered, and their clients would wait in vain. */
  drop(worker: Worker): void;
}

const keyOf = ({ remoteAddress, remotePort }: Pick<Socket, 'remoteAddress' | 'remotePort'>) =>
  `${remoteAddress} ${remotePort}`;

/**
 * The sticky module keeps such a request open when its worker dies. It tells a worker of a request by the address of the
 * client, which also finds the socket here.
 */
export function createProxiedRequests(server: Server): ProxiedRequests {
  const open = new Map<string, Socket>();
  /** Client's address -> worker. */
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
      const { send } = worker;
      worker.send = ((message: { type?: string; socketInfo?: Socket }, ...rest: unknown[]) => {
        if (message.type === 'sticky:http-chunk-start' && message.socketInfo)
          given.set(keyOf(message.socketInfo), worker);
        return (send as (...args: unknown[]) => boolean).call(worker, message, ...rest);
      }) as typeof worker.send;
    },
    drop(worker) {
      for (const [key, holder] of given) if (holder === worker) open.get(key)?.destroy();
    },
  };
}
