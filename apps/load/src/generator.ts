// A process of its own, so that it can be pinned: takes a job on its channel, answers with what it measured.
import { randomUUID } from 'node:crypto';
import { io, type Socket } from 'socket.io-client';
import type { Account } from './accounts.ts';

export type Job =
  | { what: 'closed'; url: string; accounts: Account[]; inFlight: number; warmUpMs: number; measureMs: number }
  | { what: 'open'; url: string; accounts: Account[]; perSecond: number; measureMs: number }
  | { what: 'idle'; url: string; accounts: Account[]; sockets: number };

export interface Measured {
  messages: number;
  seconds: number;
  /** Time until the sender's acknowledgement, in milliseconds. */
  p50: number;
  p99: number;
}

/** Sent when measuring begins and ends, so that the server's CPU can be read at the same moments. */
export type Signal = { signal: 'begin' } | { signal: 'end'; measured: Measured } | { signal: 'connected' };

const TEXT = 'The quick brown fox jumps over the lazy dog, and nobody knows why it does.';
/** As the SDK makes them: rising with time. */
const newTempId = (): string => `${Date.now().toString(16)}-${randomUUID().slice(0, 13)}`;
const say = (signal: Signal) => process.send?.(signal);

async function connectAll(url: string, accounts: Account[]): Promise<Socket[]> {
  const sockets: Socket[] = [];
  for (const { auth } of accounts) {
    const socket = io(url, { auth, transports: ['websocket'], forceNew: true });
    sockets.push(socket);
    if (sockets.length % 50 === 0) await connected(socket);
  }
  await Promise.all(sockets.map(connected));
  return sockets;
}

const connected = (socket: Socket): Promise<void> | void =>
  socket.connected ? undefined : new Promise((resolve) => socket.once('connect', () => resolve()));

function quantile(sorted: number[], q: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))] ?? Number.NaN;
}

/** Counts a message as done when its sender knows it is stored and its receiver has it. */
function createMeter() {
  const halves = new Map<string, number>();
  const latencies: number[] = [];
  let done = 0;
  let measuring = false;
  let startedAt = 0;
  return {
    begin() {
      measuring = true;
      startedAt = performance.now();
      say({ signal: 'begin' });
    },
    acknowledged: (sentAt: number) => measuring && latencies.push(performance.now() - sentAt),
    /** @returns true at the second half */
    half(id: string): boolean {
      const count = (halves.get(id) ?? 0) + 1;
      if (count === 1) halves.set(id, count);
      else halves.delete(id);
      if (count === 2 && measuring) done += 1;
      return count === 2;
    },
    end() {
      const seconds = (performance.now() - startedAt) / 1000;
      const sorted = latencies.sort((a, b) => a - b);
      say({
        signal: 'end',
        measured: { messages: done, seconds, p50: quantile(sorted, 0.5), p99: quantile(sorted, 0.99) },
      });
    },
  };
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** Sockets are paired; each keeps `inFlight` messages under way to its partner. */
async function closedLoop(job: Job & { what: 'closed' }): Promise<void> {
  const sockets = await connectAll(job.url, job.accounts);
  const meter = createMeter();
  const sentAt = new Map<string, { at: number; again: () => void }>();
  let stopped = false;

  const finish = (id: string, tempId: string) => {
    if (!meter.half(id)) return;
    const again = waiting.get(id) ?? sentAt.get(tempId)?.again;
    waiting.delete(id);
    if (!stopped) again?.();
  };
  const waiting = new Map<string, () => void>();

  for (const [i, socket] of sockets.entries()) {
    const partner = job.accounts[i ^ 1]?.id;
    const send = () => {
      const tempId = newTempId();
      sentAt.set(tempId, { at: performance.now(), again: send });
      socket.emit('send_message', { receiverId: partner, content: TEXT, tempId });
    };
    socket.on('message_sent', ({ message, tempId }) => {
      const sent = sentAt.get(tempId);
      if (!sent) return;
      meter.acknowledged(sent.at);
      sentAt.delete(tempId);
      waiting.set(message._id, sent.again);
      finish(message._id, tempId);
    });
    socket.on('receive_message', ({ message }) => finish(message._id, ''));
    for (let k = 0; k < job.inFlight; k++) send();
  }
  await pause(job.warmUpMs);
  meter.begin();
  await pause(job.measureMs);
  meter.end();
  stopped = true;
}

/** A steady stream, whatever the server does: what users feel while something else happens. */
async function openLoop(job: Job & { what: 'open' }): Promise<void> {
  const sockets = await connectAll(job.url, job.accounts);
  const meter = createMeter();
  const sentAt = new Map<string, number>();
  for (const socket of sockets) {
    socket.on('message_sent', ({ message, tempId }) => {
      meter.acknowledged(sentAt.get(tempId) ?? 0);
      sentAt.delete(tempId);
      meter.half(message._id);
    });
    socket.on('receive_message', ({ message }) => meter.half(message._id));
  }
  meter.begin();
  const begin = performance.now();
  for (let n = 0; performance.now() - begin < job.measureMs; n++) {
    const due = begin + (n * 1000) / job.perSecond;
    if (due > performance.now()) await pause(due - performance.now());
    const from = n % sockets.length;
    const tempId = newTempId();
    sentAt.set(tempId, performance.now());
    sockets[from]?.emit('send_message', {
      receiverId: job.accounts[(from + 1) % sockets.length]?.id,
      content: TEXT,
      tempId,
    });
  }
  await pause(1_000);
  meter.end();
}

/** Sockets that do nothing, several for each account. */
async function idle(job: Job & { what: 'idle' }): Promise<void> {
  const many = Array.from({ length: job.sockets }, (_, i) => job.accounts[i % job.accounts.length] as Account);
  await connectAll(job.url, many);
  say({ signal: 'connected' });
}

process.on('message', (job: Job) => {
  if (job.what === 'closed') void closedLoop(job);
  else if (job.what === 'open') void openLoop(job);
  else void idle(job);
});
process.on('disconnect', () => process.exit(0));
