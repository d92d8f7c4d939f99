import { DuetError } from '@duet/contract';
import type { Cluster } from '@duet/core';
import { createAdapter } from '@socket.io/cluster-adapter';
import { setupWorker } from '@socket.io/sticky';
import { call, isAnswer, type Method, type PrimaryMethods, ready, taken } from './calls.ts';

/** Somebody waits no longer than this for a primary that stands still. */
const ANSWER_WITHIN_MS = 3_000;

type Result<M extends Method> = Awaited<ReturnType<PrimaryMethods[M]>>;

/** Asks the primary; rejects with UNAVAILABLE when it is gone. */
function createCaller() {
  const waiting = new Map<number, { resolve: (result: never) => void; reject: (error: unknown) => void }>();
  let next = 0;

  process.on('message', (message) => {
    if (!isAnswer(message)) return;
    const caller = waiting.get(message.id);
    waiting.delete(message.id);
    if (message.failed) caller?.reject(new DuetError('UNAVAILABLE'));
    else caller?.resolve(message.result as never);
  });

  return <M extends Method>(method: M, ...args: Parameters<PrimaryMethods[M]>): Promise<Result<M>> =>
    new Promise<Result<M>>((resolve, reject) => {
      const id = next++;
      waiting.set(id, { resolve, reject });
      process.send?.(call(id, method, args), undefined, {}, (cause) => {
        if (!cause) return;
        waiting.delete(id);
        reject(new DuetError('UNAVAILABLE', { cause }));
      });
    });
}

/** For what changes nothing that is lost with its answer. @throws DuetError UNAVAILABLE when it does not come in time */
function inTime<T>(asked: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new DuetError('UNAVAILABLE')), ANSWER_WITHIN_MS);
    asked.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}

export interface WorkerCluster extends Cluster {
  /** The metrics of all workers together. */
  metrics(): Promise<string>;
  /** Makes a Socket.IO server take the connections that the primary hands over, instead of listening itself. */
  takeConnections(io: IoServer): void;
}

/** The cluster as a worker sees it: the other workers through the primary, presence and limits kept by it. */
export function createWorkerCluster(): WorkerCluster {
  const release = holdConnections();
  const ask = createCaller();
  const online = (users: string[]) => inTime(ask('online', users));
  return {
    socketAdapter: createAdapter(),
    presence: {
      // The primary hears these however late it is, and names people once: nobody gives their answers up.
      beat: (sockets) => ask('beat', sockets),
      drop: (user, socket) => ask('drop', user, socket),
      reap: (told) => ask('reap', told),
      mostSockets: () => inTime(ask('mostSockets')),
      online: (users, { sure = false } = {}) => (sure ? online(users) : online(users).catch(() => new Set<string>())),
    },
    limiter: { take: (key, rule, cost) => inTime(ask('take', key, rule, cost)) },
    metrics: () => inTime(ask('metrics')),
    takeConnections(io) {
      takeConnections(io, () => ask('online', []));
      release();
    },
    fence: async () => {},
    onGap: () => {},
    onLoss: () => {},
    ready: async () => {},
    close: async () => {},
  };
}

type IoServer = Parameters<typeof setupWorker>[0];

/** Tells the primary that a connection has arrived, so that it lets go of its own end. */
function confirmConnection(message: unknown): void {
  const { type, key } = message as { type?: string; key?: string };
  if (type === 'sticky:connection' && key !== undefined) process.send?.(taken(key));
}

/**
 * While no worker serves, the primary hands connections to those that start. Until the server is made they are kept
 * here; nobody else would, and their clients would wait in vain.
 * @returns gives what was kept to the listeners that are there by then
 */
function holdConnections(): () => void {
  const held: [message: object, handle: unknown][] = [];
  const hold = (message: object, handle: unknown) => {
    if (String((message as { type?: unknown }).type).startsWith('sticky:')) held.push([message, handle]);
  };
  process.on('message', hold);
  process.on('message', confirmConnection);
  return () => {
    process.off('message', hold);
    // They were confirmed when they came.
    process.off('message', confirmConnection);
    for (const [message, handle] of held) process.emit('message', message, handle as never);
    process.on('message', confirmConnection);
  };
}

/**
 * The primary must know whose session it is before the client does, or the client's next request goes to another worker
 * and is refused: so the session id is announced, and given out only when the primary has answered a call behind it.
 * @param synced resolves when the primary has read everything that was sent before
 */
function takeConnections(io: IoServer, synced: () => Promise<unknown>): void {
  setupWorker(io);
  const { engine } = io;
  const generateId = engine.generateId.bind(engine);
  engine.generateId = async (request: Parameters<typeof generateId>[0]) => {
    const id = await generateId(request);
    process.send?.({ type: 'sticky:connection', data: id });
    await synced();
    return id;
  };
}

/** Tells the primary that this worker serves. */
export function reportReady(): void {
  process.send?.(ready());
}
