import type { Store, WrappedKey } from '@duet/core';
import { expect, it } from 'vitest';
import { byBytes, newId, pair, type StoreUnderTest, upTo } from './common.ts';

/** Called by `storeSuite`. */
export function dataKeyTests(under: () => StoreUnderTest): void {
  const keyOf = (conversation: string, ringKey = 'first'): WrappedKey => {
    const made = newId();
    return { conversation, id: made.slice(0, 8), ringKey, wrapped: `wrapped ${made}` };
  };
  const sorted = (keys: WrappedKey[]) => keys.toSorted((a, b) => byBytes(a.conversation, b.conversation));
  const dataKeys = () => under().store.dataKeys;

  it('[S19] keys come back as they were stored, and only those that exist', async () => {
    const keys = upTo(70).map(() => keyOf(pair().id));
    const conversations = keys.map(({ conversation }) => conversation);
    expect(await dataKeys().get(conversations)).toEqual([]);
    expect(sorted(await dataKeys().put(keys.map((key) => ({ key }))))).toEqual(sorted(keys));
    expect(sorted(await dataKeys().get([...conversations, pair().id]))).toEqual(sorted(keys));
    expect(await dataKeys().get([])).toEqual([]);
    expect(await dataKeys().put([])).toEqual([]);
  });

  it('[S19] a conversation that has a key keeps it, and whoever comes later learns it', async () => {
    const { id } = pair();
    const first = keyOf(id);
    await dataKeys().put([{ key: first }]);
    const other = keyOf(pair().id);
    expect(sorted(await dataKeys().put([{ key: keyOf(id) }, { key: other }]))).toEqual(sorted([first, other]));
    expect(await dataKeys().get([id])).toEqual([first]);
  });

  it('[S19] of many who give a conversation its key at once, from two stores, one wins and all learn it', async () => {
    const { store, reopen } = under();
    const stores: Store[] = [store, reopen ? await reopen() : store];
    for (let round = 0; round < 5; round++) {
      const { id } = pair();
      const puts = upTo(10).map((i) => (stores[i % 2] as Store).dataKeys.put([{ key: keyOf(id) }]));
      const results = await Promise.all(puts);
      const [stored] = await dataKeys().get([id]);
      for (const result of results) expect(result).toEqual([stored]);
    }
  });

  it('[S20] a key is replaced over the one that was known, and over no other', async () => {
    const { id } = pair();
    const [first, second, third] = [keyOf(id), keyOf(id, 'second'), keyOf(id, 'third')];
    await dataKeys().put([{ key: first }]);
    expect(await dataKeys().put([{ key: second, over: first }])).toEqual([second]);
    expect(await dataKeys().put([{ key: third, over: first }])).toEqual([second]);
    await dataKeys().remove(id);
    expect(await dataKeys().put([{ key: third, over: second }])).toEqual([]);
    expect(await dataKeys().get([id])).toEqual([]);
  });

  it('[S20] keys are listed by the key that wraps them, page by page, and whole ring keys passed over', async () => {
    const ringKeys = ['a', 'b', 'c'].map((name) => `${name}-${newId()}`);
    const keys = upTo(21).map((i) => keyOf(pair().id, ringKeys[i % 3]));
    await dataKeys().put(keys.map((key) => ({ key })));
    const expected = keys.toSorted((a, b) => byBytes(a.ringKey + a.conversation, b.ringKey + b.conversation));
    const [first, second] = ringKeys as [string, string];
    const listed: WrappedKey[] = [];
    for (let after: { ringKey: string; conversation: string } = { ringKey: first, conversation: '' }; ; ) {
      const page = await dataKeys().list({ after, limit: 4 });
      listed.push(...page.filter(({ ringKey }) => ringKeys.includes(ringKey)));
      const last = page.at(-1);
      if (page.length < 4 || !last) break;
      after = last;
    }
    // Other tests have keys here as well; those of `b` and `c` may have theirs between.
    expect(listed).toEqual(expected);
    const [next] = await dataKeys().list({ after: { ringKey: first }, limit: 1 });
    expect((next?.ringKey ?? '') > first).toBe(true);
    expect(await dataKeys().list({ after: { ringKey: second, conversation: '' }, limit: 3 })).toEqual(
      expected.slice(7, 10),
    );
  });

  it('[S20] a key that is removed is gone, the others are not, and a new one may come', async () => {
    const [one, other] = [pair().id, pair().id].map((id) => keyOf(id)) as [WrappedKey, WrappedKey];
    await dataKeys().put([{ key: one }, { key: other }]);
    await dataKeys().remove(one.conversation);
    await dataKeys().remove(one.conversation);
    expect(await dataKeys().get([one.conversation, other.conversation])).toEqual([other]);
    const next = keyOf(one.conversation);
    expect(await dataKeys().put([{ key: next }])).toEqual([next]);
  });
}
