import { fileURLToPath } from 'node:url';
import { PATIENCE_MS, rest, type TcpProxy, type TestUser } from '@duet/testkit';
import {
  type Chat,
  type ChatMessage,
  type ChatOptions,
  type ChatState,
  createChat,
  type Runtime,
} from '../src/index.ts';

export const MAIN = fileURLToPath(new URL('../../../apps/server/src/main.ts', import.meta.url));

/** A chat that runs until it is disposed. */
export type TestChat = Chat & Disposable;

export function start(url: string, { token }: Pick<TestUser, 'token'>, options: Partial<ChatOptions> = {}): TestChat {
  const chat = createChat({ url, getToken: () => token, ...options });
  chat.start();
  return Object.assign(chat, { [Symbol.dispose]: chat.stop });
}

/** Resolves when the state is as expected; rejects with what it is instead. */
export function until(chat: Chat, expected: (state: ChatState) => unknown, what: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      unsubscribe();
      reject(new Error(`never happened: ${what}; ${JSON.stringify(chat.getState()).slice(0, 2_000)}`));
    }, PATIENCE_MS);
    const unsubscribe = chat.subscribe(look);
    function look(): void {
      if (!expected(chat.getState())) return;
      clearTimeout(timer);
      unsubscribe();
      resolve();
    }
    look();
  });
}

export const synced = (chat: Chat) => until(chat, (state) => state.synced && state.me, 'synced');
export const messagesWith = (state: ChatState, peerId: string): readonly ChatMessage[] =>
  state.threads[peerId]?.messages ?? [];
export const textsWith = (state: ChatState, peerId: string): string[] =>
  messagesWith(state, peerId).map(({ content }) => content);
export const unreadOf = (state: ChatState): number =>
  (state.conversations ?? []).reduce((sum, { unreadCount }) => sum + unreadCount, 0);

/** Looks at a conversation; resolves when these are its texts, all stored. */
export async function shows(chat: Chat, peerId: string, texts: string[]): Promise<void> {
  await chat.open(peerId);
  const isStored = ({ seq }: ChatMessage, i: number) => seq === i + 1;
  return until(
    chat,
    (state) => String(textsWith(state, peerId)) === String(texts) && messagesWith(state, peerId).every(isStored),
    `texts are ${texts.slice(0, 20)}`,
  );
}

/** What the server has of a conversation. */
export async function stored(url: string, { token }: Pick<TestUser, 'token'>, peerId: string): Promise<string[]> {
  const { body } = await rest(url, `/messages/${peerId}?limit=100`, { token });
  return body.data.messages.map(({ content }: { content: string }) => content);
}

/** The next so many answers with a list of conversations get lost. @returns how many have been by now */
export function loseLists(proxy: TcpProxy, most: number): () => number {
  let lost = 0;
  proxy.lose((text) => {
    const isLost = lost < most && text.startsWith('HTTP/') && text.includes('"conversations":');
    if (isLost) lost += 1;
    return isLost;
  });
  return () => lost;
}

/** Takes what is thrown where nobody catches it, until it is disposed. */
export function catchErrors(): { errors: unknown[] } & Disposable {
  const errors: unknown[] = [];
  process.setUncaughtExceptionCaptureCallback((error) => errors.push(error));
  return { errors, [Symbol.dispose]: () => process.setUncaughtExceptionCaptureCallback(null) };
}

/** Time that stands still until it is moved. */
export function createStillTime(): Runtime & { advance(ms: number): void; suspend(ms: number): void } {
  let now = 1_000_000;
  const tasks = new Set<{ at: number; task: () => void }>();
  return {
    now: () => now,
    random: () => 0.5,
    after(ms, task) {
      const entry = { at: now + ms, task };
      tasks.add(entry);
      return () => void tasks.delete(entry);
    },
    advance(ms) {
      const end = now + ms;
      for (;;) {
        const due = [...tasks].filter(({ at }) => at <= end).sort((a, b) => a.at - b.at)[0];
        if (!due) break;
        tasks.delete(due);
        now = due.at;
        due.task();
      }
      now = end;
    },
    /** As on a device that was suspended: what is overdue comes all at once, and before anything that has arrived. */
    suspend(ms) {
      now += ms;
      for (const due of [...tasks].filter(({ at }) => at <= now)) {
        tasks.delete(due);
        due.task();
      }
    },
  };
}

/** Time that runs faster for everything that waits. */
export function hurried(times: number): Runtime {
  return {
    now: Date.now,
    random: Math.random,
    after(ms, task) {
      const timer = setTimeout(task, ms / times);
      return () => clearTimeout(timer);
    },
  };
}
