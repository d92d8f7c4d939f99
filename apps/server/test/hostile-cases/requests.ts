import { createHmac } from 'node:crypto';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { gzipSync } from 'node:zlib';
import { connect, rest, sendRaw, statusOf } from '@duet/testkit';
import { expect } from 'vitest';
import { type Case, refused, SECRET, type Stage } from './stage.ts';

const login = (url: string, body: string | Buffer, headers: Record<string, string> = {}) =>
  fetch(`${url}/api/auth/login`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: body as string,
    // biome-ignore lint/suspicious/noExplicitAny: a test looks at whatever came
  }).then(async (response) => ({ status: response.status, body: (await response.json()) as any }));

/** A raw request that asks for nothing after it. */
const request = (line: string, headers: string[] = [], body = '') =>
  `${line} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n${headers.map((header) => `${header}\r\n`).join('')}\r\n${body}`;

type Part = Record<string, unknown>;
const encode = (part: Part) => Buffer.from(JSON.stringify(part)).toString('base64url');
const decode = (part: string | undefined): Part => JSON.parse(Buffer.from(part ?? '', 'base64url').toString());

/** The token of somebody with other parts, signed anew. With nothing changed it is a good one. */
function forge(token: string, change: { header?: Part; claims?: Part; key?: string; without?: string } = {}): string {
  const [header, claims] = token.split('.');
  const body = { ...decode(claims), ...change.claims };
  if (change.without) delete body[change.without];
  const text = `${encode({ ...decode(header), ...change.header })}.${encode(body)}`;
  return `${text}.${createHmac('sha256', change.key ?? SECRET)
    .update(text)
    .digest('base64url')}`;
}

async function noWayIn({ url }: Stage, token: string): Promise<void> {
  const answer = await rest(url, '/auth/me', { token });
  expect(answer).toMatchObject({ status: 401, body: { success: false } });
  await expect(connect(url, token, { transports: ['websocket'] })).rejects.toMatchObject({
    data: { code: answer.body.code },
  });
}

/** Bodies, headers and tokens. */
export const requestCases: Case[] = [
  {
    n: 18,
    input: 'broken JSON, doubled keys, a byte order mark, UTF-16',
    async run({ url, alice }) {
      const { email, password } = alice;
      const good = JSON.stringify({ email, password });
      refused(await login(url, '{"email":'), 400, 'MALFORMED_JSON');
      refused(await login(url, Buffer.from(good, 'utf16le')), 400, 'MALFORMED_JSON');
      refused(
        await login(url, good, { 'content-type': 'application/json; charset=x-unknown' }),
        415,
        'UNSUPPORTED_MEDIA',
      );
      // Of two the last counts, for everything that looks at it: there is one parser.
      const doubled = `{"email":"nobody@example.org",${good.slice(1)}`;
      expect((await login(url, doubled)).status).toBe(200);
      expect([200, 400]).toContain((await login(url, `\ufeff${good}`)).status);
    },
  },
  {
    n: 19,
    input: 'a body one byte above the limit; one that unpacks to a thousand times its size',
    async run(stage) {
      const body = `"${'x'.repeat(64 * 1024 - 1)}"`;
      refused(await login(stage.url, body), 413, 'PAYLOAD_TOO_LARGE');
      const bomb = gzipSync(Buffer.alloc(50_000_000, 0x20));
      const { resident } = stage.usage();
      for (let i = 0; i < 5; i++)
        refused(await login(stage.url, bomb, { 'content-encoding': 'gzip' }), 413, 'PAYLOAD_TOO_LARGE');
      expect(stage.usage().resident - resident).toBeLessThan(64 * 1024 * 1024);
    },
  },
  {
    n: 20,
    input: 'JSON that is very deep, or has very many keys',
    async run({ url }) {
      const deep = `{"email":${'['.repeat(10_000)}${']'.repeat(10_000)}}`;
      refused(await login(url, deep), 400, 'VALIDATION_ERROR');
      const keys = Array.from({ length: 6_000 }, (_, i) => `"k${i}":1`).join();
      refused(await login(url, `{${keys}}`), 400, 'VALIDATION_ERROR');
      refused(await login(url, `{${keys}${`,${keys}`.repeat(20)}}`), 413, 'PAYLOAD_TOO_LARGE');
    },
  },
  {
    n: 21,
    input: 'keys that are parts of every object',
    async run({ url, alice }) {
      const { email, password } = alice;
      const polluted = `{"__proto__":{"email":"x","isAdmin":true},"constructor":{"prototype":{"x":1}}`;
      refused(await login(url, `${polluted}}`), 400, 'VALIDATION_ERROR');
      const signedIn = await login(url, `${polluted},"email":"${email}","password":"${password}"}`);
      expect(signedIn.status).toBe(200);
      expect(signedIn.body.data.user).not.toHaveProperty('isAdmin');
      const { body } = await rest(url, '/sync', {
        token: alice.token,
        body: '{"conversations":{"__proto__":5,"constructor":1}}',
      });
      expect(body).toMatchObject({ success: false, code: 'VALIDATION_ERROR' });
    },
  },
  {
    n: 22,
    input: 'paths that are not UTF-8, endless ones, methods that nobody uses, a protocol that is not spoken',
    async run({ url }) {
      for (const path of [
        '/api/messages/%c0%af',
        '/%c0%af',
        '/%zz',
        '/api/%zz',
        '/assets/%2e%2e%2f%2e%2e%2fpackage.json',
      ]) {
        const status = statusOf(await sendRaw(url, request(`GET ${path}`)));
        expect({ path, refused: [400, 404].includes(status) }).toEqual({ path, refused: true });
      }
      expect([414, 431]).toContain(statusOf(await sendRaw(url, request(`GET /${'a'.repeat(17_000)}`))));
      expect([404, 405, 501]).toContain(statusOf(await sendRaw(url, request('TRACE /api/auth/me'))));
      refused(await rest(url, '/no/such/thing'), 404, 'NOT_FOUND');
      const other = 'GET /x HTTP/1.1\r\nHost: x\r\nConnection: close, Upgrade\r\nUpgrade: x\r\n\r\n';
      expect(statusOf(await sendRaw(url, other))).toBe(404);
    },
  },
  {
    n: 23,
    input: 'a header called __proto__, two hundred headers, one of 64 kB',
    async run({ url }) {
      expect(statusOf(await sendRaw(url, request('GET /health', ['__proto__: x', 'constructor: y'])))).toBe(200);
      const many = Array.from({ length: 200 }, (_, i) => `x-${i}: y`);
      expect(statusOf(await sendRaw(url, request('GET /health', many)))).toBe(200);
      expect(statusOf(await sendRaw(url, request('GET /health', [`x: ${'y'.repeat(65_536)}`])))).toBe(431);
    },
  },
  {
    n: 24,
    input: 'two lengths of one body; a head and a body that never come to an end, and no byte at all',
    async run({ url, crowd }) {
      const smuggled = ['Content-Length: 5', 'Transfer-Encoding: chunked', 'Content-Type: application/json'];
      expect(statusOf(await sendRaw(url, request('POST /api/auth/login', smuggled, '0\r\n\r\nG')))).toBe(400);
      const two = ['Content-Length: 5', 'Content-Length: 6', 'Content-Type: application/json'];
      expect(statusOf(await sendRaw(url, request('POST /api/auth/login', two, 'aaaaa')))).toBe(400);
      const slow = [
        '',
        'GET /health HTTP/1.1\r\nHost: x\r\nX-Slow:',
        request('POST /api/auth/login', ['Content-Length: 50', 'Content-Type: application/json'], '{'),
      ];
      const answers = await Promise.all([url, crowd.url].flatMap((at) => slow.map((bytes) => sendRaw(at, bytes))));
      expect(answers.map(statusOf)).toEqual(answers.map(() => 408));
    },
  },
  {
    n: 25,
    input: 'a page of a stranger, and what it asks before',
    async run({ url }) {
      for (const method of ['OPTIONS', 'GET']) {
        const { headers } = await rest(url, '/auth/me', {
          method,
          headers: { origin: 'https://evil.example', 'access-control-request-method': 'PUT' },
        }).catch(() => fetch(`${url}/api/auth/me`, { method, headers: { origin: 'https://evil.example' } }));
        expect(headers.get('access-control-allow-origin')).toBeNull();
      }
    },
  },
  {
    n: 26,
    input: 'no authorization, an empty one, another kind, two',
    async run({ url, alice }) {
      const get = async (...headers: string[]) => statusOf(await sendRaw(url, request('GET /api/auth/me', headers)));
      expect(await get(`Authorization: Bearer ${alice.token}`)).toBe(200);
      expect(await get()).toBe(401);
      expect(await get('Authorization:')).toBe(401);
      expect(await get('Authorization: Basic YTpi')).toBe(401);
      expect(await get(`Authorization: Bearer ${alice.token}`, 'Authorization: Bearer x')).toBe(401);
      expect(await get(`Authorization: Bearer ${alice.token}, Bearer x`)).toBe(401);
    },
  },
  {
    n: 27,
    input: 'tokens that say they are not signed',
    async run(stage) {
      // What is changed below, and nothing else, is why the others are refused.
      expect((await rest(stage.url, '/auth/me', { token: forge(stage.alice.token) })).status).toBe(200);
      for (const alg of ['none', 'None', 'nOnE', 'NONE', '', 'HS512', 'RS256', 'ES256']) {
        const token = forge(stage.alice.token, { header: { alg } });
        await noWayIn(stage, token);
        await noWayIn(stage, `${token.split('.').slice(0, 2).join('.')}.`);
      }
    },
  },
  {
    n: 28,
    input: 'tokens signed with keys that people leave behind',
    async run(stage) {
      for (const key of ['', 'secret', 'your-256-bit-secret', `${SECRET}\n`, SECRET.slice(1)])
        await noWayIn(stage, forge(stage.alice.token, { key }));
    },
  },
  {
    n: 29,
    input: 'tokens that name the key to be used',
    async run(stage) {
      let asked = 0;
      const host = createServer((_, res) => {
        asked += 1;
        res.end('{}');
      }).listen(0, '127.0.0.1');
      const address = () => `http://127.0.0.1:${(host.address() as AddressInfo).port}/keys`;
      await new Promise((resolve) => host.once('listening', resolve));
      const k = Buffer.from('attacker').toString('base64url');
      for (const header of [
        { kid: '../../../../dev/null' },
        { kid: { $ne: 1 } },
        { kid: "x' OR '1'='1" },
        { jku: address() },
        { x5u: address() },
        { jwk: { kty: 'oct', k } },
      ])
        await noWayIn(stage, forge(stage.alice.token, { header, key: header.kid === undefined ? 'attacker' : '' }));
      host.close();
      expect(asked).toBe(0);
    },
  },
  {
    n: 30,
    input: 'tokens out of time, without an end, of 10 kB, of no user',
    async run(stage) {
      const now = Math.floor(Date.now() / 1000);
      for (const claims of [
        { exp: now - 1 },
        { nbf: now + 3_600 },
        { sub: '0'.repeat(24) },
        { sub: { $ne: null } },
        { sub: '' },
        { exp: 'never' },
        { filler: 'x'.repeat(10_000) },
      ])
        await noWayIn(stage, forge(stage.alice.token, { claims }));
      await noWayIn(stage, forge(stage.alice.token, { without: 'sub' }));
    },
  },
  {
    n: 31,
    input: 'a token in the address',
    async run({ url, alice }) {
      for (const name of ['token', 'access_token', 'authorization'])
        refused(await rest(url, `/auth/me?${name}=${alice.token}`), 401, 'UNAUTHORIZED');
      const bare = connect(url, undefined, { transports: ['websocket'], query: { token: alice.token } });
      await expect(bare).rejects.toMatchObject({ data: { code: 'UNAUTHORIZED' } });
    },
  },
  { n: 32, input: 'a refresh token that was rotated, used again', heldBy: ['I4', 'I5'] },
  { n: 33, input: 'a token of somebody who is gone or has signed out', heldBy: ['I6', 'I7', 'I9'] },
];
