import type { DuetError } from '@duet/contract';
import { beforeAll, expect, it } from 'vitest';
import { byBytes, codeOf, newId, START, type StoreUnderTest, user } from './common.ts';

/** Called by `storeSuite`. */
export function usersTests(under: () => StoreUnderTest): void {
  it('[S1] create stores every field as it came; get and byEmail give it back', async () => {
    const { users } = under().store;
    const one = user({ username: `Ärger 😀 $a.b ' " ${newId()}`, email: `O'Brien+$x.${newId()}@Example.com` });
    await users.create(one);
    expect(await users.get([one.id])).toEqual([one]);
    expect(await users.byEmail(one.emailKey)).toEqual(one);
  });

  it('[S1] get gives the users that exist, and nobody else', async () => {
    const { users } = under().store;
    const some = [user(), user(), user()];
    for (const one of some) await users.create(one);
    const found = await users.get([...some.map(({ id }) => id), newId()]);
    expect(found).toHaveLength(3);
    expect(found).toEqual(expect.arrayContaining(some));
    expect(await users.get([])).toEqual([]);
    expect(await users.get([newId()])).toEqual([]);
  });

  it('[S1] get of many ids', async () => {
    const { users } = under().store;
    const some = Array.from({ length: 100 }, () => user());
    await Promise.all(some.map((one) => users.create(one)));
    const found = await users.get(some.map(({ id }) => id));
    expect(found.map(({ id }) => id).sort()).toEqual(some.map(({ id }) => id).sort());
  });

  it('[S1] byEmail is exact and by the key', async () => {
    const { users } = under().store;
    const one = user();
    await users.create(one);
    expect(await users.byEmail(one.email)).toBeUndefined();
    expect(await users.byEmail(one.emailKey.slice(0, -1))).toBeUndefined();
    expect(await users.byEmail('%')).toBeUndefined();
    expect(await users.byEmail('')).toBeUndefined();
  });

  it('[S2] a taken username is CONFLICT naming it, and stores nothing', async () => {
    const { users } = under().store;
    const first = user();
    await users.create(first);
    const second = user({ usernameKey: first.usernameKey });
    expect(await codeOf(users.create(second))).toEqual({ code: 'CONFLICT', fields: ['username'] });
    expect(await users.get([second.id])).toEqual([]);
    expect(await users.byEmail(second.emailKey)).toBeUndefined();
  });

  it('[S2] a taken email is CONFLICT naming it, and stores nothing', async () => {
    const { users } = under().store;
    const first = user();
    await users.create(first);
    const second = user({ emailKey: first.emailKey });
    expect(await codeOf(users.create(second))).toEqual({ code: 'CONFLICT', fields: ['email'] });
    expect(await users.get([second.id])).toEqual([]);
    expect(await users.byEmail(first.emailKey)).toEqual(first);
  });

  it('[S2] uniqueness is judged by the keys, not by how a name is written', async () => {
    const { users } = under().store;
    const first = user();
    await users.create(first);
    const twin = user({ username: first.username, email: first.email });
    await users.create(twin);
    expect(await users.get([twin.id])).toEqual([twin]);
  });

  it('[S2] of the same registration sent 20 times at once, one wins', async () => {
    const { users } = under().store;
    const [name, email] = [`user ${newId()}`, `${newId()}@example.com`];
    const same = Array.from({ length: 20 }, () => user({ usernameKey: name, emailKey: email }));
    const results = await Promise.allSettled(same.map((one) => users.create(one)));
    const winners = same.filter((_, i) => results[i]?.status === 'fulfilled');
    expect(winners).toHaveLength(1);
    for (const result of results) {
      if (result.status === 'rejected') expect((result.reason as DuetError).code).toBe('CONFLICT');
    }
    expect(await users.byEmail(email)).toEqual(winners[0]);
    expect(await users.get(same.map(({ id }) => id))).toEqual(winners);
  });

  it('[S1] update changes what it names, and nothing else', async () => {
    const { users } = under().store;
    const [one, other] = [user(), user()];
    for (const each of [one, other]) await users.create(each);
    await users.update(one.id, { passwordHash: 'another' });
    expect(await users.get([one.id])).toEqual([{ ...one, passwordHash: 'another' }]);
    const changed = {
      username: 'x',
      usernameKey: newId(),
      email: '',
      emailKey: newId(),
      passwordHash: '',
      tokensAfter: START,
    };
    await users.update(one.id, changed);
    expect(await users.get([one.id])).toEqual([{ ...one, ...changed }]);
    expect(await users.byEmail(one.emailKey)).toBeUndefined();
    expect(await users.get([other.id])).toEqual([other]);
    const nobody = newId();
    await users.update(nobody, { passwordHash: 'x' });
    expect(await users.get([nobody])).toEqual([]);
    await users.create(user({ usernameKey: one.usernameKey, emailKey: one.emailKey }));
  });

  it('[S1] update over a hash changes who has it, and nobody whose hash is another one by now', async () => {
    const { users } = under().store;
    const one = user();
    await users.create(one);
    const { passwordHash } = one;
    await users.update(one.id, { passwordHash: 'first' }, { passwordHash });
    await users.update(one.id, { passwordHash: 'second' }, { passwordHash });
    expect(await users.get([one.id])).toEqual([{ ...one, passwordHash: 'first' }]);
  });

  it('[S1] update over a key changes who has it, and nobody whose key is another one by now', async () => {
    const { users } = under().store;
    const one = user();
    await users.create(one);
    const { usernameKey } = one;
    await users.update(one.id, { usernameKey: newId(), email: 'first' }, { usernameKey });
    const [changed] = await users.get([one.id]);
    expect(changed).toMatchObject({ email: 'first' });
    await users.update(one.id, { email: 'second' }, { usernameKey });
    expect(await users.get([one.id])).toEqual([changed]);
  });

  it.each(['usernameKey', 'emailKey'] as const)(
    '[S2] update to a taken %s is CONFLICT, and changes nothing',
    async (key) => {
      const { users } = under().store;
      const [one, other] = [user(), user()];
      for (const each of [one, other]) await users.create(each);
      const changes = { username: 'x', email: 'x', [key]: other[key] };
      expect(await codeOf(users.update(one.id, changes))).toMatchObject({ code: 'CONFLICT' });
      expect(await users.get([one.id, other.id])).toEqual(expect.arrayContaining([one, other]));
      // His own key is nobody else's.
      await users.update(one.id, { [key]: one[key], username: 'written otherwise' });
      expect(await users.get([one.id])).toEqual([{ ...one, username: 'written otherwise' }]);
    },
  );

  it('[S3] seen moves lastSeen forward and never back', async () => {
    const { users } = under().store;
    const one = user();
    await users.create(one);
    const seen = (ms: number) => users.seen([{ id: one.id, at: START + ms }]);
    await seen(5000);
    expect((await users.get([one.id]))[0]?.lastSeen).toBe(START + 5000);
    await seen(4999);
    expect(await users.get([one.id])).toEqual([{ ...one, lastSeen: START + 5000 }]);
    await Promise.all([9, 7, 8].map((s) => seen(s * 1000)));
    expect((await users.get([one.id]))[0]?.lastSeen).toBe(START + 9000);
  });

  it('[S3] many are seen in one go', async () => {
    const { users } = under().store;
    const many = Array.from({ length: 150 }, () => user());
    await Promise.all(many.map((each) => users.create(each)));
    await users.seen(many.map(({ id }, i) => ({ id, at: START + i })));
    const found = new Map((await users.get(many.map(({ id }) => id))).map(({ id, lastSeen }) => [id, lastSeen]));
    expect(many.map(({ id }) => found.get(id))).toEqual(many.map((_, i) => START + i));
    await users.seen([]);
  });

  it('[S3] seen of somebody unknown makes nobody', async () => {
    const { users } = under().store;
    const id = newId();
    await users.seen([{ id, at: START }]);
    expect(await users.get([id])).toEqual([]);
  });
}

/** Called by `storeSuite`. */
export function directoryTests(under: () => StoreUnderTest): void {
  const except = newId();
  const keys = [
    ...['abc', 'ABC', 'a.c', 'a%c', 'a_c', 'a*c', 'a+c', 'a?c', 'a\\c', 'a\\', 'a(c', 'a[b]c', 'a{2}c', 'a|c', 'a^c'],
    ...['a$c', '^abc', '$abc', '.*', '.*c', '%', '_', '[a]', "a'c", 'a"c', 'a c', 'é', 'éa', 'e\u0301a', 'zz'],
    // U+F900 is before U+10428 in code points, but behind it in UTF-16.
    ...['豈', '\u{10428}', '\u{10428}b'],
  ];
  const sorted = [...keys].sort(byBytes);
  const names = async (query: { prefix?: string; after?: string; limit?: number; except?: string }) =>
    (await under().store.users.list({ limit: 1000, except, ...query })).map(({ usernameKey }) => usernameKey);

  beforeAll(async () => {
    for (const usernameKey of keys) await under().store.users.create(user({ usernameKey }));
  });

  it('[S4] list gives everybody, ordered by usernameKey in code points', async () => {
    expect(await names({})).toEqual(sorted);
  });

  it('[S4] list stops at the limit and goes on behind `after`: pages hold everybody once', async () => {
    const found: string[] = [];
    for (;;) {
      const after = found.at(-1);
      const page = await names({ limit: 4, ...(after === undefined ? {} : { after }) });
      if (page.length === 0) break;
      expect(page).toEqual(sorted.slice(found.length, found.length + 4));
      found.push(...page);
    }
    expect(found).toEqual(sorted);
  });

  it('[S4] a key that begins with the last code point is in no list', async () => {
    await under().store.users.create(user({ usernameKey: `\u{10FFFF}${newId()}` }));
    expect(await names({})).toEqual(sorted);
    expect(await names({ after: 'zz' })).toEqual(sorted.filter((key) => byBytes(key, 'zz') > 0));
    expect(await names({ prefix: '\u{10FFFF}' })).toEqual([]);
  });

  it('[S4] `after` need not be anybody', async () => {
    expect(await names({ after: 'a^' })).toEqual(sorted.filter((key) => byBytes(key, 'a^') > 0));
    expect(await names({ after: '\u{10FFFF}' })).toEqual([]);
  });

  it('[S4] list leaves `except` out, and still fills the page', async () => {
    const [first, second] = await under().store.users.list({ limit: 2, except });
    const rest = await under().store.users.list({ limit: 2, except: first?.id ?? '' });
    expect(rest.map(({ usernameKey }) => usernameKey)).toEqual(sorted.slice(1, 3));
    expect(rest[0]).toEqual(second);
  });

  it.each([
    ...['a', 'ab', 'AB', 'a.', 'a%', 'a_', 'a*', 'a+', 'a?', 'a\\', 'a(', 'a[', 'a{', 'a|', 'a^', 'a$', '^', '$', '.'],
    ...['.*', '%', '_', '[', 'é', 'e', '\u{10428}', "a'", 'a"', 'nobody', '(a+)+$', 'a%c%'],
  ])('[S4] prefix %j is taken literally', async (prefix) => {
    expect(await names({ prefix })).toEqual(sorted.filter((key) => key.startsWith(prefix)));
  });

  it('[S4] prefix, after and limit together', async () => {
    const matching = sorted.filter((key) => key.startsWith('a'));
    expect(await names({ prefix: 'a', after: matching[3] as string, limit: 3 })).toEqual(matching.slice(4, 7));
    expect(await names({ prefix: 'a', after: 'b' })).toEqual([]);
    expect(await names({ prefix: '', limit: 2 })).toEqual(sorted.slice(0, 2));
  });
}
