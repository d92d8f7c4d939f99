// The measure of all things here: Socket.IO alone. Knows nobody, checks nothing, stores nothing.
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Server } from 'socket.io';

const http = createServer();
const io = new Server(http, { perMessageDeflate: false, serveClient: false });
let seq = 0;

io.on('connection', (socket) => {
  const { user } = socket.handshake.auth as { user: string };
  const me = { _id: user, username: `user-${user.slice(-6)}`, isOnline: true };
  socket.join(`user:${user}`);
  socket.on('send_message', ({ receiverId, content, tempId }) => {
    seq += 1;
    const message = {
      _id: seq.toString(16).padStart(24, '0'),
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
