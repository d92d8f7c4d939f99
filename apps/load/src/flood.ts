import { io, type Socket } from 'socket.io-client';
import { type Account, createAccounts } from './accounts.ts';
import { drive } from './drive.ts';
import type { Line, Progress } from './parts.ts';
import { startSubject } from './subject.ts';

const PER_SECOND = 10_000;
const EVERY_MS = 5;
/** Not so fast that one of them would be told to wait. */
const OTHERS_PER_SECOND = 200;
const OTHERS = 50;

/** Events from one socket as fast as asked for, for as long as it is let; then from the next one. */
function flood({ url, auth }: Account, until: AbortSignal) {
  const sent = { events: 0, cuts: 0 };
  const socket: Socket = io(url, { auth, transports: ['websocket'], forceNew: true, reconnection: false });
  const timer = setInterval(() => {
    if (!socket.connected) return;
    for (let i = 0; i < (PER_SECOND * EVERY_MS) / 1_000; i++) socket.emit('typing_start', { receiverId: i });
    sent.events += (PER_SECOND * EVERY_MS) / 1_000;
  }, EVERY_MS);
  socket.on('disconnect', () => {
    sent.cuts += 1;
    socket.connect();
  });
  socket.on('connect_error', () => setTimeout(() => until.aborted || socket.connect(), 100));
  until.addEventListener('abort', () => {
    clearInterval(timer);
    socket.removeAllListeners().disconnect();
  });
  return sent;
}

/** One client that floods must not slow the others down. Limits are on, as they are where people are. */
export async function floods(progress: Progress, quick: boolean): Promise<Line[]> {
  await using subject = await startSubject('duet', { RATE_LIMITS: 'on', MAX_CONNECTIONS_PER_ADDRESS: '1000' });
  const [attacker, ...accounts] = await createAccounts('duet', subject.url, OTHERS + 1);
  const measureMs = quick ? 5_000 : 20_000;
  const job = { what: 'open' as const, accounts, perSecond: OTHERS_PER_SECOND, measureMs };
  const calm = await drive(subject, job);
  progress(`flood: ack p99 ${calm.p99.toFixed(2)} ms without it`);
  const end = new AbortController();
  const sent = flood(attacker as Account, end.signal);
  const busy = await drive(subject, job);
  end.abort();
  progress(`flood: ack p99 ${busy.p99.toFixed(2)} ms with it; ${sent.events} events sent, cut off ${sent.cuts} times`);
  return (['p50', 'p99'] as const).map((part): Line => {
    const [one, other] = [calm[part], busy[part]];
    const ratio = `${(other / one).toFixed(2)}x`;
    const target = part === 'p99' ? 'at most 1.5x' : '';
    return [`ack ${part}, calm, then beside a flood`, `${one.toFixed(2)} ms`, `${other.toFixed(2)} ms`, ratio, target];
  });
}
