import { type Draft, sentBy } from '@duet/core';
import { expect, it } from 'vitest';
import { newId, pair, START, type StoreUnderTest, seqs } from './common.ts';

/** Called by `storeSuite`. */
export function privacyTests(under: () => StoreUnderTest): void {
  it('[S21] who blocks whom since when, and what users hide, is kept by user', async () => {
    const { privacy } = under().store;
    const [user, other, peer, another] = [newId(), newId(), newId(), newId()];
    expect(await privacy.get([user, other])).toEqual([]);
    await privacy.block(user, peer, START);
    await privacy.block(user, peer, START + 5);
    await privacy.block(user, another, START + 1);
    await privacy.hide(other, ['typing', 'lastSeen']);
    const [first] = await privacy.get([user]);
    expect(first).toMatchObject({ user, hides: [] });
    expect(first?.blocked.toSorted((a, b) => a.at - b.at)).toEqual([
      { user: peer, at: START },
      { user: another, at: START + 1 },
    ]);
    expect((await privacy.get([other, user, newId(), user])).map((each) => each.user).sort()).toEqual(
      [other, user].sort(),
    );
    await privacy.hide(other, ['readReceipts', 'typing']);
    await privacy.show(other, ['typing', 'lastSeen']);
    await privacy.show(other, []);
    expect(await privacy.get([other])).toEqual([{ user: other, hides: ['readReceipts'], blocked: [] }]);
    await privacy.show(other, ['readReceipts']);
    await privacy.unblock(user, peer);
    await privacy.unblock(user, another);
    await privacy.unblock(user, another);
    expect(await privacy.get([user, other])).toEqual([]);
  });

  it('[S21] blocks that race all stay, and one that is made twice at once is one', async () => {
    const { privacy } = under().store;
    const user = newId();
    const peers = Array.from({ length: 20 }, newId);
    await Promise.all([...peers, ...peers].map((peer) => privacy.block(user, peer, START)));
    const [found] = await privacy.get([user]);
    expect(found?.blocked.map((each) => each.user).sort()).toEqual(peers.sort());
  });

  it('[S21] of what a user hides and shows at once nothing is lost', async () => {
    const { privacy } = under().store;
    const user = newId();
    await privacy.hide(user, ['readReceipts']);
    await Promise.all([
      privacy.hide(user, ['lastSeen']),
      privacy.show(user, ['readReceipts']),
      privacy.hide(user, ['typing']),
    ]);
    const [found] = await privacy.get([user]);
    expect(found?.hides.toSorted()).toEqual(['lastSeen', 'typing']);
  });

  it('[S22] what is hidden has its place, counts for nobody, and is there for its sender alone', async () => {
    const { messages, conversations } = under().store;
    const { id, low, high, draft } = pair();
    const hidden = (content: string) => ({ ...draft(low, content), hidden: true as const });
    const appended = await messages.append([
      draft(low, '1'),
      draft(high, '2'),
      hidden('3'),
      draft(low, '4'),
      hidden('5'),
    ]);
    const repeat = await messages.append([{ ...hidden('5'), tempId: appended[4]?.entry.tempId ?? '' }]);
    expect(repeat).toEqual([{ entry: appended[4]?.entry, fresh: false }]);
    await messages.append([hidden('6')]);
    const page = async (viewer: string, query = {}) =>
      seqs(await messages.page({ conversation: id, viewer, limit: 10, ...query }));
    expect(await page(low)).toEqual([1, 2, 3, 4, 5, 6]);
    expect(await page(high)).toEqual([1, 2, 4]);
    expect(await page(high, { limit: 2 })).toEqual([2, 4]);
    expect(await page(high, { limit: 1, skip: 1 })).toEqual([2]);
    expect(await page(high, { after: 2 })).toEqual([4]);
    expect(await page(high, { before: 4, limit: 1 })).toEqual([2]);
    expect(seqs(await messages.page({ conversation: id, limit: 10 }))).toEqual([1, 2, 3, 4, 5, 6]);
    const entries = await messages.get([1, 3, 4, 6].map((seq) => ({ conversation: id, seq })));
    const bySeq = new Map(entries.map((entry) => [entry.seq, entry]));
    expect([1, 3, 4, 6].map((seq) => bySeq.get(seq)?.hidden ?? false)).toEqual([false, true, false, true]);
    expect([1, 3, 4, 6].map((seq) => sentBy(low, bySeq.get(seq) as (typeof entries)[0]))).toEqual([1, 1, 2, 2]);

    const row = async (user: string) => (await conversations.get([{ user, conversation: id }]))[0];
    expect(await row(high)).toMatchObject({ lastSeq: 4, peerSent: 2, lastAt: bySeq.get(4)?.createdAt });
    expect(await row(low)).toMatchObject({ lastSeq: 6, peerSent: 1, lastAt: bySeq.get(6)?.createdAt });
    expect(await conversations.list({ user: high, limit: 10 })).toEqual([await row(high)]);
    expect(await conversations.walk({ user: high, limit: 10 })).toEqual([await row(high)]);
    expect(await conversations.unread(high)).toBe(2);
  });

  it('[S22] however much is hidden, from whichever side, pages and rows are those of what is seen', async () => {
    const { store, forgetShown } = under();
    const { messages, conversations } = store;
    const { id, low, high, draft } = pair();
    const hidden = (sender: string, count: number) =>
      Array.from({ length: count }, () => ({ ...draft(sender), hidden: true as const }));
    const groups = [
      [...hidden(low, 7), draft(low), draft(high)],
      [...hidden(high, 5), ...hidden(low, 9), draft(high), ...hidden(low, 1)],
      [draft(low), draft(high), draft(low), ...hidden(high, 12)],
      hidden(low, 20),
    ];
    const appended = [];
    for (const group of groups) appended.push(...(await messages.append(group)));
    const entries = appended.map(({ entry }) => entry);

    async function expectSeen(viewer: string): Promise<void> {
      const seen = seqs(entries.filter((entry) => !(entry.hidden && entry.receiver === viewer)));
      const page = async (query: object) => seqs(await messages.page({ conversation: id, viewer, limit: 5, ...query }));
      expect(await page({ limit: 100 })).toEqual(seen);
      expect(await page({ limit: 100, after: 0 })).toEqual(seen);
      for (const at of [1, 15, 25, 60]) {
        const [below, above] = [seen.filter((seq) => seq < at), seen.filter((seq) => seq > at)];
        expect(await page({ before: at }), `before ${at}`).toEqual(below.slice(-5));
        expect(await page({ before: at, skip: 3 }), `before ${at}`).toEqual(below.slice(0, -3).slice(-5));
        expect(await page({ after: at }), `after ${at}`).toEqual(above.slice(0, 5));
        expect(await page({ after: at, skip: 2, before: 30 }), `after ${at}`).toEqual(
          above.filter((seq) => seq < 30).slice(2, 7),
        );
      }
      const [row] = await conversations.get([{ user: viewer, conversation: id }]);
      expect(row?.lastSeq).toBe(seen.at(-1));
    }
    await expectSeen(low);
    await expectSeen(high);
    if (!forgetShown) return;
    const more = async (drafts: Draft[]) => entries.push(...(await messages.append(drafts)).map(({ entry }) => entry));
    // Behind what knows `shown` comes what does not, and the other way round, in one piece.
    await forgetShown({ conversation: id, seq: 45 });
    const before = entries.length;
    await more(hidden(low, 3));
    expect(entries.slice(before).map(({ shown }) => shown)).toEqual([40, 40, 40]);
    await more([draft(high), ...hidden(high, 2)]);
    await expectSeen(low);
    await expectSeen(high);
    await forgetShown({ conversation: id, seq: 12 });
    await expectSeen(low);
    await expectSeen(high);
  });

  it('[S22] where all is hidden there is a conversation for its sender alone, until something is not', async () => {
    const { messages, conversations } = under().store;
    const { low, high, draft, id } = pair();
    await messages.append([{ ...draft(low), hidden: true }]);
    expect(await conversations.list({ user: high, limit: 10 })).toEqual([]);
    expect(await conversations.peers(high, 10)).toEqual([]);
    expect(await conversations.unread(high)).toBe(0);
    expect(await conversations.list({ user: low, limit: 10 })).toMatchObject([{ lastSeq: 1, peerSent: 0 }]);
    await messages.append([draft(low)]);
    expect(await conversations.list({ user: high, limit: 10 })).toMatchObject([
      { conversation: id, lastSeq: 2, peerSent: 1 },
    ]);
  });

  it('[S22] where two who have blocked each other write at once, each has a conversation with what he wrote', async () => {
    const { messages, conversations } = under().store;
    const { low, high, draft } = pair();
    const hidden = (sender: string): Draft => ({ ...draft(sender), hidden: true });
    const appended = await messages.append([hidden(low), hidden(high), hidden(low)]);
    const [, second, third] = appended.map(({ entry }) => entry);
    const list = (user: string) => conversations.list({ user, limit: 10 });
    expect(await list(high)).toMatchObject([{ peer: low, lastSeq: 2, lastAt: second?.createdAt }]);
    expect(await list(low)).toMatchObject([{ peer: high, lastSeq: 3, lastAt: third?.createdAt }]);
  });
}
