import { type Draft, messageId } from '@duet/core';
import { expect, it } from 'vitest';
import { pair, type StoreUnderTest, seqs, TEXTS, upTo } from './common.ts';

/** Called by `storeSuite`. */
export function appendTests(under: () => StoreUnderTest): void {
  const append = (drafts: Draft[]) => under().store.messages.append(drafts);
  const all = (conversation: string) => under().store.messages.page({ conversation, limit: 1000 });

  it('[S5] the first entry: seq 1, the id of its place, the sent counters, all that the draft said', async () => {
    const { id, low, draft } = pair();
    const first = draft(low);
    const results = await append([first]);
    const entry = { ...first, seq: 1, id: messageId(id, 1), sent: [1, 0] };
    expect(results).toEqual([{ entry, fresh: true }]);
    expect(await all(id)).toEqual([entry]);
  });

  it('[S5] seq is dense from 1, whoever sends, and `sent` counts each side', async () => {
    const { id, low, high, draft } = pair();
    const senders = [low, high, high, low, high];
    for (const sender of senders) await append([draft(sender)]);
    const entries = await all(id);
    expect(seqs(entries)).toEqual(upTo(5));
    expect(entries.map((entry) => entry.sender)).toEqual(senders);
    expect(entries.map((entry) => entry.sent)).toEqual(
      ['1,0', '1,1', '1,2', '2,2', '2,3'].map((s) => s.split(',').map(Number)),
    );
    expect(entries.map((entry) => entry.id)).toEqual(upTo(5).map((seq) => messageId(id, seq)));
  });

  it('[S5] a group of 64 of one conversation keeps its order', async () => {
    const { id, low, high, draft } = pair();
    await append([draft(high)]);
    const drafts = upTo(64).map((i) => draft(i % 3 === 0 ? high : low, `no ${i}`));
    const results = await append(drafts);
    expect(results.map(({ entry }) => entry.seq)).toEqual(upTo(64).map((i) => i + 1));
    expect(results.map(({ entry }) => entry.content)).toEqual(drafts.map(({ content }) => content));
    expect(results.every(({ fresh }) => fresh)).toBe(true);
    expect((await all(id)).slice(1)).toEqual(results.map(({ entry }) => entry));
    expect(results.at(-1)?.entry.sent.reduce((a, b) => a + b)).toBe(65);
  });

  it('[S5] a group of 64 conversations', async () => {
    const pairs = upTo(64).map(() => pair());
    const results = await append(pairs.map(({ low, draft }) => draft(low)));
    expect(results.map(({ entry }) => entry.conversation)).toEqual(pairs.map(({ id }) => id));
    expect(results.every(({ entry, fresh }) => fresh && entry.seq === 1)).toBe(true);
  });

  it('[S5] conversations mixed in one group: each result belongs to its draft, each order is kept', async () => {
    const pairs = [pair(), pair(), pair()] as const;
    const order = [0, 1, 0, 2, 1, 0, 0, 2, 1, 0] as const;
    const drafts = order.map((which, i) => pairs[which].draft(i % 2 ? pairs[which].low : pairs[which].high));
    const results = await append(drafts);
    expect(results.map(({ entry }) => entry.tempId)).toEqual(drafts.map(({ tempId }) => tempId));
    for (const { id } of pairs) {
      const own = drafts.filter(({ conversation }) => conversation === id);
      const stored = await all(id);
      expect(seqs(stored)).toEqual(upTo(own.length));
      expect(stored.map(({ tempId }) => tempId)).toEqual(own.map(({ tempId }) => tempId));
    }
  });

  it('[S5] an empty group is nothing', async () => {
    expect(await append([])).toEqual([]);
  });

  it('[S6] both inbox rows are right when append resolves', async () => {
    const { id, low, high, draft } = pair();
    const { conversations } = under().store;
    const rows = () =>
      Promise.all([low, high].map(async (one) => (await conversations.get([{ user: one, conversation: id }]))[0]));
    const first = draft(low);
    await append([first]);
    const unmarked = { n: 0, from: 0, seq: 0, at: 0 };
    const marks = { read: unmarked, delivered: unmarked };
    const common = { conversation: id, lastSeq: 1, lastAt: first.createdAt, ...marks };
    expect(await rows()).toEqual([
      { ...common, user: low, peer: high, peerSent: 0 },
      { ...common, user: high, peer: low, peerSent: 1 },
    ]);
    const more = [draft(high), draft(low), draft(high), draft(low), draft(low)];
    await append(more);
    const now = { ...common, lastSeq: 6, lastAt: more[4]?.createdAt };
    expect(await rows()).toEqual([
      { ...now, user: low, peer: high, peerSent: 2 },
      { ...now, user: high, peer: low, peerSent: 4 },
    ]);
  });

  it('[S7] text comes back exactly', async () => {
    const { id, low, high, draft } = pair();
    const drafts = TEXTS.map((text, i) => draft(i % 2 ? low : high, text));
    const results = await append(drafts);
    expect(results.map(({ entry }) => entry.content)).toEqual(TEXTS);
    expect((await all(id)).map(({ content }) => content)).toEqual(TEXTS);
  });

  it('[S7] so do tempIds and message types', async () => {
    const { id, low, draft } = pair();
    const tempIds = ['$a.b', 'temp-0', "'; DROP TABLE messages; --", '{"$gt":""}', '😀'.repeat(64), ' ', 'Temp-0'];
    const types = ['text', 'image', 'file'] as const;
    const drafts = tempIds.map((tempId, i) => ({ ...draft(low, 'x', tempId), messageType: types[i % 3] ?? 'text' }));
    expect((await append(drafts)).every(({ fresh }) => fresh)).toBe(true);
    const entries = await all(id);
    expect(entries.map(({ tempId }) => tempId)).toEqual(tempIds);
    expect(entries.map(({ messageType }) => messageType)).toEqual(drafts.map(({ messageType }) => messageType));
  });
}
