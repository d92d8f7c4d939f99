import type { InboxRow, Receipt, Store, WatermarkKind } from '@duet/core';
import { expect, it } from 'vitest';
import { newId, pair, START, type StoreUnderTest, upTo } from './common.ts';

const UNMARKED = { n: 0, from: 0, seq: 0, at: 0 };
const kinds = ['read', 'delivered'] as const;
const other = (kind: WatermarkKind): WatermarkKind => (kind === 'read' ? 'delivered' : 'read');

/** Called by `storeSuite`. */
export function receiptTests(under: () => StoreUnderTest): void {
  /** A conversation in which `low` has sent 2 messages and `high` 5; `low` marks. */
  async function withMessages(kind: WatermarkKind = 'read') {
    const { id, low, high, draft } = pair();
    await under().store.messages.append([low, high, high, low, high, high, high].map((sender) => draft(sender)));
    const receipt = (n: number, at: number): Receipt => ({ kind, user: low, conversation: id, n, seq: n + 2, at });
    const advance = async (n: number, at: number, on: Store = under().store) =>
      (await on.receipts.advance([receipt(n, at)]))[0];
    const row = async () => (await under().store.conversations.get([{ user: low, conversation: id }]))[0] as InboxRow;
    return { id, low, high, draft, receipt, advance, row };
  }

  it.each(kinds)('[S15] advance raises the %s watermark; from, seq and at tell what was marked when', async (kind) => {
    const { advance, row } = await withMessages(kind);
    const before = await row();
    expect(before).toMatchObject({ peerSent: 5, read: UNMARKED, delivered: UNMARKED });
    const first = { ...before, [kind]: { n: 2, from: 0, seq: 4, at: START + 10 } };
    expect(await advance(2, START + 10)).toEqual({ row: first, moved: 2 });
    expect(await row()).toEqual(first);
    const second = { ...before, [kind]: { n: 5, from: 2, seq: 7, at: START + 20 } };
    expect(await advance(5, START + 20)).toEqual({ row: second, moved: 3 });
    expect(await row()).toEqual(second);
    expect((await row())[other(kind)]).toEqual(UNMARKED);
  });

  it('[S15] many receipts at once: each has its result, in their order', async () => {
    const [one, two] = [await withMessages(), await withMessages('delivered')];
    const stranger = { ...one.receipt(1, START), user: newId() };
    const results = await under().store.receipts.advance([
      one.receipt(2, START),
      two.receipt(3, START),
      stranger,
      { ...one.receipt(1, START), kind: 'delivered' },
    ]);
    expect(results.map((result) => result?.moved)).toEqual([2, 3, undefined, 1]);
    expect(await one.row()).toMatchObject({ read: { n: 2 }, delivered: { n: 1 } });
    expect(await two.row()).toMatchObject({ read: { n: 0 }, delivered: { n: 3 } });
    expect(await under().store.receipts.advance([])).toEqual([]);
  });

  it('[S15] receipts for one mark in one go: each raises it as if they came one after the other', async () => {
    const { receipt, row } = await withMessages();
    const results = await under().store.receipts.advance([3, 1, 5, 2, 1000].map((n) => receipt(n, START + n)));
    expect(results.map((result) => result?.moved)).toEqual([3, 0, 2, 0, 0]);
    expect(results.at(-1)?.row).toEqual(await row());
    expect(await row()).toMatchObject({ read: { n: 5, seq: 7, at: START + 5 } });
  });

  it('[S15] advance stops at what the peer has sent', async () => {
    const { advance, row, low, high, id, draft } = await withMessages();
    // A receipt for a message that this row does not know: its place lies beyond what is marked, and so would those between.
    const read = { n: 5, from: 0, seq: 7, at: START };
    expect(await advance(1000, START)).toMatchObject({ row: { read }, moved: 5 });
    expect((await row()).read).toEqual(read);
    await under().store.messages.append([draft(high), draft(low), draft(high)]);
    expect(await row()).toMatchObject({ peerSent: 7, read: { n: 5 } });
    expect(await under().store.conversations.unread(low)).toBe(2);
    const [theirs] = await under().store.conversations.get([{ user: high, conversation: id }]);
    expect(theirs).toMatchObject({ peerSent: 3, read: UNMARKED, delivered: UNMARKED });
  });

  it.each([4, 3, 0, -1])('[S15] a lower or equal value (%i) changes nothing', async (n) => {
    const { advance, row } = await withMessages();
    await advance(4, START + 10);
    const before = await row();
    expect(await advance(n, START + 20)).toEqual({ row: before, moved: 0 });
    expect(await row()).toEqual(before);
  });

  it('[S15] without a row there is nothing to advance, and no row comes to be', async () => {
    const { id, receipt } = await withMessages();
    const stranger = { user: newId(), conversation: id };
    const unknown = { user: newId(), conversation: pair().id };
    const receipts = [stranger, unknown].map((key) => ({ ...receipt(1, START), ...key }));
    expect(await under().store.receipts.advance(receipts)).toEqual([undefined, undefined]);
    expect(await under().store.conversations.get([stranger, unknown])).toEqual([]);
  });

  it('[S15] the same advance from two stores at once moves once', async () => {
    const { advance, row } = await withMessages();
    const { store, reopen } = under();
    const second = reopen ? await reopen() : store;
    const results = await Promise.all(upTo(10).map((i) => advance(5, START + i, i % 2 ? store : second)));
    expect(results.map((result) => result?.moved).filter((moved) => moved !== 0)).toEqual([5]);
    const winner = results.find((result) => result?.moved === 5);
    expect(await row()).toEqual(winner?.row);
    for (const result of results) expect(result?.row).toEqual(winner?.row);
  });

  it('[S15] different advances at once: what moved adds up, from and at belong to the last of them', async () => {
    for (let round = 0; round < 5; round += 1) {
      const { advance, row } = await withMessages();
      const results = await Promise.all([3, 1, 5, 2, 4].map((n) => advance(n, START + n)));
      const moved = results.map((result) => result?.moved ?? 0);
      expect(moved.reduce((a, b) => a + b)).toBe(5);
      const last = results.find((result) => result?.moved !== 0 && result?.row.read.n === 5);
      expect((await row()).read).toEqual({ n: 5, seq: 7, at: START + 5, from: 5 - (last?.moved ?? 0) });
    }
  });

  it('[S15] messages that arrive meanwhile and advances do not disturb each other', async () => {
    const { advance, row, high, draft } = await withMessages();
    await Promise.all(
      upTo(20).map((i) => (i % 2 ? under().store.messages.append([draft(high)]) : advance(i / 2, START + i))),
    );
    expect(await row()).toMatchObject({ peerSent: 15, lastSeq: 17 });
    await advance(15, START + 100);
    expect(await row()).toMatchObject({ peerSent: 15, read: { n: 15, at: START + 100 } });
  });
}
