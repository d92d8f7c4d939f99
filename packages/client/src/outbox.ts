import { type DuetError, errorTable, toDuetError } from './errors.ts';
import { backoff, type Runtime } from './runtime.ts';
import type { OutboxStorage, Outgoing, Place } from './storage.ts';
import type { Message } from './wire.ts';

const FIRST_RETRY_MS = 1_000;
/** A device that has not taken a message in this time may never do so. */
const KEEP_MS = 3_000;

/** Oldest first: their ids rise with time. */
const byAge = (a: Outgoing, b: Outgoing): number => (a.tempId < b.tempId ? -1 : 1);

export interface OutboxDeps {
  storage: OutboxStorage;
  runtime: Runtime;
  /** Sends once. @throws DuetError */
  send: (message: Outgoing) => Promise<Message>;
  isOnline: () => boolean;
  /** The token was refused; what waits goes out when there is a new one. */
  renew: () => void;
  sent: (stored: Message) => void;
  failed: (message: Outgoing) => void;
  /** The device does not keep them: they live as long as the app does. */
  notKept: (error: unknown) => void;
}

/**
 * Messages that are not yet acknowledged: kept on the device before they go out, and sent again with the same tempId
 * until there is an answer. One is in flight for each conversation, so that order holds whatever is repeated.
 * @param user whose they are; nothing goes out under another one's name
 */
export function createOutbox(user: string, deps: OutboxDeps) {
  const { storage, runtime } = deps;
  const queues = new Map<string, Outgoing[]>();
  const running = new Set<string>();
  /** What is put there: when that has ended, and when it is waited for no longer. */
  const keeping = new Map<string, { put: Promise<void>; enough: Promise<void> }>();
  /** Pauses that a new connection ends. */
  const pauses = new Map<string, () => void>();

  function keep(message: Outgoing): void {
    const put = storage.put(user, message);
    let cancel = () => {};
    const late = new Promise<never>((_, reject) => {
      cancel = runtime.after(KEEP_MS, () => reject(new Error('The device does not answer')));
    });
    const enough = Promise.race([put, late]).catch(deps.notKept).finally(cancel);
    keeping.set(message.tempId, { put: put.catch(() => {}), enough });
  }

  const queueOf = (peerId: string): Outgoing[] => queues.get(peerId) ?? [];
  const isQueued = ({ peerId, tempId }: Place): boolean => queueOf(peerId).some((each) => each.tempId === tempId);
  const take = ({ peerId, tempId }: Place): void =>
    void queues.set(
      peerId,
      queueOf(peerId).filter((each) => each.tempId !== tempId),
    );

  function forget({ peerId, tempId }: Place): void {
    take({ peerId, tempId });
    // After it was put there: else it would come back with the next start.
    const put = keeping.get(tempId)?.put ?? Promise.resolve();
    keeping.delete(tempId);
    put.then(() => storage.remove(user, tempId)).catch(deps.notKept);
  }

  function pause(peerId: string, ms: number, mayEnd: boolean): Promise<void> {
    return new Promise((resolve) => {
      const cancel = runtime.after(ms, end);
      function end(): void {
        cancel();
        pauses.delete(peerId);
        resolve();
      }
      if (mayEnd) pauses.set(peerId, end);
    });
  }

  /** @returns undefined when the message is done with, else the error for which it has to be sent again */
  async function attempt(message: Outgoing): Promise<DuetError | undefined> {
    try {
      const stored = await deps.send(message);
      forget(message);
      deps.sent(stored);
      return undefined;
    } catch (thrown) {
      const error = toDuetError(thrown);
      if (errorTable[error.code].retry !== 'never') return error;
      if (!isQueued(message)) return undefined;
      take(message);
      const refused = { ...message, problem: error.message };
      keep(refused);
      deps.failed(refused);
      return undefined;
    }
  }

  async function run(peerId: string): Promise<void> {
    if (running.has(peerId)) return;
    running.add(peerId);
    for (let failures = 0; ; ) {
      const [first] = queueOf(peerId);
      if (!first) break;
      await keeping.get(first.tempId)?.enough;
      if (!deps.isOnline()) break;
      const error = await attempt(first);
      failures = error ? failures + 1 : 0;
      if (!error) continue;
      const { retry } = errorTable[error.code];
      if (retry === 'reauth') deps.renew();
      if (!deps.isOnline()) break;
      const ms = (error.retryAfterMs ?? 0) + backoff(failures, FIRST_RETRY_MS, runtime.random);
      await pause(peerId, ms, retry !== 'wait');
    }
    running.delete(peerId);
  }

  function enqueue(message: Outgoing): void {
    if (isQueued(message)) return;
    queues.set(message.peerId, [...queueOf(message.peerId), message].sort(byAge));
    void run(message.peerId);
  }

  return {
    add(message: Outgoing): void {
      keep(message);
      enqueue(message);
    },
    /**
     * What waits on the device and not here yet: an earlier run of the app, or another tab, has left it.
     * @returns oldest first, those that the server refused included
     */
    async restore(): Promise<Outgoing[]> {
      const kept = await storage.list(user).catch((error: unknown) => {
        deps.notKept(error);
        return [];
      });
      return kept.filter((message) => !isQueued(message)).sort(byAge);
    },
    enqueue,
    /** Drops a message: the user gave it up, or it is known to be stored. */
    forget,
    /** The connection is there again, or is gone: nobody waits for it any longer. */
    flush(): void {
      for (const end of [...pauses.values()]) end();
      for (const peerId of queues.keys()) void run(peerId);
    },
  };
}
export type Outbox = ReturnType<typeof createOutbox>;
