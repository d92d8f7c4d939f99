import type { InboxRow, Store } from '@duet/core';
import { expect, it } from 'vitest';
import { newId, pair, START, type StoreUnderTest, upTo } from './common.ts';

/** Called by `storeSuite`. */
export function receiptTests(under: () => StoreUnderTest): void {
  /** A conversation in which `low` has sent 2 messages and `high` 5; `low` reads. */
  async function withMessages() {
    const { id, low, high, draft } = pair();
    await under().store.messages.append([low, high, high, low, high, high, high].map((sender) => draft(sender)));
    const advance = (readN: number, at: number, on: Store = under().store) =>
      on.receipts.advance({ user: low, conversation: id, readN, at });
    const row = async () => (await under().store.conversations.get([{ user: low, conversation: id }]))[0] as InboxRow;
    return { id, low, high, draft, advance, row };
  }

  it('[S15] advance raises readN; readFrom and readAt tell what was read when', async () => {
    const { advance, row } = await withMessages();
    const before = await row();
    expect(before).toMatchObject({ peerSent: 5, readN: 0, readFrom: 0, readAt: 0 });
    const first = { ...before, readN: 2, readFrom: 0, readAt: START + 10 };
    expect(await advance(2, START + 10)).toEqual({ row: first, moved: 2 });
    expect(await row()).toEqual(first);
    const second = { ...before, readN: 5, readFrom: 2, readAt: START + 20 };
    expect(await advance(5, START + 20)).toEqual({ row: second, moved: 3 });
    expect(await row()).toEqual(second);
  });

  it('[S15] advance stops at what the peer has sent', async () => {
    const { advance, row, low, high, id, draft } = await withMessages();
    expect(await advance(1000, START)).toMatchObject({ row: { readN: 5, readFrom: 0 }, moved: 5 });
    expect((await row()).readN).toBe(5);
    await under().store.messages.append([draft(high), draft(low), draft(high)]);
    expect(await row()).toMatchObject({ peerSent: 7, readN: 5 });
    expect(await under().store.conversations.unread(low)).toBe(2);
    const [other] = await under().store.conversations.get([{ user: high, conversation: id }]);
    expect(other).toMatchObject({ peerSent: 3, readN: 0, readAt: 0 });
  });

  it.each([4, 3, 0, -1])('[S15] a lower or equal value (%i) changes nothing', async (readN) => {
    const { advance, row } = await withMessages();
    await advance(4, START + 10);
    const before = await row();
    expect(await advance(readN, START + 20)).toEqual({ row: before, moved: 0 });
    expect(await row()).toEqual(before);
  });

  it('[S15] without a row there is nothing to advance, and no row comes to be', async () => {
    const { id } = await withMessages();
    const stranger = { user: newId(), conversation: id };
    expect(await under().store.receipts.advance({ ...stranger, readN: 1, at: START })).toBeUndefined();
    const unknown = { user: newId(), conversation: pair().id };
    expect(await under().store.receipts.advance({ ...unknown, readN: 1, at: START })).toBeUndefined();
    expect(await under().store.conversations.get([stranger, unknown])).toEqual([]);
  });

  it('[S15] the same advance from two stores at once moves once', async () => {
    const { advance, row } = await withMessages();
    const { store, reopen } = under();
    const other = reopen ? await reopen() : store;
    const results = await Promise.all(upTo(10).map((i) => advance(5, START + i, i % 2 ? store : other)));
    expect(results.map((result) => result?.moved).filter((moved) => moved !== 0)).toEqual([5]);
    const winner = results.find((result) => result?.moved === 5);
    expect(await row()).toEqual(winner?.row);
    for (const result of results) expect(result?.row).toEqual(winner?.row);
  });

  it('[S15] different advances at once: what moved adds up, readFrom and readAt belong to the last of them', async () => {
    for (let round = 0; round < 5; round += 1) {
      const { advance, row } = await withMessages();
      const results = await Promise.all([3, 1, 5, 2, 4].map((readN) => advance(readN, START + readN)));
      const moved = results.map((result) => result?.moved ?? 0);
      expect(moved.reduce((a, b) => a + b)).toBe(5);
      const last = results.find((result) => result?.moved !== 0 && result?.row.readN === 5);
      expect(await row()).toMatchObject({ readN: 5, readAt: START + 5, readFrom: 5 - (last?.moved ?? 0) });
    }
  });

  it('[S15] messages that arrive meanwhile and advances do not disturb each other', async () => {
    const { advance, row, high, draft } = await withMessages();
    await Promise.all(
      upTo(20).map((i) => (i % 2 ? under().store.messages.append([draft(high)]) : advance(i / 2, START + i))),
    );
    expect(await row()).toMatchObject({ peerSent: 15, lastSeq: 17 });
    await advance(15, START + 100);
    expect(await row()).toMatchObject({ peerSent: 15, readN: 15, readAt: START + 100 });
  });
}
