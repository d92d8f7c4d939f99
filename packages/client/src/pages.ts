import type { Api } from './api.ts';
import type { Book } from './book.ts';
import { errorTable, toDuetError } from './errors.ts';
import { backoff, type Runtime } from './runtime.ts';

const PAGE = 40;
const FIRST_RETRY_MS = 1_000;

export interface PagesDeps {
  api: Api;
  book: Book;
  runtime: Runtime;
  isOnline: () => boolean;
}

/** History, as somebody looks at it: the newest page first, older ones on demand. */
export function createPages({ api, book, runtime, isOnline }: PagesDeps) {
  /** Asked for, and not there yet. */
  const wanted = new Set<string>();
  const loading = new Map<string, Promise<void>>();
  let cancel = () => {};
  let failures = 0;

  /** One request at a time for each conversation, whoever asks. */
  function once(key: string, load: () => Promise<void>): Promise<void> {
    const known = loading.get(key);
    if (known) return known;
    const made = load().finally(() => loading.delete(key));
    loading.set(key, made);
    return made;
  }

  async function newest(peerId: string): Promise<void> {
    wanted.add(peerId);
    try {
      const page = await api.history(peerId, { limit: PAGE });
      wanted.delete(peerId);
      failures = 0;
      book.paged(peerId, page);
      if (page.messages.length === 0) book.beginsHere(peerId);
    } catch (thrown) {
      const error = toDuetError(thrown);
      if (errorTable[error.code].retry === 'never') {
        wanted.delete(peerId);
        throw error;
      }
      failures += 1;
      cancel();
      const ms = (error.retryAfterMs ?? 0) + backoff(failures, FIRST_RETRY_MS, runtime.random);
      cancel = runtime.after(ms, () => isOnline() && flush());
    }
  }

  function flush(): void {
    for (const peerId of wanted) once(peerId, () => newest(peerId)).catch(() => {}); // `open` has told
  }

  return {
    /** The newest messages of a conversation, unless they are there. @throws DuetError when they can never be loaded */
    async open(peerId: string): Promise<void> {
      if (!book.logOf(peerId).loaded) await once(peerId, () => newest(peerId));
    },
    /** The page before the oldest known message. @throws DuetError */
    async older(peerId: string): Promise<void> {
      const { messages, atStart } = book.logOf(peerId);
      const before = messages[0]?.seq;
      if (before === undefined || atStart) return;
      await once(`${peerId} before ${before}`, async () => {
        const page = await api.history(peerId, { before, limit: PAGE });
        book.paged(peerId, page, before);
        if (page.messages.length === 0) book.beginsHere(peerId);
      });
    },
    /** The connection is back. */
    flush,
    stop: (): void => cancel(),
  };
}
