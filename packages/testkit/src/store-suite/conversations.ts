import { type InboxRow, UNMARKED } from '@duet/core';
import { beforeAll, expect, it } from 'vitest';
import { byBytes, newId, pair, START, type StoreUnderTest, upTo } from './common.ts';

const byNewest = (one: InboxRow, other: InboxRow) =>
  other.lastAt - one.lastAt || byBytes(other.conversation, one.conversation);

/** Called by `storeSuite`. */
export function conversationTests(under: () => StoreUnderTest): void {
  const me = newId();
  const pairs = upTo(12).map(() => pair(me, newId()));
  const list = (query: { limit: number; after?: { lastAt: number; conversation: string }; user?: string }) =>
    under().store.conversations.list({ user: me, ...query });

  beforeAll(async () => {
    // Three conversations share each time, so that only the second part of the order can tell them apart.
    const drafts = pairs.flatMap((one, i) => {
      const peer = one.low === me ? one.high : one.low;
      const createdAt = START + Math.floor(i / 3) * 1000;
      return upTo(i + 1).map((n) => ({ ...one.draft(n === 1 ? me : peer), createdAt }));
    });
    for (let i = 0; i < drafts.length; i += 64) await under().store.messages.append(drafts.slice(i, i + 64));
  });

  it('[S12] list: all rows of the user by time, then conversation, newest first', async () => {
    const rows = await list({ limit: 100 });
    expect(rows.map(({ conversation }) => conversation).sort()).toEqual(pairs.map(({ id }) => id).sort());
    expect(rows).toEqual(rows.toSorted(byNewest));
    expect(rows.every((row) => row.user === me)).toBe(true);
    expect(new Set(rows.map(({ lastAt }) => lastAt)).size).toBe(4);
  });

  it.each([1, 2, 3, 5])('[S12] pages of %i rows hold every row once, across equal times', async (limit) => {
    const whole = await list({ limit: 100 });
    const found: InboxRow[] = [];
    for (;;) {
      const after = found.at(-1);
      const rows = await list({ limit, ...(after ? { after } : {}) });
      if (rows.length === 0) break;
      expect(rows.length).toBeLessThanOrEqual(limit);
      found.push(...rows);
    }
    expect(found).toEqual(whole);
  });

  it('[S18] peers: those of the newest conversations first', async () => {
    const { peers } = under().store.conversations;
    const all = (await list({ limit: 100 })).map(({ peer }) => peer);
    expect(await peers(me, 100)).toEqual(all);
    expect(await peers(me, 5)).toEqual(all.slice(0, 5));
    expect(await peers(me, 0)).toEqual([]);
    expect(await peers(newId(), 5)).toEqual([]);
  });

  it('[S12] a cursor need not be a row', async () => {
    const rows = await list({ limit: 100 });
    const after = { lastAt: START + 1500, conversation: '8' };
    expect(await list({ limit: 100, after })).toEqual(rows.filter(({ lastAt }) => lastAt < START + 1500));
    expect(await list({ limit: 100, after: { lastAt: 0, conversation: '' } })).toEqual([]);
  });

  it('[S12] a new message brings its conversation to the top, for both users', async () => {
    const [a, b, c] = [newId(), newId(), newId()];
    const [ab, ac] = [pair(a, b), pair(a, c)];
    const { messages, conversations } = under().store;
    const order = async (user: string) =>
      (await conversations.list({ user, limit: 10 })).map(({ conversation }) => conversation);
    await messages.append([{ ...ab.draft(a), createdAt: START }]);
    await messages.append([{ ...ac.draft(c), createdAt: START + 1 }]);
    expect(await order(a)).toEqual([ac.id, ab.id]);
    await messages.append([{ ...ab.draft(b), createdAt: START + 2 }]);
    expect(await order(a)).toEqual([ab.id, ac.id]);
    expect(await order(b)).toEqual([ab.id]);
  });

  it('[S12] somebody without messages has no rows', async () => {
    expect(await list({ user: newId(), limit: 10 })).toEqual([]);
  });

  it.each([1, 5, 12, 100])('[S17] walked %i at a time, every row comes once, by conversation', async (limit) => {
    const walked: InboxRow[] = [];
    for (;;) {
      const after = walked.at(-1)?.conversation;
      const rows = await under().store.conversations.walk({ user: me, limit, ...(after ? { after } : {}) });
      walked.push(...rows);
      if (rows.length < limit) break;
    }
    const whole = await list({ limit: 100 });
    expect(walked).toEqual(whole.toSorted((one, other) => byBytes(one.conversation, other.conversation)));
    expect(await under().store.conversations.walk({ user: newId(), limit: 5 })).toEqual([]);
    expect(await under().store.conversations.walk({ user: me, limit: 0 })).toEqual([]);
  });

  it('[S13] get gives the rows that exist among the keys', async () => {
    const rows = await list({ limit: 100 });
    const keys = rows.map(({ user, conversation }) => ({ user, conversation }));
    const found = await under().store.conversations.get([
      ...keys,
      { user: newId(), conversation: keys[0]?.conversation ?? '' },
      { user: me, conversation: pair().id },
    ]);
    expect(found).toHaveLength(12);
    expect(found).toEqual(expect.arrayContaining(rows));
    expect(await under().store.conversations.get([])).toEqual([]);
  });

  it('[S13] get of the rows of many users', async () => {
    const peers = pairs.map(({ id, low, high }) => ({ user: low === me ? high : low, conversation: id }));
    const found = await under().store.conversations.get(peers);
    expect(found.map(({ user }) => user).sort()).toEqual(peers.map(({ user }) => user).sort());
    expect(found.every(({ peer, peerSent }) => peer === me && peerSent === 1)).toBe(true);
  });

  it('[S13] marks of rows in the order in which they are asked for; of one that is not there, those of nobody', async () => {
    const { conversations, receipts } = under().store;
    const [mine, none] = [pair(), pair()];
    await under().store.messages.append([mine.draft(mine.low), mine.draft(mine.low)]);
    const key = { user: mine.high, conversation: mine.id };
    const read = { n: 1, from: 0, seq: 1, at: START };
    const delivered = { n: 2, from: 0, seq: 2, at: START + 1 };
    await receipts.advance([
      { kind: 'read', ...key, n: 1, seq: 1, at: START },
      { kind: 'delivered', ...key, n: 2, seq: 2, at: START + 1 },
    ]);
    const nobody = { read: UNMARKED, delivered: UNMARKED };
    const unknown = { user: none.low, conversation: none.id };
    const sender = { user: mine.low, conversation: mine.id };
    expect(await conversations.marks([unknown, key, sender, key])).toEqual([
      nobody,
      { read, delivered },
      nobody,
      { read, delivered },
    ]);
    expect(await conversations.marks([])).toEqual([]);
  });

  it('[S14] unread is the sum of peerSent - read.n over all rows of the user', async () => {
    const { conversations, receipts } = under().store;
    // Conversation i holds one message of the user and i of the peer.
    expect(await conversations.unread(me)).toBe(66);
    const [first, last] = [pairs[5], pairs[11]] as [ReturnType<typeof pair>, ReturnType<typeof pair>];
    const read = { kind: 'read', user: me, seq: 5, at: START } as const;
    await receipts.advance([
      { ...read, conversation: last.id, n: 4 },
      { ...read, conversation: first.id, n: 5 },
      { ...read, conversation: first.id, n: 5, kind: 'delivered' },
    ]);
    expect(await conversations.unread(me)).toBe(57);
    expect(await conversations.unread(last.low === me ? last.high : last.low)).toBe(1);
    expect(await conversations.unread(newId())).toBe(0);
  });

  it('[S12] a row without a log shows nothing, and is not taken for the end', async () => {
    const { store } = under();
    const user = newId();
    const made = upTo(3).map(() => pair(user, newId()));
    await store.messages.append(made.map(({ low, draft }) => ({ ...draft(low), createdAt: START })));
    const strays = ['0'.repeat(32), `${'0'.repeat(31)}1`, `${'0'.repeat(31)}2`];
    const right = strays.map((conversation) => ({
      user,
      conversation,
      peer: newId(),
      lastAt: START + 1,
      lastSeq: 1,
    }));
    await store.admin.repair({ right, gone: [] });
    const ids = made.map(({ id }) => id).toSorted();
    const idsOf = (rows: InboxRow[]) => rows.map(({ conversation }) => conversation);
    expect(idsOf(await store.conversations.walk({ user, limit: 2 }))).toEqual(ids.slice(0, 2));
    expect(idsOf(await store.conversations.walk({ user, limit: 100 }))).toEqual(ids);
    expect(idsOf(await list({ user, limit: 2 }))).toEqual(ids.toReversed().slice(0, 2));
  });

  it('[S14] unread of a user with 300 conversations', async () => {
    const user = newId();
    for (let i = 0; i < 5; i += 1) {
      const drafts = upTo(60).map(() => {
        const { low, high, draft } = pair(user, newId());
        return draft(low === user ? high : low);
      });
      await under().store.messages.append(drafts);
    }
    expect(await under().store.conversations.unread(user)).toBe(300);
    expect(await under().store.conversations.list({ user, limit: 1000 })).toHaveLength(300);
  });
}
