import type { Socket as TcpSocket } from 'node:net';
import type { Socket } from 'socket.io';

/** TCP sockets that hold back what is written until the running turn is over. */
const corked = new WeakSet<TcpSocket>();

function holdBack(tcp: TcpSocket): void {
  if (corked.has(tcp)) return;
  corked.add(tcp);
  tcp.cork();
  process.nextTick(() => {
    corked.delete(tcp);
    tcp.uncork();
  });
}

/** Of a websocket. The request that opened the connection was another one's where it began with polling, as stock clients do. */
const tcpOf = (transport: object): TcpSocket | null | undefined =>
  (transport as { socket?: { _socket?: TcpSocket | null } }).socket?._socket;

/**
 * Packets that go to one client within one turn of the event loop leave in one system call instead of one each. After a
 * group commit that is the rule under load, and system calls are the largest part of what a message costs. Nothing waits
 * longer: the turn ends before anything else is read.
 */
export function coalesceWrites(socket: Socket): void {
  const { conn } = socket;
  conn.on('flush', () => {
    const tcp = conn.transport.name === 'websocket' ? tcpOf(conn.transport) : undefined;
    if (tcp) holdBack(tcp);
  });
}
