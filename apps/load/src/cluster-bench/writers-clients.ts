import type { Socket } from 'socket.io-client';
import type { Account } from '../accounts.ts';
import { connectAll, newTempId, pause, quantile, TEXT } from '../sockets.ts';
import type { Job, Report } from './jobs.ts';

/** A message that was acknowledged. */
export interface Sent {
  id: string;
  sender: string;
  receiver: string;
}

export interface Written {
  /** Acknowledgements of this step, in milliseconds. */
  p50: number;
  p99: number;
  sent: Sent[];
  /** Messages received live in this step, by their ids. */
  received: string[];
}

/** The first seconds are those of code that has run little. */
const WARM_UP_MS = 5_000;

/** Writes to anybody of `receivers` at a steady rate, whatever the servers do. A step is what happens until the next. */
export async function writers(job: Job & { what: 'writers' }, report: Report<'writers'>): Promise<void> {
  const sockets = await connectAll(job.accounts);
  let latencies: number[] = [];
  let sent: Sent[] = [];
  let received: string[] = [];
  for (const socket of sockets) {
    socket.on('receive_message', ({ message }: { message: { _id: string } }) => received.push(message._id));
  }

  async function write(n: number): Promise<void> {
    const socket = sockets[n % sockets.length] as Socket;
    const { id: sender } = job.accounts[n % sockets.length] as Account;
    const receiver = job.receivers[Math.floor(Math.random() * job.receivers.length)] as string;
    if (receiver === sender) return;
    const at = performance.now();
    const payload = { receiverId: receiver, content: TEXT, tempId: newTempId() };
    const answer = await socket.emitWithAck('send_message', payload);
    latencies.push(performance.now() - at);
    if (answer.ok) sent.push({ id: answer.data.message._id, sender, receiver });
  }

  async function run(): Promise<void> {
    const begin = performance.now();
    for (let n = 0; ; n++) {
      const due = begin + (n * 1000) / job.perSecond;
      await pause(Math.max(0, due - performance.now()));
      void write(n);
    }
  }

  function take(): Written {
    const sorted = latencies.sort((a, b) => a - b);
    const written = { p50: quantile(sorted, 0.5), p99: quantile(sorted, 0.99), sent, received };
    latencies = [];
    sent = [];
    received = [];
    return written;
  }

  void run();
  await pause(WARM_UP_MS);
  for (;;) await report(take());
}
