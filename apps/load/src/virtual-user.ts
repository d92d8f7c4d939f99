// The steps of Artillery's virtual users: a pair of people who write to each other, each with a stock client. Artillery's
// own Socket.IO engine waits for ever for an acknowledgement that is lost, and measures nothing at the receiver.
import { randomUUID } from 'node:crypto';
import { io, type Socket } from 'socket.io-client';

const PATIENCE_MS = 10_000;
/** All users drop their connections when the clock stands at a multiple of this, in whatever process they are. */
const STORM_EVERY_MS = 10_000;
/** Ends of a connection that a step asked for. */
const WANTED = ['io client disconnect', 'forced close'];

type Pair = [Socket, Socket];

/** What Artillery hands from step to step: a row of accounts, and what steps leave for each other. */
export interface VirtualUser {
  vars: { target: string; token: string; id: string; peerToken: string; peerId: string };
  pair?: Pair;
}

/** Artillery's events: a histogram takes milliseconds here, a counter adds. */
export interface Meter {
  emit(kind: 'histogram' | 'counter', name: string, value: number): unknown;
}

type Step = (user: VirtualUser, meter: Meter) => Promise<void>;

/** After a step that fails Artillery runs no other, so what is open is closed here. */
const step =
  (work: Step): Step =>
  async (user, meter) => {
    try {
      await work(user, meter);
    } catch (error) {
      close(user);
      throw error;
    }
  };

const close = ({ pair }: VirtualUser): void => pair?.forEach((socket) => void socket.disconnect());

async function within<T>(work: Promise<T>, what: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(what)), PATIENCE_MS);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

const since = (start: number): number => performance.now() - start;

async function open(url: string, token: string, meter: Meter): Promise<Socket> {
  const start = performance.now();
  const socket = io(url, { auth: { token }, query: { k: randomUUID() }, transports: ['websocket'], forceNew: true });
  socket.on('disconnect', (reason) => {
    if (!WANTED.includes(reason)) meter.emit('counter', 'duet.disconnected', 1);
  });
  try {
    await within(
      new Promise<void>((resolve, reject) => {
        socket.once('connect', resolve);
        socket.once('connect_error', (error) => reject(new Error(codeOf(error))));
      }),
      'no answer to connect',
    );
  } catch (error) {
    socket.disconnect();
    throw error;
  }
  meter.emit('histogram', 'duet.connect_ms', since(start));
  return socket;
}

/** Few words: Artillery makes a counter of each. */
const codeOf = (error: Error & { data?: { code?: string } }): string => `connect ${error.data?.code ?? 'failed'}`;

/** Both people come online. */
export const connect = step(async (user, meter) => {
  // Counters that nothing has raised would not be in the report, and no condition could ask for zero.
  for (const name of ['sent', 'unanswered', 'refused', 'undelivered', 'disconnected'])
    meter.emit('counter', `duet.${name}`, 0);
  const { target, token, peerToken } = user.vars;
  const opened = await Promise.allSettled([token, peerToken].map((each) => open(target, each, meter)));
  user.pair = opened.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : [])) as Pair;
  const failed = opened.find(({ status }) => status === 'rejected') as PromiseRejectedResult | undefined;
  if (failed) throw failed.reason;
});

/** One writes, the other gets it: measures until the acknowledgement, and until it is there. */
export const send = step(async ({ vars, pair }, meter) => {
  const turned = Math.random() < 0.5;
  const [from, to] = (turned ? (pair as Pair).toReversed() : pair) as Pair;
  const tempId = randomUUID();
  const content = `${tempId}: the quick brown fox jumps over the lazy dog, and nobody knows why`;
  const start = performance.now();
  const arrived = arrival(to, content).then(
    () => meter.emit('histogram', 'duet.e2e_ms', since(start)),
    () => meter.emit('counter', 'duet.undelivered', 1),
  );
  meter.emit('counter', 'duet.sent', 1);
  try {
    const payload = { receiverId: turned ? vars.id : vars.peerId, content, tempId };
    const answer = await from.timeout(PATIENCE_MS).emitWithAck('send_message', payload);
    if (answer.ok) meter.emit('histogram', 'duet.ack_ms', since(start));
    else meter.emit('counter', 'duet.refused', 1);
  } catch {
    meter.emit('counter', 'duet.unanswered', 1);
  }
  await arrived;
});

async function arrival(socket: Socket, content: string): Promise<void> {
  let listener: (event: { message: { content: string } }) => void = () => {};
  const came = new Promise<void>((resolve) => {
    listener = ({ message }) => message.content === content && resolve();
    socket.on('receive_message', listener);
  });
  try {
    await within(came, 'no such message');
  } finally {
    socket.off('receive_message', listener);
  }
}

/** Both connections break, at the same moment as those of everybody else, and come back by themselves. */
export const drop = step(async ({ pair }, meter) => {
  await new Promise((resolve) => setTimeout(resolve, STORM_EVERY_MS - (Date.now() % STORM_EVERY_MS)));
  const back = (pair as Pair).map(async (socket) => {
    const start = performance.now();
    const connected = new Promise<void>((resolve) => socket.once('connect', resolve));
    socket.io.engine.close();
    await within(connected, 'did not come back');
    meter.emit('histogram', 'duet.reconnect_ms', since(start));
  });
  await Promise.all(back);
});

/** Both go offline. */
export const leave: Step = async (user) => close(user);
