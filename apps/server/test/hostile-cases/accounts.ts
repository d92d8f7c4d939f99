import { randomUUID } from 'node:crypto';
import { limits } from '@duet/contract';
import { register, rest } from '@duet/testkit';
import { expect } from 'vitest';
import { type Case, refused } from './stage.ts';

const newcomer = (fields: object = {}) => {
  const name = `n${randomUUID().slice(0, 12)}`;
  return { username: name, email: `${name}@example.org`, password: 'password123', ...fields };
};

/** Registration, passwords, and what limits stand before them. */
export const accountCases: Case[] = [
  { n: 1, input: 'a password of 7 characters', heldBy: ['A2'] },
  { n: 2, input: 'passwords above 72 bytes, and two that are equal up to there', heldBy: ['A2', 'A5'] },
  {
    n: 3,
    input: 'a password with NUL; one that everybody has, which length alone decides',
    async run({ url }) {
      refused(
        await rest(url, '/auth/register', { body: newcomer({ password: 'nul\0within' }) }),
        400,
        'VALIDATION_ERROR',
      );
      expect((await rest(url, '/auth/register', { body: newcomer() })).status).toBe(201);
    },
  },
  {
    n: 4,
    input: 'usernames of the language, invisible ones, reversed ones, twins',
    async run({ url, alice }) {
      const { username } = alice.user;
      const answer = (name: string) => rest(url, '/auth/register', { body: newcomer({ username: name }) });
      const unseen = [
        '\u3164\u3164',
        `${username}\u034f`,
        `${username}\ufe0f`,
        `${username}\u{e0100}`,
        `${username}\uffa0`,
      ];
      for (const name of ['__proto__', `a\u200bb`, `a\u202eb`, '\u2066x\u2069', 'a\nb', ...unseen])
        refused(await answer(name), 400, 'VALIDATION_ERROR');
      for (const twin of [username.toUpperCase(), `${username} `, username.replace('a', 'ａ')])
        refused(await answer(twin), 409, 'CONFLICT');
      // A word like any other: nothing here looks names up in an object.
      expect((await answer('constructor')).status).toBe(201);
      expect((await rest(url, '/auth/users?q=constructor', { token: alice.token })).body.data.users).toHaveLength(1);
    },
  },
  { n: 5, input: 'the same registration twice at once', heldBy: ['A3', 'S2'] },
  {
    n: 6,
    input: 'fields that are not a client’s to set',
    async run({ url }) {
      const extra = { role: 'admin', _id: '0'.repeat(24), passwordHash: 'x', isOnline: true, createdAt: 1 };
      const { body, status } = await rest(url, '/auth/register', { body: newcomer(extra) });
      expect(status).toBe(201);
      const { user } = (await rest(url, '/auth/me', { token: body.data.token })).body.data;
      expect(Object.keys(user).sort()).toEqual(['_id', 'createdAt', 'email', 'isOnline', 'lastSeen', 'username']);
      expect(user).toMatchObject({ isOnline: false, createdAt: expect.stringMatching(/^20/) });
      expect(user._id).not.toBe(extra._id);
    },
  },
  {
    n: 7,
    input: 'a change of somebody else’s profile',
    async run({ url, mallory, alice }) {
      for (const path of [`/auth/users/${alice.id}`, `/users/${alice.id}`, `/auth/me/${alice.id}`]) {
        for (const method of ['PATCH', 'PUT', 'DELETE']) {
          const answer = await rest(url, path, { method, token: mallory.token, body: { username: 'owned' } });
          refused(answer, 404, 'NOT_FOUND');
        }
      }
      const { body } = await rest(url, '/auth/me', { token: alice.token });
      expect(body.data.user.username).toBe(alice.user.username);
    },
  },
  {
    n: 8,
    input: 'a change of password without the current one, or with a wrong one',
    async run({ url }) {
      const victim = await register(url, 'victim');
      for (const body of [{ newPassword: 'password456' }, { currentPassword: 'wrong', newPassword: 'password456' }]) {
        const { status } = await rest(url, '/auth/password', { method: 'PUT', token: victim.token, body });
        expect(status).toBeGreaterThanOrEqual(400);
        expect(status).toBeLessThan(500);
      }
      const signIn = (password: string) => rest(url, '/auth/login', { body: { email: victim.email, password } });
      refused(await signIn('password456'), 401, 'INVALID_CREDENTIALS');
      expect((await signIn(victim.password)).status).toBe(200);
    },
  },
  { n: 9, input: 'operators of a query language for credentials', heldBy: ['X1'] },
  { n: 10, input: 'lists, numbers, truth values and objects for text', heldBy: ['X1', 'X3'] },
  {
    n: 11,
    input: 'a form, and JSON that says it is text',
    async run({ url, alice }) {
      const { email, password } = alice;
      for (const [type, body] of [
        ['application/x-www-form-urlencoded', 'email[$ne]=&password[$ne]='],
        ['text/plain', JSON.stringify({ email, password })],
        ['multipart/form-data; boundary=x', '--x\r\ncontent-disposition: form-data; name="email"\r\n\r\na\r\n--x--'],
      ] as const)
        refused(await rest(url, '/auth/login', { headers: { 'content-type': type }, body }), 415, 'UNSUPPORTED_MEDIA');
    },
  },
  {
    n: 12,
    input: 'operators in a query string, which are names like any other and mean nothing',
    async run({ url, alice, bob }) {
      const get = (path: string) => rest(url, path, { token: alice.token });
      const plain = await get('/auth/users');
      expect((await get('/auth/users?q[$regex]=.*&limit[$gt]=1&cursor[$gt]=')).body).toEqual(plain.body);
      refused(await get('/auth/users?limit=1&limit=2'), 400, 'VALIDATION_ERROR');
      refused(await get(`/messages/${bob.id}?before=%24gt`), 400, 'VALIDATION_ERROR');
    },
  },
  {
    n: 13,
    input: 'an unknown user against a wrong password (how long they take: docs/benchmark.md)',
    async run({ url, alice }) {
      const guess = (email: string) => rest(url, '/auth/login', { body: { email, password: 'password124' } });
      const [known, unknown] = await Promise.all([guess(alice.email), guess('nobody@example.org')]);
      refused(known, 401, 'INVALID_CREDENTIALS');
      expect(unknown.body).toEqual(known.body);
      const names = (headers: Headers) => [...headers.keys()].sort();
      expect(names(unknown.headers)).toEqual(names(known.headers));
    },
  },
  {
    n: 14,
    input: 'wrong passwords for one account from ever other addresses',
    async run({ limited }) {
      const victim = await register(limited.url, 'victim');
      const guess = (i: number) =>
        rest(limited.url, '/auth/login', {
          headers: { 'x-forwarded-for': `198.51.100.${i}` },
          body: { email: victim.email, password: 'password124' },
        });
      for (let i = 0; i < limits.login_failure.limit; i++) refused(await guess(i), 401, 'INVALID_CREDENTIALS');
      const answer = await guess(200);
      refused(answer, 429, 'RATE_LIMITED');
      expect(Number(answer.headers.get('retry-after'))).toBeGreaterThan(0);
    },
  },
  {
    n: 15,
    input: 'many accounts from one address',
    async run({ limited }) {
      const guess = (i: number) =>
        rest(limited.url, '/auth/login', {
          headers: { 'x-forwarded-for': '203.0.113.15' },
          body: { email: `nobody${i}@example.org`, password: 'password124' },
        });
      const answers = await Promise.all(Array.from({ length: limits.login.limit + 20 }, (_, i) => guess(i)));
      const late = answers.filter(({ status }) => status === 429);
      expect(late.length).toBeGreaterThanOrEqual(15);
      refused(late[0] as (typeof late)[0], 429, 'RATE_LIMITED');
      expect(late[0]?.body.retryAfterMs).toBeGreaterThan(0);
    },
  },
  { n: 16, input: 'X-Forwarded-For that is made up, past a proxy and through one', heldBy: ['L8'] },
  { n: 17, input: 'addresses that change inside a network of IPv6; IPv4 written as IPv6', heldBy: ['L9'] },
];
