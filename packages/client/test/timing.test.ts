import { describe, expect, test, vi } from 'vitest';
import { createBook } from '../src/book.ts';
import { DuetError } from '../src/errors.ts';
import { createReceipts, type ReceiptDeps } from '../src/receipts.ts';
import { backoff, createIds } from '../src/runtime.ts';
import { createStore, initialState } from '../src/state.ts';
import { createSync, type SyncDeps } from '../src/sync.ts';
import { createTyping } from '../src/typing.ts';
import { createStillTime } from './people.ts';

const PEER = 'b'.repeat(24);

function setup() {
  const time = createStillTime();
  const told: boolean[] = [];
  const shown: boolean[] = [];
  const typing = createTyping({
    runtime: time,
    tell: (_, isTyping) => told.push(isTyping),
    show: (_, isTyping) => shown.push(isTyping),
  });
  return { time, told, shown, typing };
}

describe('time in the SDK', () => {
  test('U10 while the user types, the mark is repeated every 3 s at most; after a pause it is taken back', () => {
    const { time, told, typing } = setup();
    for (let ms = 0; ms < 10_000; ms += 100) {
      typing.note(PEER);
      time.advance(100);
    }
    expect(told).toEqual([true, true, true, true]);
    time.advance(3_800);
    expect(told).toEqual([true, true, true, true]);
    time.advance(200);
    expect(told).toEqual([true, true, true, true, false]);
    typing.still(PEER);
    expect(told).toHaveLength(5);
    typing.note(PEER);
    typing.still(PEER);
    time.advance(60_000);
    expect(told.slice(5)).toEqual([true, false]);
  });

  test('U34 a clock that is set back while the user types keeps no mark from being repeated', () => {
    const time = createStillTime();
    let behindMs = 0;
    const told: boolean[] = [];
    const runtime = { ...time, now: () => time.now() - behindMs };
    const typing = createTyping({ runtime, tell: (_, isTyping) => told.push(isTyping), show: () => {} });
    typing.note(PEER);
    behindMs = 3_600_000;
    for (let ms = 0; ms < 6_000; ms += 1_000) {
      time.advance(1_000);
      typing.note(PEER);
    }
    expect(told).toEqual([true, true, true]);
  });

  test("U10 a peer's mark disappears when its end got lost", () => {
    const { time, shown, typing } = setup();
    typing.heard(PEER, true);
    time.advance(5_000);
    typing.heard(PEER, true);
    time.advance(5_000);
    expect(shown).toEqual([true, true]);
    time.advance(1_000);
    expect(shown).toEqual([true, true, false]);
    typing.stop();
    time.advance(60_000);
    expect(shown).toHaveLength(3);
  });

  test('U25 when it stops, no mark stays: not even one whose time has not come', () => {
    const { time, shown, typing } = setup();
    typing.heard(PEER, true);
    typing.stop();
    expect(shown).toEqual([true, false]);
    time.advance(60_000);
    expect(shown).toHaveLength(2);
  });

  test('U9 tries are spread over ever more time, up to 30 s, however often they fail', () => {
    const chances = Array.from({ length: 100 }, (_, i) => i / 100);
    const spread = (tries: number) => chances.map((chance) => backoff(tries, 2_000, () => chance));
    for (const [tries, widest] of [
      [0, 2_000],
      [1, 4_000],
      [3, 16_000],
      [4, 30_000],
      [5_000, 30_000],
    ] as const) {
      const waits = spread(tries);
      expect(Math.min(...waits)).toBe(widest / 10);
      expect(Math.max(...waits)).toBeGreaterThan(widest * 0.98);
      expect(Math.max(...waits)).toBeLessThan(widest);
      // Nobody meets anybody at the end: each tenth of the time has its share.
      const tenths = waits.map((ms) => Math.floor((ms / widest) * 10));
      expect(new Set(tenths).size).toBe(9);
    }
  });

  test('U11 receipts are gathered: the newest message of each conversation, in one event; what is read is not delivered again', async () => {
    const time = createStillTime();
    const emitted: unknown[] = [];
    const emit = async (name: string, payload: unknown) => void emitted.push([name, payload]);
    const connection = { isOnline: () => true, emit } as unknown as ReceiptDeps['connection'];
    const receipts = createReceipts({ connection, runtime: time });
    for (let i = 1; i <= 50; i++) for (const peer of ['a', 'b', 'c']) receipts.delivered(peer, `${peer}${i}`);
    receipts.read('c', 'c50');
    time.advance(1_000);
    await vi.waitFor(() => expect(emitted).toHaveLength(2));
    expect(emitted).toEqual([
      ['message_read', { senderId: 'c', messageId: 'c50' }],
      [
        'message_delivered',
        {
          receipts: [
            { senderId: 'a', messageId: 'a50' },
            { senderId: 'b', messageId: 'b50' },
          ],
        },
      ],
    ]);
  });

  test('U11 a receipt that the server will never take costs the others of its batch nothing', async () => {
    const time = createStillTime();
    const taken: string[] = [];
    const emit = async (_: string, { receipts }: { receipts: { senderId: string }[] }) => {
      if (receipts.some(({ senderId }) => senderId === 'bad')) throw new DuetError('NOT_FOUND');
      taken.push(...receipts.map(({ senderId }) => senderId));
    };
    const connection = { isOnline: () => true, emit } as unknown as ReceiptDeps['connection'];
    const receipts = createReceipts({ connection, runtime: time });
    for (const peer of ['a', 'bad', 'c']) receipts.delivered(peer, peer);
    time.advance(1_000);
    await vi.waitFor(() => expect(taken).toEqual(['a', 'c']));
  });

  test('U11 what is left of a batch that is sent one by one waits for a limit as well', async () => {
    const time = createStillTime();
    const taken: string[] = [];
    let isLimited = true;
    const emit = async (_: string, { receipts }: { receipts: { senderId: string }[] }) => {
      if (receipts.some(({ senderId }) => senderId === 'bad')) throw new DuetError('NOT_FOUND');
      if (isLimited && taken.length === 1) throw new DuetError('RATE_LIMITED', { retryAfterMs: 60_000 });
      taken.push(...receipts.map(({ senderId }) => senderId));
    };
    const connection = { isOnline: () => true, emit } as unknown as ReceiptDeps['connection'];
    const receipts = createReceipts({ connection, runtime: time });
    for (const peer of ['bad', 'a', 'b', 'c']) receipts.delivered(peer, peer);
    time.advance(1_000);
    await vi.waitFor(() => expect(taken).toEqual(['a']));
    await new Promise(setImmediate);
    isLimited = false;
    time.advance(70_000);
    await vi.waitFor(() => expect(taken).toEqual(['a', 'b', 'c']));
  });

  test('U11 what is read while another receipt is on its way is told, and not what it was before', async () => {
    const time = createStillTime();
    const told: string[] = [];
    const emit = async (_: string, { messageId }: { messageId: string }) => {
      told.push(messageId);
      if (messageId === 'a1') receipts.read('b', 'b2');
      if (messageId === 'b2') receipts.read('a', 'a2');
    };
    const connection = { isOnline: () => true, emit } as unknown as ReceiptDeps['connection'];
    const receipts = createReceipts({ connection, runtime: time });
    receipts.read('a', 'a1');
    receipts.read('b', 'b1');
    time.advance(1_000);
    await vi.waitFor(() => expect(told).toEqual(['a1', 'b2', 'a2']));
  });

  test('U11 what is delivered while its batch is refused is told', async () => {
    const time = createStillTime();
    const taken: string[] = [];
    const emit = async (_: string, { receipts: batch }: { receipts: { senderId: string; messageId: string }[] }) => {
      if (batch.length === 2) receipts.delivered('a', 'a2');
      if (batch.some(({ senderId }) => senderId === 'bad')) throw new DuetError('NOT_FOUND');
      taken.push(...batch.map(({ messageId }) => messageId));
    };
    const connection = { isOnline: () => true, emit } as unknown as ReceiptDeps['connection'];
    const receipts = createReceipts({ connection, runtime: time });
    receipts.delivered('a', 'a1');
    receipts.delivered('bad', 'bad1');
    time.advance(1_000);
    await vi.waitFor(() => expect(taken).toEqual(['a1', 'a2']));
  });

  test('U5 who missed more than a limit lets him ask for waits and goes on from there', async () => {
    const time = createStillTime();
    const store = createStore(initialState);
    const book = createBook({ store, onMessage: () => {}, onDelivered: () => {} });
    const asked: (string | undefined)[] = [];
    /** Two answers are given, then one a minute. */
    let given = 0;
    const emit = async (_: string, { cursor }: { cursor?: string }) => {
      asked.push(cursor);
      if (given >= 2 + Math.floor((time.now() - 1_000_000) / 60_000)) throw limited;
      given += 1;
      return { conversations: [], complete: given === 4, ...(given === 4 ? {} : { nextCursor: `page ${given + 1}` }) };
    };
    const limited = new DuetError('RATE_LIMITED', { retryAfterMs: 60_000 });
    const connection = { isOnline: () => true, emit } as unknown as SyncDeps['connection'];
    createSync({ connection, book, runtime: time }).request();
    for (const asks of [3, 5]) {
      await vi.waitFor(() => expect(asked).toHaveLength(asks));
      time.advance(60_000);
    }
    await vi.waitFor(() => expect(store.getState().synced).toBe(true));
    expect(asked).toEqual([undefined, 'page 2', 'page 3', 'page 3', 'page 4', 'page 4']);
  });

  test('U5 who stops while he waits for a limit, and starts again, begins anew at once', async () => {
    const time = createStillTime();
    const book = createBook({ store: createStore(initialState), onMessage: () => {}, onDelivered: () => {} });
    let isOnline = true;
    const asked: (string | undefined)[] = [];
    const emit = async (_: string, { cursor }: { cursor?: string }) => {
      if (!isOnline) throw new DuetError('UNAVAILABLE');
      asked.push(cursor);
      if (cursor !== undefined) throw new DuetError('RATE_LIMITED', { retryAfterMs: 60_000 });
      return { conversations: [], complete: false, nextCursor: 'page 2' };
    };
    const connection = { isOnline: () => isOnline, emit } as unknown as SyncDeps['connection'];
    const sync = createSync({ connection, book, runtime: time });
    sync.request();
    await vi.waitFor(() => expect(asked).toEqual([undefined, 'page 2']));
    sync.stop();
    isOnline = false;
    await new Promise(setImmediate);
    isOnline = true;
    sync.request();
    await vi.waitFor(() => expect(asked).toEqual([undefined, 'page 2', undefined, 'page 2']));
  });

  test('U3 ids of messages are unique and rise, also within a millisecond and when the clock is set back', () => {
    let now = 5_000;
    const ids = createIds({ ...createStillTime(), now: () => now, random: () => 0.999_999 });
    const made = Array.from({ length: 300 }, (_, i) => {
      if (i === 100) now += 1;
      if (i === 200) now -= 4_000;
      return ids.next();
    });
    expect(made).toEqual([...new Set(made)].sort());
    expect(made.every((id) => /^[0-9a-f]{32}$/.test(id))).toBe(true);
  });
});
