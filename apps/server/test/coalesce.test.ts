import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo, Socket as TcpSocket } from 'node:net';
import { Server, type Socket as ServerSocket } from 'socket.io';
import { io } from 'socket.io-client';
import { expect, test } from 'vitest';
import { coalesceWrites } from '../src/socket/coalesce.ts';

test.each([
  ['websocket alone', ['websocket']],
  ['polling first, as stock clients do', ['polling', 'websocket']],
])('C8 packets of one turn leave together: %s', async (_, transports) => {
  const http = createServer();
  await using server = new AsyncDisposableStack();
  const sockets = new Server(http);
  server.defer(() => sockets.close());
  await once(http.listen(0, '127.0.0.1'), 'listening');
  const upgraded = once(http, 'upgrade');
  const connected = new Promise<ServerSocket>((resolve) => sockets.once('connection', resolve));
  const client = io(`http://127.0.0.1:${(http.address() as AddressInfo).port}`, { transports, forceNew: true });
  server.defer(() => void client.close());
  const socket = await connected;
  coalesceWrites(socket);
  const [, tcp] = (await upgraded) as [unknown, TcpSocket];
  if (socket.conn.transport.name !== 'websocket') await once(socket.conn, 'upgrade');
  const heard = new Promise((resolve) => client.once('second', resolve));
  socket.emit('first');
  expect(tcp.writableCorked).toBe(1);
  socket.emit('second');
  expect(tcp.writableCorked).toBe(1);
  await heard;
  expect(tcp.writableCorked).toBe(0);
});
