import type { Message } from '@duet/contract';
import { type DuetError, errorTable, toDuetError } from '@duet/contract/errors';

/** A message on its way: the same tempId goes out again until there is an answer, so it is stored once. */
export interface Outgoing {
  tempId: string;
  peerId: string;
  content: string;
  createdAt: string;
}

export interface OutboxOptions {
  /** Sends once. @throws DuetError */
  send: (message: Outgoing) => Promise<Message>;
  isOnline: () => boolean;
  sent: (message: Outgoing, stored: Message) => void;
  failed: (message: Outgoing, error: DuetError) => void;
}

const RETRY_MS = 1_000;
const MAX_RETRY_MS = 15_000;

/** Messages that are not yet acknowledged, one in flight for each conversation, so that their order holds. */
export function createOutbox({ send, isOnline, sent, failed }: OutboxOptions) {
  const queues = new Map<string, Outgoing[]>();
  const running = new Set<string>();
  let stopped = false;

  async function run(peerId: string): Promise<void> {
    if (running.has(peerId)) return;
    running.add(peerId);
    const queue = queues.get(peerId) ?? [];
    for (let tries = 0; queue[0] && isOnline() && !stopped; ) {
      const settled = await attempt(queue[0]);
      if (settled === true) {
        queue.shift();
        tries = 0;
        continue;
      }
      tries += 1;
      const pause = Math.max(settled, Math.min(RETRY_MS * 2 ** tries, MAX_RETRY_MS));
      await new Promise((resolve) => setTimeout(resolve, pause * (0.5 + Math.random())));
    }
    running.delete(peerId);
  }

  /** @returns true when the message is done with, else how many milliseconds the server asks to wait */
  async function attempt(message: Outgoing): Promise<true | number> {
    try {
      sent(message, await send(message));
      return true;
    } catch (thrown) {
      const error = toDuetError(thrown);
      if (errorTable[error.code].retry !== 'never') return error.retryAfterMs ?? 0;
      failed(message, error);
      return true;
    }
  }

  return {
    add(message: Outgoing): void {
      const queue = queues.get(message.peerId) ?? [];
      queue.push(message);
      queues.set(message.peerId, queue);
      void run(message.peerId);
    },
    /** The connection is back. */
    flush(): void {
      for (const peerId of queues.keys()) void run(peerId);
    },
    stop(): void {
      stopped = true;
    },
  };
}
