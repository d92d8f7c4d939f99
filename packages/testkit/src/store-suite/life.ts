import type { Draft } from '@duet/core';
import { expect, it } from 'vitest';
import { bySeq, codeOf, pair, START, type StoreUnderTest, seqs, upTo, user } from './common.ts';

/** Called by `storeSuite`. */
export function lifeTests(createStore: () => Promise<StoreUnderTest>): void {
  it('[S16] ready resolves, again and again', async () => {
    const under = await createStore();
    await under.store.ready();
    await under.store.ready();
    await under.close();
  });

  it('[S16] everything survives close and reopen', async (context) => {
    const under = await createStore();
    try {
      if (!under.reopen) return context.skip();
      const { low, high, id, draft } = pair();
      const [one, other] = [user({ id: low }), user({ id: high })];
      const { store } = under;
      await Promise.all([store.users.create(one), store.users.create(other)]);
      await store.users.seen([{ id: low, at: START + 77 }]);
      const drafts = [draft(low), draft(high), draft(high)];
      const entries = (await store.messages.append(drafts)).map(({ entry }) => entry);
      await store.receipts.advance([{ kind: 'read', user: low, conversation: id, n: 1, seq: 2, at: START + 50 }]);
      const rows = await store.conversations.list({ user: low, limit: 10 });
      await store.close();

      const again = await under.reopen();
      expect(await again.users.get([low])).toEqual([{ ...one, lastSeen: START + 77 }]);
      expect(await again.users.byEmail(other.emailKey)).toEqual(other);
      expect((await codeOf(again.users.create(user({ emailKey: one.emailKey })))).code).toBe('CONFLICT');
      expect(await again.messages.page({ conversation: id, limit: 10 })).toEqual(entries);
      expect(rows[0]).toMatchObject({ lastSeq: 3, peerSent: 2, read: { n: 1, seq: 2, at: START + 50 } });
      expect(await again.conversations.list({ user: low, limit: 10 })).toEqual(rows);
      expect(await again.messages.append([drafts[1] as Draft])).toEqual([{ entry: entries[1], fresh: false }]);
      expect((await again.messages.append([draft(low)]))[0]).toMatchObject({
        fresh: true,
        entry: { seq: 4, sent: [2, 2] },
      });
    } finally {
      await under.close();
    }
  });

  it('[S16] close finishes what is under way', async (context) => {
    const under = await createStore();
    try {
      if (!under.reopen) return context.skip();
      await under.store.ready();
      const { id, low, draft } = pair();
      const appends = upTo(5).map(() => under.store.messages.append([draft(low), draft(low)]));
      const [results] = await Promise.all([Promise.all(appends), under.store.close()]);
      const again = await under.reopen();
      const entries = await again.messages.page({ conversation: id, limit: 100 });
      expect(seqs(entries)).toEqual(upTo(10));
      expect(
        results
          .flat()
          .map(({ entry }) => entry)
          .sort(bySeq),
      ).toEqual(entries);
    } finally {
      await under.close();
    }
  });

  it('[S16] close may be called twice; a closed store answers UNAVAILABLE', async () => {
    const under = await createStore();
    await under.store.ready();
    await under.store.close();
    await under.store.close();
    const { low, draft } = pair();
    expect((await codeOf(under.store.messages.append([draft(low)]))).code).toBe('UNAVAILABLE');
    expect((await codeOf(under.store.ready())).code).toBe('UNAVAILABLE');
    await under.close();
  });
}
