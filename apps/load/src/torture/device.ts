import type { ServerEvent, ServerEventName } from '@duet/contract';
import { io, type Socket } from 'socket.io-client';
import { createAsks } from './asks.ts';
import type { History } from './history.ts';
import { createOutbox, type Letter } from './outbox.ts';
import type { Random } from './random.ts';
import { createReceipts } from './receipts.ts';
import { createThread, type Thread } from './thread.ts';
import { type People, type Person, rowOf, textOf } from './wire.ts';

const DELIVERED_AFTER_MS = 500;
const HOLE_AFTER_MS = 300;
/** The first pause after a sync that failed; it doubles. */
const AGAIN_AFTER_MS = 1_000;
const LONGEST_PAUSE_MS = 15_000;
const COME_BACK_MS = 500;
const POLL_MS = 30_000;
/** Sent messages that may be sent once more. */
const REMEMBERED = 50;

export interface DeviceOptions {
  person: Person;
  people: People;
  /** `person.device` */
  name: string;
  /** Where it connects. */
  url: string;
  transports: string[];
  /** Whether it comes back when its connection is lost (it does). */
  reconnection?: boolean;
  /** Begins every tempId, so that runs against one server do not meet. */
  run: string;
  history: History;
  random: Random;
  nextTag: () => number;
}

/** A client that does its duties, on the stock library: it stands for all clients of the contract. */
export interface Device extends Omit<ReturnType<typeof createAsks>, 'sync'> {
  person: Person;
  name: string;
  /** Where it connects. */
  url: string;
  socket: Socket;
  threads: Map<number, Thread>;
  /** Writes something, of some length at least; resolves when it is acknowledged. */
  send(to: Person, length?: number): Promise<void>;
  /** Sends what was acknowledged once more, as a client does that has missed it. */
  repeat(): Promise<void>;
  read(peer: Person): Promise<void>;
  typing(peer: Person): void;
  /** Learns what it does not know; one at a time. */
  sync(): Promise<void>;
  /** Reads everything, as a new device would. @returns whether it got to the end */
  syncFromZero(final?: true): Promise<boolean>;
  /** Learns everything, and says so. @returns whether it knows everything */
  settle(): Promise<boolean>;
  connected(): Promise<void>;
  /** Loses its connection without saying so to the server. */
  drop(): void;
  close(): void;
  /** Messages without an answer. */
  waiting(): number;
}

/** Timers that end with their device. */
function createTimers() {
  const timers = new Set<NodeJS.Timeout>();
  let closed = false;
  return {
    /** `work`, some time after it was first asked for. */
    soon(ms: number | (() => number), work: () => unknown): () => void {
      let timer: NodeJS.Timeout | undefined;
      return () => {
        if (timer || closed) return;
        const mine = setTimeout(
          () => {
            timers.delete(mine);
            timer = undefined;
            work();
          },
          typeof ms === 'number' ? ms : ms(),
        );
        timer = mine;
        timers.add(mine);
      };
    },
    every(ms: number, work: () => unknown): void {
      timers.add(setInterval(work, ms));
    },
    close() {
      closed = true;
      for (const timer of timers) clearTimeout(timer);
    },
    closed: () => closed,
  };
}

/** Runs of `work` one after the other; asked for during one, it runs once more. */
function oneAtATime(work: () => Promise<unknown>): () => Promise<void> {
  let running: Promise<void> | undefined;
  let again = false;
  return function run(): Promise<void> {
    again = running !== undefined;
    running ??= (async () => {
      do {
        again = false;
        await work();
      } while (again);
      running = undefined;
    })();
    return running;
  };
}

function connectionOf({ person, run, name, url, transports, reconnection = true }: DeviceOptions): Socket {
  return io(url, {
    auth: { token: person.token },
    query: { k: `${run}-${name}` },
    transports,
    reconnection,
    reconnectionDelay: 100,
    reconnectionDelayMax: 1_500,
    forceNew: true,
    autoConnect: false,
  });
}

export function createDevice(options: DeviceOptions): Device {
  const { person, people, name, history, random, run } = options;
  const socket = connectionOf(options);
  const timers = createTimers();
  const threads = new Map<number, Thread>();
  const sent: Letter[] = [];
  const asks = createAsks({ person, people, name, url: options.url, socket, history, random });
  const receipts = createReceipts({ people, name, socket, history, random });

  const threadOf = (peer: number): Thread => threads.getOrInsertComputed(peer, createThread);

  const connected = (): Promise<void> =>
    socket.connected ? Promise.resolve() : new Promise((resolve) => socket.once('connect', () => resolve()));

  let failures = 0;
  const sync = oneAtATime(async () => {
    if (timers.closed()) return;
    failures = (await asks.sync(threads, threadOf)) ? 0 : failures + 1;
    if (failures > 0) syncAgain();
    tellDelivered();
  });
  const fillHole = timers.soon(HOLE_AFTER_MS, sync);
  // What is overloaded must not be asked more often for it.
  const pauseOf = () => Math.min(AGAIN_AFTER_MS * 2 ** failures, LONGEST_PAUSE_MS) * (0.5 + random.next());
  const syncAgain = timers.soon(pauseOf, sync);
  const tellDelivered = timers.soon(DELIVERED_AFTER_MS, () => receipts.delivered(threads.values()));
  const comeBack = timers.soon(COME_BACK_MS, () => socket.connect());
  timers.every(POLL_MS * (0.5 + random.next()), () => socket.connected && void sync());

  const outbox = createOutbox({
    proc: name,
    run,
    socket,
    connected,
    history,
    random,
    acknowledged({ to }, message) {
      const row = rowOf(message, { viewer: person.index, peer: to.index, people });
      if (!threadOf(to.index).take(row)) fillHole();
      return row;
    },
  });

  function received({ message }: ServerEvent<'receive_message'>): void {
    const [from, to] = [people.indexOf(message.sender._id), people.indexOf(message.receiver._id)];
    const peer = from === person.index ? to : to === person.index ? from : -1;
    const row = rowOf(message, { viewer: person.index, peer, people });
    history.info(name, 'live', { peer, row });
    if (peer < 0) return;
    if (!threadOf(peer).take(row)) fillHole();
    tellDelivered();
  }

  watchConnection(socket, {
    history,
    name,
    connected: () => void sync(),
    comeBack: options.reconnection === false ? () => {} : comeBack,
  });
  recordEvents(socket, { history, name, people });
  socket.on('receive_message', received);
  socket.on('message_sent', ({ message }: ServerEvent<'message_sent'>) => {
    if (!outbox.hasAsked(message)) received({ message });
  });
  socket.on('resync', () => void sync());

  return {
    ...asks,
    person,
    name,
    url: options.url,
    socket,
    threads,
    async send(to, length) {
      const tag = options.nextTag();
      const letter = { to, tag, content: textOf(tag, random, length) };
      await outbox.send(letter);
      if (sent.push(letter) > REMEMBERED) sent.shift();
    },
    async repeat() {
      if (sent.length > 0) await outbox.send(random.pick(sent));
    },
    read: (peer) => receipts.read(peer, threadOf(peer.index)),
    typing: (peer) => void (socket.connected && socket.emit('typing_start', { receiverId: peer.id })),
    sync,
    async syncFromZero(final) {
      const anew = new Map<number, Thread>();
      return asks.sync(anew, (peer) => anew.getOrInsertComputed(peer, createThread), final);
    },
    async settle() {
      await sync();
      await receipts.delivered(threads.values());
      return failures === 0;
    },
    connected,
    drop: () => socket.io.engine?.close(),
    close() {
      timers.close();
      socket.disconnect();
    },
    waiting: outbox.size,
  };
}

/** Notes when it is connected, and comes back where the library would not. */
function watchConnection(
  socket: Socket,
  on: { history: History; name: string; connected: () => void; comeBack: () => void },
): void {
  const { history, name } = on;
  socket.on('connect', () => {
    history.info(name, 'connect', { transport: socket.io.engine.transport.name });
    on.connected();
  });
  socket.on('disconnect', (reason) => {
    history.info(name, 'disconnect', { reason });
    if (reason === 'io server disconnect') on.comeBack();
  });
  socket.on('connect_error', (error: Error & { data?: { code: string } }) => {
    history.info(name, 'refused', { code: error.data?.code ?? error.message });
    if (!socket.active) on.comeBack();
  });
}

/** Notes what the server tells without being asked, messages apart. */
function recordEvents(socket: Socket, { history, name, people }: { history: History; name: string; people: People }) {
  const index = people.indexOf;
  const on = <N extends ServerEventName>(event: N, note: (payload: ServerEvent<N>) => void) =>
    socket.on(event as string, note);
  on('message_read_receipt', ({ readerId, seq }) => history.info(name, 'read_receipt', { peer: index(readerId), seq }));
  on('message_delivered_receipt', ({ receiverId, seq }) =>
    history.info(name, 'delivered_receipt', { peer: index(receiverId), seq }),
  );
  on('conversation_read', ({ userId, seq, unreadCount }) =>
    history.info(name, 'conversation_read', { peer: index(userId), seq, unread: unreadCount }),
  );
  on('user_typing', ({ userId }) => history.info(name, 'typing', { peer: index(userId) }));
  on('resync', () => history.info(name, 'resync', null));
}
