// A process of its own, so that it can be pinned: takes a job on its channel, answers with what it measured.
import type { Account } from './accounts.ts';
import { connectAll, newTempId, pause, quantile, TEXT } from './sockets.ts';

export type Job =
  | { what: 'closed'; accounts: Account[]; inFlight: number; warmUp: Span; measure: Span }
  | { what: 'open'; accounts: Account[]; perSecond: number; measureMs: number }
  | { what: 'idle'; accounts: Account[]; sockets: number };

/** Lasts at least that long, and at least so many messages; code that has run little is slow. */
export interface Span {
  ms: number;
  messages: number;
}

export interface Measured {
  messages: number;
  seconds: number;
  /** Time until the sender's acknowledgement, in milliseconds. */
  p50: number;
  p99: number;
}

/** Sent when measuring begins and ends, so that the server's CPU can be read at the same moments. */
export type Signal = { signal: 'begin' } | { signal: 'end'; measured: Measured } | { signal: 'connected' };

const say = (signal: Signal) => process.send?.(signal);

/** Counts a message as done when its sender knows it is stored and its receiver has it. */
function createMeter() {
  const halves = new Map<string, number>();
  const latencies: number[] = [];
  let total = 0;
  let done = 0;
  let measuring = false;
  let startedAt = 0;
  return {
    begin() {
      measuring = true;
      startedAt = performance.now();
      say({ signal: 'begin' });
    },
    /** Messages done since the start. */
    total: () => total,
    acknowledged: (sentAt: number) => measuring && latencies.push(performance.now() - sentAt),
    /** @returns true at the second half */
    half(id: string): boolean {
      const count = (halves.get(id) ?? 0) + 1;
      if (count === 1) halves.set(id, count);
      else halves.delete(id);
      if (count === 2) {
        total += 1;
        if (measuring) done += 1;
      }
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

async function lasts(span: Span, total: () => number): Promise<void> {
  const end = total() + span.messages;
  await pause(span.ms);
  while (total() < end) await pause(100);
}

/** Sockets are paired; each keeps `inFlight` messages under way to its partner. */
async function closedLoop(job: Job & { what: 'closed' }): Promise<void> {
  const sockets = await connectAll(job.accounts);
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
  await lasts(job.warmUp, meter.total);
  meter.begin();
  await lasts(job.measure, meter.total);
  meter.end();
  stopped = true;
}

/** A steady stream, whatever the server does: what users feel while something else happens. */
async function openLoop(job: Job & { what: 'open' }): Promise<void> {
  const sockets = await connectAll(job.accounts);
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
  await connectAll(many);
  say({ signal: 'connected' });
}

process.on('message', (job: Job) => {
  if (job.what === 'closed') void closedLoop(job);
  else if (job.what === 'open') void openLoop(job);
  else void idle(job);
});
process.on('disconnect', () => process.exit(0));
