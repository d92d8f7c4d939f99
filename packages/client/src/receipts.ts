import type { Connection } from './connection.ts';
import { errorTable, toDuetError } from './errors.ts';
import { backoff, type Runtime } from './runtime.ts';

/** Receipts wait this long for others that go with them. */
const GATHER_MS = 300;
const FIRST_RETRY_MS = 2_000;
/** Messages that one event acknowledges. */
const MAX_RECEIPTS = 100;

type Receipt = [peerId: string, messageId: string];
type How = (receipts: Receipt[]) => Promise<unknown>;

export interface ReceiptDeps {
  connection: Pick<Connection, 'emit' | 'isOnline'>;
  runtime: Runtime;
}

/**
 * Tells the server what has been delivered to this device and what has been read. Both are marks that only rise, so the
 * newest message of a conversation stands for all before it, and what could not be sent is sent with the next.
 */
export function createReceipts({ connection, runtime }: ReceiptDeps) {
  /** Peer -> the newest message. */
  const delivered = new Map<string, string>();
  const read = new Map<string, string>();
  let waiting: (() => void) | undefined;
  let running = false;
  let failures = 0;

  function schedule(ms: number): void {
    waiting ??= runtime.after(ms, () => {
      waiting = undefined;
      void flush();
    });
  }

  /**
   * Sends what waits, and takes it away when that is done with, unless more has come meanwhile. The server takes all of a
   * batch or nothing: one receipt that it will never take must not cost the others.
   */
  async function send(from: Map<string, string>, receipts: Receipt[], how: How): Promise<void> {
    try {
      await how(receipts);
    } catch (thrown) {
      if (errorTable[toDuetError(thrown).code].retry !== 'never') throw thrown;
      if (receipts.length > 1) for (const receipt of receipts) await send(from, [receipt], how);
    }
    for (const [peerId, messageId] of receipts) if (from.get(peerId) === messageId) from.delete(peerId);
  }

  const tellRead: How = async (receipts) => {
    for (const [senderId, messageId] of receipts) await connection.emit('message_read', { messageId, senderId });
  };
  const tellDelivered: How = (batch) => {
    const receipts = batch.map(([senderId, messageId]) => ({ senderId, messageId }));
    return connection.emit('message_delivered', { receipts });
  };

  async function flush(): Promise<void> {
    if (running || !connection.isOnline()) return;
    running = true;
    try {
      // The map itself: what is read while one of them is told is told in the place of what it was before.
      for (const receipt of read) await send(read, [receipt], tellRead);
      while (delivered.size > 0) await send(delivered, [...delivered].slice(0, MAX_RECEIPTS), tellDelivered);
      failures = 0;
    } catch (thrown) {
      const { retryAfterMs = 0 } = toDuetError(thrown);
      failures += 1;
      if (connection.isOnline()) schedule(retryAfterMs + backoff(failures, FIRST_RETRY_MS, runtime.random));
    } finally {
      running = false;
    }
    if (failures === 0 && read.size + delivered.size > 0) schedule(GATHER_MS);
  }

  return {
    delivered(peerId: string, messageId: string): void {
      delivered.set(peerId, messageId);
      schedule(GATHER_MS * (1 + runtime.random()));
    },
    /** What was read was delivered. */
    read(peerId: string, messageId: string): void {
      read.set(peerId, messageId);
      delivered.delete(peerId);
      schedule(GATHER_MS);
    },
    /** The connection is back. */
    flush: (): void => void flush(),
    stop(): void {
      waiting?.();
      waiting = undefined;
    },
  };
}
export type Receipts = ReturnType<typeof createReceipts>;
