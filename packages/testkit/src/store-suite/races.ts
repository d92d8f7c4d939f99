import type { Appended, Store } from '@duet/core';
import { expect, it } from 'vitest';
import { bySeq, pair, type StoreUnderTest, seqs, upTo } from './common.ts';

/** Called by `storeSuite`. */
export function raceTests(under: () => StoreUnderTest): void {
  /** Two stores on one database; where a database has only one, that one twice. */
  async function two(): Promise<[Store, Store]> {
    const { store, reopen } = under();
    return [store, reopen ? await reopen() : store];
  }
  const all = (conversation: string) => under().store.messages.page({ conversation, limit: 1000 });

  async function expectWhole(conversation: string, results: Appended[]): Promise<void> {
    const entries = await all(conversation);
    expect(seqs(entries)).toEqual(upTo(results.length));
    expect(entries).toEqual(results.map(({ entry }) => entry).sort(bySeq));
    let sent = [0, 0];
    for (const entry of entries) {
      sent = entry.sender < entry.receiver ? [(sent[0] ?? 0) + 1, sent[1] ?? 0] : [sent[0] ?? 0, (sent[1] ?? 0) + 1];
      expect(entry.sent).toEqual(sent);
    }
  }

  it('[S9] 50 appends to one conversation by ten writers at once, from two stores: dense, none double, none lost', async () => {
    const stores = await two();
    const { id, low, high, draft } = pair();
    // As nodes do it: one append after the other each. Fifty that race at once would take as long as a caller waits.
    const write = async (store: Store, user: string) => {
      const stored: Appended[] = [];
      for (const _ of upTo(5)) stored.push(...(await store.messages.append([draft(user)])));
      return stored;
    };
    const results = (await Promise.all(upTo(10).map((i) => write(stores[i % 2] as Store, i % 3 ? low : high)))).flat();
    expect(results.every(({ fresh }) => fresh)).toBe(true);
    await expectWhole(id, results);
    const [row] = await under().store.conversations.get([{ user: low, conversation: id }]);
    expect(row).toMatchObject({ lastSeq: 50, peerSent: results.filter(({ entry }) => entry.sender === high).length });
  });

  it('[S9] groups of several drafts at once, from two stores: each group keeps its order', async () => {
    const stores = await two();
    const pairs = [pair(), pair()] as const;
    const groups = upTo(12).map(() =>
      upTo(8).map((i) => pairs[i % 2 === 0 ? 0 : 1].draft(pairs[i % 2 === 0 ? 0 : 1].low)),
    );
    const results = await Promise.all(groups.map((group, i) => (stores[i % 2] as Store).messages.append(group)));
    for (const { id } of pairs) {
      const own = results.map((group) => group.filter(({ entry }) => entry.conversation === id));
      for (const group of own) {
        const places = group.map(({ entry }) => entry.seq);
        expect(places).toEqual(places.toSorted((a, b) => a - b));
      }
      await expectWhole(id, own.flat());
    }
  });

  it('[S9] many conversations at once, from two stores, repeats among them: each dense, in the order of each group', async () => {
    const stores = await two();
    const pairs = upTo(20).map(() => pair());
    const repeated = pairs.map(({ low, draft }) => draft(low));
    const groupOf = (side: 'low' | 'high') => [
      ...upTo(2).flatMap(() => pairs.map((one) => one.draft(one[side]))),
      ...repeated,
    ];
    // As nodes do it: one group after the other each.
    const write = async (store: Store, side: 'low' | 'high') => {
      const groups: Appended[][] = [];
      for (const _ of upTo(3)) groups.push(await store.messages.append(groupOf(side)));
      return groups;
    };
    const results = (await Promise.all([write(stores[0], 'low'), write(stores[1], 'high')])).flat();
    for (const [i, { id }] of pairs.entries()) {
      const own = results.map((group) => group.filter(({ entry }) => entry.conversation === id));
      const again = own.flat().filter(({ entry }) => entry.tempId === repeated[i]?.tempId);
      expect(again.filter(({ fresh }) => fresh)).toHaveLength(1);
      expect(new Set(again.map(({ entry }) => entry.seq)).size).toBe(1);
      for (const group of own) {
        const places = group.filter(({ fresh }) => fresh).map(({ entry }) => entry.seq);
        expect(places).toEqual(places.toSorted((a, b) => a - b));
      }
      await expectWhole(
        id,
        own.flat().filter(({ fresh }) => fresh),
      );
    }
  });

  it('[S9] the same message from two stores at once, 20 times: stored once, one of them fresh', async () => {
    const stores = await two();
    const { id, low, draft } = pair();
    const same = draft(low);
    const results = (await Promise.all(upTo(20).map((i) => (stores[i % 2] as Store).messages.append([same])))).flat();
    expect(results.filter(({ fresh }) => fresh)).toHaveLength(1);
    const entries = await all(id);
    expect(entries).toHaveLength(1);
    for (const { entry } of results) expect(entry).toEqual(entries[0]);
  });

  it('[S9] both sides answer each other through two stores', async () => {
    const [one, other] = await two();
    const { id, low, high, draft } = pair();
    const results: Appended[] = [];
    for (let i = 0; i < 10; i += 1) {
      results.push(...(await one.messages.append([draft(low)])));
      results.push(...(await other.messages.append([draft(high), draft(high)])));
    }
    expect(results.map(({ entry }) => entry.seq)).toEqual(upTo(30));
    await expectWhole(id, results);
  });

  it('[S9] a reader sees no entry before the ones below it', async () => {
    const [one, other] = await two();
    const { id, low, draft } = pair();
    let writing = true;
    const writes = Promise.all(
      upTo(10).map((i) => (i % 2 ? one : other).messages.append(upTo(6).map(() => draft(low)))),
    ).finally(() => {
      writing = false;
    });
    let reads = 0;
    while (writing) {
      const entries = await all(id);
      expect(seqs(entries)).toEqual(upTo(entries.length));
      reads += 1;
    }
    await writes;
    expect(reads).toBeGreaterThan(0);
    expect(seqs(await all(id))).toEqual(upTo(60));
  });
}
