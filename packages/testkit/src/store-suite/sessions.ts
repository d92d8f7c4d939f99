import type { EndedSession, SessionRecord } from '@duet/core';
import { expect, it } from 'vitest';
import { newId, START, type StoreUnderTest, upTo } from './common.ts';

const DAY_MS = 24 * 3_600_000;

function session(fields: Partial<SessionRecord> = {}): SessionRecord {
  return {
    id: newId(),
    user: newId(),
    device: 'Zoë’s phone "1" $a',
    createdAt: START,
    lastUsedAt: START,
    expiresAt: START + DAY_MS,
    refreshHash: newId(),
    previousHash: '',
    rotatedAt: 0,
    ...fields,
  };
}

/** Called by `storeSuite`. */
export function sessionTests(under: () => StoreUnderTest): void {
  it('[I1] sessions come back as they were stored, by their keys and by their user', async () => {
    const { sessions } = under().store;
    const user = newId();
    const mine = [session({ user }), session({ user })];
    const other = session();
    for (const each of [...mine, other]) await sessions.create(each);
    const found = await sessions.get([
      ...mine,
      other,
      { user, id: newId() },
      { user: other.user, id: mine[0]?.id ?? '' },
    ]);
    expect(found).toHaveLength(3);
    expect(found).toEqual(expect.arrayContaining([...mine, other]));
    const listed = await sessions.list(user);
    expect(listed).toHaveLength(2);
    expect(listed).toEqual(expect.arrayContaining(mine));
    expect(await sessions.list(newId())).toEqual([]);
    expect(await sessions.get([])).toEqual([]);
  });

  it('[I1] replace changes a session whose hash is as expected, and no other', async () => {
    const { sessions } = under().store;
    const before = session();
    await sessions.create(before);
    const { refreshHash: previousHash } = before;
    const after = { ...before, previousHash, refreshHash: newId(), lastUsedAt: START + 5, rotatedAt: START + 5 };
    expect(await sessions.replace(after, newId())).toBe(false);
    expect(await sessions.get([before])).toEqual([before]);
    expect(await sessions.replace(after, previousHash)).toBe(true);
    expect(await sessions.get([before])).toEqual([after]);
    expect(await sessions.replace({ ...after, refreshHash: newId() }, previousHash)).toBe(false);
    expect(await sessions.replace(session(), previousHash)).toBe(false);
    expect(await sessions.get([before])).toEqual([after]);
  });

  it('[I1] of one replacement asked for many times, what is stored is that replacement', async () => {
    const { sessions } = under().store;
    const before = session();
    await sessions.create(before);
    const after = { ...before, refreshHash: newId(), previousHash: before.refreshHash };
    const won = await Promise.all(upTo(10).map(() => sessions.replace(after, before.refreshHash)));
    expect(won).toContain(true);
    expect(await sessions.get([before])).toEqual([after]);
  });

  it('[I1] a session that has ended is gone, and nothing brings it back', async () => {
    const { sessions } = under().store;
    const user = newId();
    const [ended, kept] = [session({ user }), session({ user })] as const;
    for (const each of [ended, kept]) await sessions.create(each);
    await sessions.end([ended]);
    expect(await sessions.get([ended, kept])).toEqual([kept]);
    expect(await sessions.replace({ ...ended, refreshHash: newId() }, ended.refreshHash)).toBe(false);
    expect(await sessions.list(user)).toEqual([kept]);
    await sessions.end([ended]);
    expect(await sessions.list(user)).toEqual([kept]);
  });

  const keys = (ended: EndedSession[]) => ended.map(({ user, id }) => `${user} ${id}`);

  it('[I2] what has ended since a cursor was given is told, in however many steps', async () => {
    const { sessions } = under().store;
    const { cursor: before } = await sessions.ended();
    const [one, other, stranger] = [session(), session(), { user: newId(), id: newId() }] as const;
    for (const each of [one, other]) await sessions.create(each);
    await sessions.end([one]);
    const first = await sessions.ended(before);
    expect(keys(first.sessions)).toContain(`${one.user} ${one.id}`);
    expect(keys(first.sessions)).not.toContain(`${other.user} ${other.id}`);
    // Also what was not there, as when a repeat finds half of it done.
    await sessions.end([other, stranger]);
    const second = keys((await sessions.ended(first.cursor)).sessions);
    expect(second).toEqual(expect.arrayContaining(keys([other, stranger])));
    const all = keys((await sessions.ended(before)).sessions);
    expect(all).toEqual(expect.arrayContaining(keys([one, other, stranger])));
  });

  it('[I2] an end that is repeated is told to those who heard of the first one long ago', async () => {
    const { sessions } = under().store;
    const one = session();
    await sessions.create(one);
    await sessions.end([one]);
    const { cursor } = await sessions.ended();
    await sessions.end([one]);
    expect(keys((await sessions.ended(cursor)).sessions)).toContain(`${one.user} ${one.id}`);
  });

  it('[I2] purge forgets what is over, and only that', async () => {
    const { sessions } = under().store;
    const user = newId();
    const [old, young] = [session({ user, expiresAt: START - 1 }), session({ user, expiresAt: START })] as const;
    for (const each of [old, young]) await sessions.create(each);
    const { cursor } = await sessions.ended();
    const ended = { user, id: newId() };
    await sessions.end([ended]);
    await sessions.purge({ expired: START, ended: START });
    expect(await sessions.list(user)).toEqual([young]);
    expect(keys((await sessions.ended(cursor)).sessions)).toContain(`${user} ${ended.id}`);
    await sessions.purge({ expired: 0, ended: Date.now() + DAY_MS });
    const after = await sessions.ended(cursor);
    expect(keys(after.sessions)).not.toContain(`${user} ${ended.id}`);
    const next = { user, id: newId() };
    await sessions.end([next]);
    expect(keys((await sessions.ended(after.cursor)).sessions)).toContain(`${user} ${next.id}`);
  });
}
