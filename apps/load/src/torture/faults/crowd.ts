// A process of its own: many sockets that do nothing but be there, and come back when they are lost.
import { io } from 'socket.io-client';

const AT_ONCE = 100;

async function gather({ url, tokens, size }: { url: string; tokens: string[]; size: number }): Promise<void> {
  let connected = 0;
  const say = () => process.send?.(connected);
  for (let i = 0; i < size; i++) {
    const socket = io(url, {
      auth: { token: tokens[i % tokens.length] },
      query: { k: `crowd-${i}` },
      transports: ['websocket'],
      forceNew: true,
      // As wide as a client of many should have it.
      reconnectionDelay: 1_000,
      reconnectionDelayMax: 8_000,
      randomizationFactor: 0.9,
    });
    socket.on('connect', () => {
      connected++;
    });
    socket.on('disconnect', () => {
      connected--;
    });
    if (i % AT_ONCE === AT_ONCE - 1) await new Promise<void>((resolve) => socket.once('connect', () => resolve()));
  }
  setInterval(say, 100);
}

process.once('message', (job) => void gather(job as Parameters<typeof gather>[0]));
process.once('disconnect', () => process.exit(0));
