import type { Draft } from '@duet/core';
import { expect, it } from 'vitest';
import { newId, pair, START, type StoreUnderTest, seqs, upTo } from './common.ts';

/** Called by `storeSuite`. */
export function repeatTests(under: () => StoreUnderTest): void {
  const append = (drafts: Draft[]) => under().store.messages.append(drafts);
  const all = (conversation: string) => under().store.messages.page({ conversation, limit: 1000 });

  it('[S8] the same tempId again: fresh false, the stored entry, nothing more stored', async () => {
    const { id, low, high, draft } = pair();
    const first = draft(low, 'once');
    const [stored] = await append([first]);
    await append([draft(high)]);
    const again = await append([{ ...first, content: 'another text', messageType: 'file', createdAt: START + 9999 }]);
    expect(again).toEqual([{ entry: stored?.entry, fresh: false }]);
    expect(seqs(await all(id))).toEqual([1, 2]);
    expect((await append([draft(low)]))[0]?.entry.seq).toBe(3);
  });

  it('[S8] a repeat leaves both inbox rows right', async () => {
    const { id, low, high, draft } = pair();
    const keys = [low, high].map((one) => ({ user: one, conversation: id }));
    const first = draft(low);
    await append([first]);
    await append([draft(high)]);
    const before = await under().store.conversations.get(keys);
    await append([{ ...first, createdAt: START + 9999 }]);
    const after = await under().store.conversations.get(keys);
    expect(before).toHaveLength(2);
    expect(after).toEqual(expect.arrayContaining(before));
  });

  it('[S8] the same message twice in one group is stored once', async () => {
    const { id, low, draft } = pair();
    const [first, second] = [draft(low), draft(low)];
    const results = await append([first, second, { ...first, content: 'another text' }, first]);
    expect(results.map(({ fresh }) => fresh)).toEqual([true, true, false, false]);
    expect(results.map(({ entry }) => entry.seq)).toEqual([1, 2, 1, 1]);
    expect(results[2]?.entry).toEqual(results[0]?.entry);
    expect((await all(id)).map(({ tempId }) => tempId)).toEqual([first.tempId, second.tempId]);
  });

  it('[S8] repeats between new drafts of a group leave no hole and keep the order', async () => {
    const { id, low, high, draft } = pair();
    const old = upTo(3).map(() => draft(low));
    await append(old);
    const [a, b, c, d] = upTo(4).map(() => draft(high)) as [Draft, Draft, Draft, Draft];
    const results = await append([old[2] as Draft, a, old[0] as Draft, b, c, old[1] as Draft, d]);
    expect(results.map(({ entry }) => entry.seq)).toEqual([3, 4, 1, 5, 6, 2, 7]);
    expect(results.map(({ fresh }) => fresh)).toEqual([false, true, false, true, true, false, true]);
    const entries = await all(id);
    expect(seqs(entries)).toEqual(upTo(7));
    expect(entries.map(({ tempId }) => tempId)).toEqual([...old, a, b, c, d].map(({ tempId }) => tempId));
    expect(entries.at(-1)?.sent.toSorted()).toEqual([3, 4]);
  });

  it('[S8] a repeat among hundreds of new drafts leaves no hole in any conversation', async () => {
    const [one, other] = [pair(), pair()];
    const old = one.draft(one.low);
    await append([old]);
    const drafts = [one.draft(one.high), old, ...upTo(250).map(() => other.draft(other.low))];
    const results = await append(drafts);
    expect(results.map(({ entry }) => entry.seq)).toEqual([2, 1, ...upTo(250)]);
    expect(results.map(({ fresh }) => fresh)).toEqual([true, false, ...upTo(250).map(() => true)]);
    const stored = await all(other.id);
    expect(seqs(stored)).toEqual(upTo(250));
    expect(stored.map(({ tempId }) => tempId)).toEqual(drafts.slice(2).map(({ tempId }) => tempId));
  });

  it('[S8] a whole group again is the same answer', async () => {
    const pairs = upTo(16).map(() => pair());
    const drafts = upTo(64).map((i) => {
      const { low, high, draft } = pairs[i % 16] as ReturnType<typeof pair>;
      return draft(i % 5 ? low : high);
    });
    const first = await append(drafts);
    const again = await append(drafts);
    expect(again.map(({ entry }) => entry)).toEqual(first.map(({ entry }) => entry));
    expect(again.some(({ fresh }) => fresh)).toBe(false);
  });

  it('[S8] the tempId of the other side, or in another conversation, is another message', async () => {
    const tempId = `temp-${newId()}`;
    const one = pair();
    const other = pair(one.low, newId());
    const drafts = [
      one.draft(one.low, 'a', tempId),
      one.draft(one.high, 'b', tempId),
      other.draft(one.low, 'c', tempId),
      one.draft(one.low, 'd', tempId.toUpperCase()),
    ];
    const results = await append(drafts);
    expect(results.every(({ fresh }) => fresh)).toBe(true);
    expect((await all(one.id)).map(({ content }) => content)).toEqual(['a', 'b', 'd']);
    expect((await all(other.id)).map(({ content }) => content)).toEqual(['c']);
  });

  it('[S8] a tempId counts for ever: repeated behind 300 newer entries', async () => {
    const { low, draft } = pair();
    const first = draft(low);
    const [stored] = await append([first]);
    for (let i = 0; i < 5; i += 1) await append(upTo(60).map(() => draft(low)));
    expect(await append([first])).toEqual([{ entry: stored?.entry, fresh: false }]);
  });
}
