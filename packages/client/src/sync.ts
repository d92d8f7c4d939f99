import type { Book } from './book.ts';
import type { Connection } from './connection.ts';
import { errorTable, toDuetError } from './errors.ts';
import { backoff, type Runtime } from './runtime.ts';
import type { ClientEvents } from './wire.ts';

/** A live event that is missing is waited for: it may only have been overtaken. */
const HOLE_MS = 1_000;
/** A lost event that nothing follows is found by asking now and then. */
const POLL_MS = 120_000;
const FIRST_RETRY_MS = 1_000;
/** Without an answer in this time the connection is dead, or too slow for so much at once: then less is asked for. */
const PATIENCE_MS = 8_000;
const MOST = 200;
const LEAST = 5;

export interface SyncDeps {
  connection: Pick<Connection, 'emit' | 'isOnline'>;
  book: Book;
  runtime: Runtime;
}

interface Pulled {
  /** What was asked with. */
  known: ReturnType<Book['known']>;
  answer: ClientEvents['sync']['answer'];
}

/** Finds out what was missed: on every connect, on a hole, when the server says so, and at long intervals. */
export function createSync({ connection, book, runtime }: SyncDeps) {
  let running = false;
  let again = false;
  let failures = 0;
  /** Messages that an answer may hold. */
  let limit = MOST;
  /** Syncs in a row that did not close a hole. */
  let vain = 0;
  let cancelHole: (() => void) | undefined;
  let cancelNext = () => {};
  let endPause = () => {};

  const pause = (ms: number) =>
    new Promise<void>((resolve) => {
      const cancel = runtime.after(ms, resolve);
      endPause = () => {
        cancel();
        resolve();
      };
    });

  /** A page behind others that is refused by a limit is waited for: to begin anew would ask for those again, for ever. */
  async function page(cursor: string | undefined): Promise<Pulled> {
    for (;;) {
      const known = book.known();
      const request = { conversations: known, unnamed: 'newest' as const, limit };
      try {
        const answer = await connection.emit(
          'sync',
          cursor === undefined ? request : { ...request, cursor },
          PATIENCE_MS,
        );
        return { known, answer };
      } catch (thrown) {
        const { code, retryAfterMs = FIRST_RETRY_MS } = toDuetError(thrown);
        if (code !== 'RATE_LIMITED' || cursor === undefined) throw thrown;
        await pause(retryAfterMs);
      }
    }
  }

  /** Asks until there is nothing more. @throws DuetError */
  async function pull(): Promise<void> {
    let cursor: string | undefined;
    for (;;) {
      const { known, answer } = await page(cursor);
      limit = Math.min(limit * 2, MOST);
      book.stand(
        answer.conversations.map(({ userId, ...news }) => ({
          userId,
          standing: { ...news, after: known[userId]?.[0] },
        })),
      );
      // Without a cursor, what has been learnt since is what takes it further.
      const gotMore = answer.conversations.some(({ messages }) => messages.length > 0);
      if (answer.complete || (answer.nextCursor === undefined && !gotMore)) return;
      cursor = answer.nextCursor;
    }
  }

  function next(ms: number): void {
    cancelNext();
    cancelNext = runtime.after(ms, request);
  }

  function request(): void {
    again = true;
    if (!running) void run();
  }

  async function run(): Promise<void> {
    running = true;
    try {
      while (again && connection.isOnline()) {
        again = false;
        await pull();
        failures = 0;
        book.complete();
      }
      if (connection.isOnline()) next(POLL_MS * (0.75 + runtime.random() / 2));
    } catch (thrown) {
      const { code, retryAfterMs = 0 } = toDuetError(thrown);
      failures += 1;
      if (code === 'UNAVAILABLE') limit = Math.max(LEAST, Math.floor(limit / 4));
      // What can never succeed is not repeated at once; the next connect or event asks again.
      const wait = errorTable[code].retry === 'never' ? POLL_MS : backoff(failures, FIRST_RETRY_MS, runtime.random);
      if (connection.isOnline()) next(retryAfterMs + wait);
    } finally {
      running = false;
    }
    if (!book.hasHole()) vain = 0;
    else noticeHole();
  }

  /** Something has come whose predecessor has not. */
  function noticeHole(): void {
    const ms = Math.min(HOLE_MS * 2 ** vain, POLL_MS);
    cancelHole ??= runtime.after(ms * (0.75 + runtime.random() / 2), () => {
      cancelHole = undefined;
      if (!book.hasHole() || !connection.isOnline()) return;
      vain += 1;
      request();
    });
  }

  return {
    request,
    noticeHole,
    stop(): void {
      again = false;
      cancelHole?.();
      cancelHole = undefined;
      cancelNext();
      endPause();
    },
  };
}
export type Sync = ReturnType<typeof createSync>;
