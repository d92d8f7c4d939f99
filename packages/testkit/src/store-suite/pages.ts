import type { Entry } from '@duet/core';
import { beforeAll, expect, it } from 'vitest';
import { newId, pair, type StoreUnderTest, seqs, upTo } from './common.ts';

/** Called by `storeSuite`. */
export function pageTests(under: () => StoreUnderTest): void {
  const { id, low, high, draft } = pair();
  let entries: Entry[] = [];
  const page = async (query: { before?: number; after?: number; skip?: number; limit: number }) =>
    seqs(await under().store.messages.page({ conversation: id, ...query }));

  beforeAll(async () => {
    const drafts = upTo(30).map((i) => draft(i % 2 ? low : high));
    entries = (await under().store.messages.append(drafts)).map(({ entry }) => entry);
    // Neighbours that a wrong filter would let in.
    const other = pair(low, newId());
    await under().store.messages.append(upTo(5).map(() => other.draft(low)));
  });

  it('[S10] the newest, ascending, whole entries', async () => {
    expect(await under().store.messages.page({ conversation: id, limit: 3 })).toEqual(entries.slice(-3));
    expect(await page({ limit: 1000 })).toEqual(upTo(30));
  });

  it.each([
    [{ before: 11, limit: 3 }, [8, 9, 10]],
    [{ before: 3, limit: 10 }, [1, 2]],
    [{ before: 1, limit: 10 }, []],
    [{ before: 31, limit: 2 }, [29, 30]],
    [{ before: 1000, limit: 2 }, [29, 30]],
    [{ after: 0, limit: 3 }, [1, 2, 3]],
    [{ after: 10, limit: 3 }, [11, 12, 13]],
    [{ after: 28, limit: 10 }, [29, 30]],
    [{ after: 30, limit: 10 }, []],
    [{ after: 1000, limit: 10 }, []],
    [{ skip: 2, limit: 3 }, [26, 27, 28]],
    [{ skip: 28, limit: 10 }, [1, 2]],
    [{ skip: 30, limit: 10 }, []],
    [{ skip: 0, limit: 1 }, [30]],
    [{ before: 11, skip: 2, limit: 3 }, [6, 7, 8]],
    [{ limit: 0 }, []],
  ])('[S10] page %j is %j', async (query, expected) => {
    expect(await page(query)).toEqual(expected);
  });

  it('[S10] pages going back hold everything once', async () => {
    const found: number[] = [];
    for (let before = 31; before > 1; ) {
      const part = await page({ before, limit: 7 });
      found.unshift(...part);
      before = part[0] ?? 0;
    }
    expect(found).toEqual(upTo(30));
  });

  it('[S10] an unknown conversation is empty', async () => {
    expect(await under().store.messages.page({ conversation: pair().id, limit: 10 })).toEqual([]);
  });

  it('[S11] get gives the entries at these places, as they were stored', async () => {
    const other = pair();
    const [first] = await under().store.messages.append([other.draft(other.high)]);
    const places = [...[1, 17, 30, 31].map((seq) => ({ conversation: id, seq })), { conversation: other.id, seq: 1 }];
    const found = await under().store.messages.get([...places, { conversation: pair().id, seq: 1 }]);
    expect(found).toHaveLength(4);
    expect(found).toEqual(expect.arrayContaining([entries[0], entries[16], entries[29], first?.entry]));
  });

  it('[S11] get of nothing, and of a hundred', async () => {
    expect(await under().store.messages.get([])).toEqual([]);
    const pairs = upTo(100).map(() => pair());
    const append = (some: typeof pairs) => under().store.messages.append(some.map((one) => one.draft(one.low)));
    await append(pairs.slice(0, 50));
    await append(pairs.slice(50));
    const found = await under().store.messages.get(pairs.map((one) => ({ conversation: one.id, seq: 1 })));
    expect(found.map(({ conversation }) => conversation).sort()).toEqual(pairs.map((one) => one.id).sort());
  });
}
