// The measure of all things here: Socket.IO alone. Knows nobody, checks nothing, stores nothing. With REDIS_URL it is one
// of several, joined by the adapter that ADAPTER names.
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createAdapter, createShardedAdapter } from '@socket.io/redis-adapter';
import { Redis } from 'ioredis';
import { Server } from 'socket.io';

const adapters = { classic: createAdapter, sharded: createShardedAdapter };
const { REDIS_URL, ADAPTER = 'classic' } = process.env;

async function adapterOf(url: string) {
  const clients = [new Redis(url, { lazyConnect: true }), new Redis(url, { lazyConnect: true })] as const;
  await Promise.all(clients.map((client) => client.connect()));
  return adapters[ADAPTER as keyof typeof adapters](...clients);
}

const http = createServer();
const options = { perMessageDeflate: false, serveClient: false };
const io = new Server(http, REDIS_URL ? { ...options, adapter: await adapterOf(REDIS_URL) } : options);
let seq = 0;

io.on('connection', (socket) => {
  const { user } = socket.handshake.auth as { user: string };
  const me = { _id: user, username: `user-${user.slice(-6)}`, isOnline: true };
  socket.join(`user:${user}`);
  socket.on('send_message', ({ receiverId, content, tempId }) => {
    seq += 1;
    const message = {
      // Nodes count for themselves, so a node's port is part of it.
      _id: (seq * 65_536 + (http.address() as AddressInfo).port).toString(16).padStart(24, '0'),
      sender: me,
      receiver: { _id: receiverId, username: `user-${receiverId.slice(-6)}`, isOnline: true },
      content,
      isRead: false,
      messageType: 'text',
      createdAt: new Date().toISOString(),
      seq,
    };
    io.to(`user:${receiverId}`).emit('receive_message', { message });
    socket.emit('message_sent', { message: { ...message, tempId }, tempId });
  });
});

http.listen(0, '127.0.0.1', () => console.log(`http://localhost:${(http.address() as AddressInfo).port}`));
process.on('SIGTERM', () => process.exit(0));
