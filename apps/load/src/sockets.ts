import { randomUUID } from 'node:crypto';
import { io, type Socket } from 'socket.io-client';
import type { Account } from './accounts.ts';

/** What every message says. */
export const TEXT = 'The quick brown fox jumps over the lazy dog, and nobody knows why it does.';
/** Connections that are made side by side. */
const AT_ONCE = 50;

/** As the SDK makes them: rising with time. */
export const newTempId = (): string => `${Date.now().toString(16)}-${randomUUID().slice(0, 13)}`;

export const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** Of values that are sorted. */
export function quantile(sorted: number[], q: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))] ?? Number.NaN;
}

/** A stock client for each account, in their order; resolves when all are connected. */
export async function connectAll(accounts: Account[]): Promise<Socket[]> {
  const sockets: Socket[] = [];
  for (const { url, auth } of accounts) {
    const socket = io(url, { auth, transports: ['websocket'], forceNew: true });
    sockets.push(socket);
    if (sockets.length % AT_ONCE === 0) await connected(socket);
  }
  await Promise.all(sockets.map(connected));
  return sockets;
}

const connected = (socket: Socket): Promise<void> | void =>
  socket.connected ? undefined : new Promise((resolve) => socket.once('connect', () => resolve()));
