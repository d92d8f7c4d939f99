import type { LogSummary, RowKey, StoredRow } from '@duet/core';
import { createInboxAdmin } from '@duet/core';
import { expect, it } from 'vitest';
import { byBytes, newId, pair, START, type StoreUnderTest, upTo, user } from './common.ts';

/** Everything of a walk. */
async function all<T>(page: (after: T | undefined) => Promise<T[]>): Promise<T[]> {
  const found: T[] = [];
  for (;;) {
    const more = await page(found.at(-1));
    if (more.length === 0) return found;
    found.push(...more);
  }
}

/** @param meanwhile what nodes do between the last look and the repair */
const inboxAdminOf = ({ store: { admin } }: StoreUnderTest, meanwhile = async () => {}) =>
  createInboxAdmin({
    admin: {
      ...admin,
      async repair(rows) {
        await meanwhile();
        await admin.repair(rows);
      },
    },
    clock: { now: () => START },
    pause: async () => {},
  });

/** Called by `storeSuite`, with a store of its own: nothing mends a log. */
export function lostEntryTests(under: () => StoreUnderTest): void {
  it('[O31] a conversation is seen whichever entry it has lost, and its hole is found', async () => {
    const { store, lose } = under();
    if (!lose) return;
    const made = await Promise.all(
      [[], [1], [2], [1, 2], [1, 2, 3]].map(async (lost) => {
        const { id, low, high, draft } = pair();
        await store.messages.append([low, high, high, low].map((sender) => draft(sender)));
        for (const seq of lost) await lose({ conversation: id, seq });
        return { id, entries: 4 - lost.length };
      }),
    );
    const byId = made.toSorted((one, other) => byBytes(one.id, other.id));
    for (const limit of [1, 2, 5, 100]) {
      const logs = await all<LogSummary>((after) =>
        store.admin.logs({ limit, ...(after && { after: after.conversation }) }),
      );
      expect(logs.map(({ conversation: id, entries }) => ({ id, entries }))).toEqual(byId);
      expect(logs.map(({ last }) => last.seq)).toEqual(byId.map(() => 4));
    }
    const { findings, conversations } = await inboxAdminOf(under()).check();
    expect(conversations).toBe(made.length);
    const holes = byId.flatMap(({ id, entries }) =>
      entries < 4 ? [{ what: 'log has a hole', conversation: id }] : [],
    );
    expect(findings).toEqual(holes);
  });
}

/** Called by `storeSuite`. The port itself breaks what is then found: it may write what is not right. */
export function adminTests(under: () => StoreUnderTest): void {
  const admin = () => under().store.admin;
  const inbox = () => inboxAdminOf(under());
  const rowsOf = (...keys: RowKey[]) => admin().rows({ keys });

  /** A conversation in which `low` has sent one message and `high` two, of which `low` has read one. */
  async function conversation() {
    const { id, low, high, draft } = pair();
    const { store } = under();
    const drafts = [draft(low), draft(high), draft(high)];
    const [, , last] = await store.messages.append(drafts);
    await store.receipts.advance([{ kind: 'read', user: low, conversation: id, n: 1, seq: 2, at: START }]);
    const createdAt = last?.entry.createdAt as number;
    const mine: RowKey = { user: low, conversation: id };
    return { id, low, high, mine, last: { seq: 3, sent: [1, 2], createdAt }, drafts };
  }

  it('[O22] logs and rows are walked page by page, each once', async () => {
    const made = await Promise.all(upTo(5).map(conversation));
    const logs = await all<LogSummary>((after) =>
      admin().logs({ limit: 2, ...(after && { after: after.conversation }) }),
    );
    const rows = await all<StoredRow>((after) => admin().rows({ limit: 3, ...(after && { after }) }));
    for (const { id, low, high, last } of made) {
      expect(logs.filter((log) => log.conversation === id)).toEqual([
        { conversation: id, users: [low, high], entries: 3, hidden: 0, last },
      ]);
      expect(
        rows.filter((row) => row.conversation === id).map(({ user, peer, readN }) => ({ user, peer, readN })),
      ).toEqual(
        expect.arrayContaining([
          { user: low, peer: high, readN: 1 },
          { user: high, peer: low, readN: 0 },
        ]),
      );
      expect(await rowsOf({ user: low, conversation: id })).toEqual([
        { user: low, conversation: id, peer: high, lastAt: last.createdAt, readN: 1, deliveredN: 0, last },
      ]);
    }
    expect(new Set(logs.map(({ conversation: id }) => id)).size).toBe(logs.length);
    expect(new Set(rows.map(({ user, conversation: id }) => `${user} ${id}`)).size).toBe(rows.length);
    expect(rows.length).toBe(2 * logs.length);
  });

  it('[O22] counts tell about how much there is', async () => {
    const before = await admin().counts();
    await under().store.users.create(user());
    await conversation();
    const { users, conversations, messages } = await admin().counts();
    expect({ users, conversations, messages }).toEqual({
      users: before.users + 1,
      conversations: before.conversations + 1,
      messages: before.messages + 3,
    });
  });

  it('[O22] erase empties what one of the two has written, and every entry keeps its place', async () => {
    const { id, high, drafts } = await conversation();
    const { store } = under();
    const before = await store.messages.page({ conversation: id, limit: 10 });
    expect(await admin().erase({ conversation: id, sender: high })).toBe(2);
    const after = await store.messages.page({ conversation: id, limit: 10 });
    expect(after).toEqual(before.map((entry) => (entry.sender === high ? { ...entry, content: '' } : entry)));
    const [repeated] = await store.messages.append([drafts[1] as (typeof drafts)[0]]);
    expect(repeated).toEqual({ entry: after[1], fresh: false });
  });

  it('[O22] what is right is found right', async () => {
    const { mine, last } = await conversation();
    const { findings, conversations, rows } = await inbox().check();
    expect(findings).toEqual([]);
    expect(rows).toBe(2 * conversations);
    const [row] = await rowsOf(mine);
    await admin().repair({ right: [{ ...(row as StoredRow), lastSeq: last.seq }], gone: [] });
    expect(await rowsOf(mine)).toEqual([row]);
  });

  it('[O22] what is hidden is no fault, also where all is', async () => {
    const { messages } = under().store;
    const [some, all] = [pair(), pair()];
    const hide = ({ low, draft }: typeof some) => ({ ...draft(low), hidden: true as const });
    await messages.append([some.draft(some.low), some.draft(some.high), hide(some)]);
    await messages.append([hide(all), hide(all)]);
    expect((await inbox().check()).findings).toEqual([]);
    const [log] = (await admin().logs({ limit: 10_000 })).filter(({ conversation: id }) => id === some.id);
    expect(log).toMatchObject({ entries: 3, hidden: 1 });
  });

  it('[O22] a row that is missing, has no log or names a wrong peer is found and repaired', async () => {
    const [one, two] = [await conversation(), await conversation()];
    const stray: RowKey = { user: newId(), conversation: pair().id };
    const { store, loseRow } = under();
    const lost = loseRow ? [{ what: 'row missing', row: one.mine }] : [];
    const wrong = { lastAt: START, lastSeq: 3 };
    const rows = () => store.conversations.get([one.mine, two.mine]);
    const before = await rows();
    const peer = newId();
    await loseRow?.(one.mine);
    await admin().repair({
      right: [
        { ...two.mine, ...wrong, peer },
        { ...stray, ...wrong, peer },
      ],
      gone: [],
    });
    const found = [...lost, { what: 'wrong peer', row: two.mine }, { what: 'row without log', row: stray }];
    expect((await inbox().check()).findings).toEqual(expect.arrayContaining(found));
    expect(await inbox().repair()).toMatchObject({ repaired: found.length });
    expect((await inbox().check()).findings).toEqual([]);
    expect(await rowsOf(stray)).toEqual([]);
    const after = await rows();
    expect(after.map(({ peer }) => peer).sort()).toEqual(before.map(({ peer }) => peer).sort());
    expect(after.find(({ user }) => user === two.low)).toEqual(before.find(({ user }) => user === two.low));
  });

  it('[O22] what is read and written while rows are repaired stays', async () => {
    const { store } = under();
    const { mine, id, low, high } = await conversation();
    const first = pair();
    const empty: RowKey = { user: first.low, conversation: first.id };
    const wrong = { lastAt: START, lastSeq: 0 };
    await admin().repair({
      right: [
        { ...mine, ...wrong, peer: 'f'.repeat(24) },
        { ...empty, ...wrong, peer: first.high },
      ],
      gone: [],
    });
    const { findings } = await inboxAdminOf(under(), async () => {
      await store.messages.append([first.draft(first.high)]);
      // By whoever else repairs.
      await admin().repair({ right: [{ ...mine, ...wrong, peer: high }], gone: [] });
      await store.receipts.advance([{ kind: 'read', user: low, conversation: id, n: 2, seq: 3, at: START }]);
    }).repair();
    expect(findings).toEqual(
      expect.arrayContaining([
        { what: 'wrong peer', row: mine },
        { what: 'row without log', row: empty },
      ]),
    );
    expect(await store.conversations.get([mine])).toMatchObject([{ read: { n: 2 } }]);
    expect(await store.conversations.get([empty])).toMatchObject([{ lastSeq: 1 }]);
  });

  it('[O22] a watermark is lowered, never raised', async () => {
    const { mine, id, low, high, last } = await conversation();
    await admin().repair({
      right: [{ ...mine, peer: high, lastAt: 0, lastSeq: last.seq, readN: 9, deliveredN: 9 }],
      gone: [],
    });
    expect(await rowsOf(mine)).toMatchObject([{ readN: 1, deliveredN: 0, lastAt: last.createdAt }]);
    await under().store.receipts.advance([{ kind: 'read', user: low, conversation: id, n: 2, seq: 3, at: START }]);
    await admin().repair({
      right: [{ ...mine, peer: high, lastAt: 0, lastSeq: last.seq, readN: 1, deliveredN: 0 }],
      gone: [],
    });
    const [row] = await under().store.conversations.get([mine]);
    expect(row?.read.n).toBe(1);
    expect(
      await under().store.receipts.advance([{ kind: 'read', user: low, conversation: id, n: 2, seq: 3, at: START }]),
    ).toMatchObject([{ moved: 1 }]);
  });
}
