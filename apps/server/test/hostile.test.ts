import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { type IncomingMessage, request } from 'node:http';
import { createConnection } from 'node:net';
import { brotliDecompressSync, gunzipSync } from 'node:zlib';
import { type ClientEventName, type ClientEventRow, clientEvents, type RouteRow, routes } from '@duet/contract';
import {
  connect,
  emptyPayloads,
  eventually,
  hostilePayloads,
  next,
  open,
  register,
  rest,
  type ServerProcess,
  startServer,
  type TestUser,
  temporaryFolder,
  upgradeRequest,
} from '@duet/testkit';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { z } from 'zod';
import { metric } from './answers.ts';
import { MAIN } from './shapes.ts';

describe('hostile input', () => {
  let folder: ReturnType<typeof temporaryFolder>;
  let server: ServerProcess;
  let mallory: TestUser;
  let bob: TestUser;

  beforeAll(async () => {
    folder = temporaryFolder();
    server = await startServer(MAIN, { DATA_DIR: folder.path });
    mallory = await register(server.url, 'mallory');
    bob = await register(server.url, 'bob');
  });
  afterAll(async () => {
    await server?.kill();
    folder?.[Symbol.dispose]();
  });

  /** Alive, serving others, and nothing of the attempt stored. */
  async function unharmed(): Promise<void> {
    using b = await connect(server.url, bob.token, { transports: ['websocket'] });
    expect(await b.emitWithAck('typing_start', { receiverId: mallory.id })).toMatchObject({ ok: true });
    const { body } = await rest(server.url, '/conversations', { token: bob.token });
    expect(body.data.conversations).toEqual([]);
    expect(server.output()).not.toMatch(/TypeError|Unhandled|"level":50/);
  }

  /** Whether a request may be empty; then a payload without any of its fields is one. */
  const isValid = (name: string, schema: z.ZodType | undefined) =>
    emptyPayloads.includes(name) && schema?.safeParse({}).success === true;

  test('X14 nobody makes a node compress its client again and again', async () => {
    const { port } = new URL(server.url);
    for (const file of ['socket.io.min.js', 'socket.io.js.map']) {
      const { status, headers } = await fetch(`http://127.0.0.1:${port}/socket.io/${file}`, {
        headers: { 'accept-encoding': 'br, gzip, deflate' },
      });
      expect({ status, encoding: headers.get('content-encoding') }).toEqual({ status: 200, encoding: null });
    }
  });

  /** An answer as it comes, not unpacked. */
  async function get(path: string, headers: Record<string, string>) {
    const [answer] = (await once(request(server.url + path, { headers }).end(), 'response')) as [IncomingMessage];
    return { status: answer.statusCode, headers: answer.headers, body: Buffer.concat(await answer.toArray()) };
  }
  const built = (file: string) => readFileSync(new URL(`../../web/dist/${file}`, import.meta.url));
  const assets = readdirSync(new URL('../../web/dist/assets', import.meta.url)).map((file) => `assets/${file}`);

  test.each([...assets.filter((file) => /\.(js|css)$/.test(file)), 'text-client.js'])(
    'X14 %s is compressed once, when it is built, and served as it lies there',
    async (file) => {
      const plain = await get(`/${file}`, {});
      expect(plain.body).toEqual(built(file));
      expect(plain.headers).not.toHaveProperty('content-encoding');
      const etags = new Set([plain.headers.etag]);
      for (const [accepted, coding, ending, unpack] of [
        ['gzip, deflate, br, zstd', 'br', '.br', brotliDecompressSync],
        ['br;q=0, gzip', 'gzip', '.gz', gunzipSync],
      ] as const) {
        // A range of it is not given: its bytes are of one coding, and whoever asks may have others of another.
        const headers = { 'accept-encoding': accepted, range: 'bytes=7-' };
        const answer = await get(`/${file}?whatever`, headers);
        expect({ ...answer, body: undefined }).toMatchObject({
          status: 200,
          headers: {
            'content-encoding': coding,
            'content-length': String(answer.body.length),
            'content-type': plain.headers['content-type'],
            vary: expect.stringContaining('Accept-Encoding'),
          },
        });
        expect(answer.headers['cache-control']).toBe(plain.headers['cache-control']);
        expect(answer.body).toEqual(built(file + ending));
        expect(unpack(answer.body)).toEqual(plain.body);
        const { etag } = answer.headers;
        etags.add(etag);
        expect(await get(`/${file}`, { ...headers, 'if-none-match': etag as string })).toMatchObject({ status: 304 });
        const refused = await get(`/${file}`, { ...headers, 'if-match': '"of another"' });
        expect(refused).toMatchObject({ status: 400, headers: { 'content-type': 'application/json; charset=utf-8' } });
        expect(JSON.parse(refused.body.toString())).toMatchObject({ code: 'VALIDATION_ERROR' });
        expect(refused.headers['cache-control']).toBe('no-store');
      }
      expect(etags.size).toBe(3);
    },
  );

  test('X14 what is another one in each answer, or is not there compressed, comes as it is', async () => {
    const headers = { 'accept-encoding': 'br, gzip' };
    for (const path of ['/', '/text-client.html', '/icon.svg', '/api/docs/', '/api/docs/openapi.json']) {
      const { status, ...answer } = await get(path, headers);
      expect({ path, status }).toEqual({ path, status: 200 });
      expect(answer.headers).not.toHaveProperty('content-encoding');
    }
    expect(await get('/assets/nothing.js', headers)).toMatchObject({ status: 404 });
  });

  const bodies = (Object.entries(routes) as [string, RouteRow][]).filter(([, route]) => route.body);
  test.each(bodies)('X1 %s refuses every hostile body with a code of the table', async (_, route) => {
    for (const [name, payload] of Object.entries(hostilePayloads)) {
      const body = JSON.stringify(payload) ?? '';
      const answer = await rest(server.url, route.path, {
        method: route.method.toUpperCase(),
        token: mallory.token,
        body,
      });
      if (isValid(body === '' ? 'empty object' : name, route.body)) {
        expect({ name, ...answer }).toMatchObject({ name, status: route.status, body: { success: true } });
        continue;
      }
      expect({ name, ...answer }).toMatchObject({
        name,
        body: { success: false, code: expect.stringMatching(/VALIDATION_ERROR|MALFORMED_JSON|PAYLOAD_TOO_LARGE/) },
      });
      expect([400, 413]).toContain(answer.status);
    }
    await unharmed();
  });

  const asked = (Object.entries(routes) as [string, RouteRow][]).filter(([, route]) => route.auth);
  test.each(asked)('X2 %s refuses hostile parameters and queries without a fault', async (_, route) => {
    // Somebody who may be signed out.
    const { token } = await register(server.url, 'eve');
    const path = route.path.replace(/:\w+/, bob.id);
    for (const value of [
      '%00',
      '%c0%af',
      '..%2f..',
      '$ne',
      '%7B%22$ne%22:1%7D',
      'a'.repeat(3000),
      '-1',
      '1e9',
      'NaN',
      '9'.repeat(30),
    ]) {
      const queries = ['q', 'limit', 'skip', 'before', 'after', 'cursor'].map(
        (name) => `${path}?${name}=${value}&${name}[$gt]=1`,
      );
      for (const target of [...queries, route.path.replace(/:\w+/, value)]) {
        const { status, body } = await rest(server.url, target, {
          method: route.method.toUpperCase(),
          token,
        });
        if (route === routes.logout) {
          expect([200, 401]).toContain(status);
          continue;
        }
        expect({ target, status, success: body.success }).toEqual({ target, status, success: status === 200 });
        expect([200, 400, 404]).toContain(status);
      }
    }
    await unharmed();
  });

  test.each(Object.keys(clientEvents) as ClientEventName[])(
    'X3 %s answers every hostile payload, with and without callback',
    async (event) => {
      using socket = await connect(server.url, mallory.token, { transports: ['websocket'] });
      const { payload: schema, echo }: ClientEventRow = clientEvents[event];
      let answers = 0;
      for (const name of ['error', ...(echo ? [echo.event] : [])]) {
        socket.on(name, () => {
          answers += 1;
        });
      }
      for (const [name, payload] of Object.entries(hostilePayloads)) {
        const ack = await socket.timeout(5_000).emitWithAck(event, payload);
        const expected = isValid(name, schema) ? { ok: true } : { ok: false, error: { code: 'VALIDATION_ERROR' } };
        expect({ name, ack }).toMatchObject({ name, ack: expected });
        socket.emit(event, payload);
      }
      await eventually(
        () => answers === Object.keys(hostilePayloads).length,
        'every one without callback is answered too',
      );
      await unharmed();
    },
  );

  test('X3 an event without a payload is a request without fields, as in REST', async () => {
    using socket = await connect(server.url, mallory.token, { transports: ['websocket'] });
    expect(await socket.emitWithAck('sync')).toMatchObject({ ok: true, data: { conversations: [] } });
    const synced = next(socket, 'synced');
    socket.emit('sync');
    expect(await synced).toMatchObject({ conversations: [] });
    expect(await socket.emitWithAck('send_message')).toMatchObject({ error: { code: 'VALIDATION_ERROR' } });
  });

  test('X3 a message_read that is refused has nobody looked up, for a socket that follows its conversations too', async () => {
    const [ann, ben] = await Promise.all([register(server.url), register(server.url)]);
    const follows = { auth: { token: ben.token, conversations: true }, transports: ['websocket'] };
    using list = await connect(server.url, ben.token, follows);
    using sender = await connect(server.url, ann.token, { transports: ['websocket'] });
    const series = 'duet_store_seconds_count{operation="conversations.get"}';
    const lookUps = async () => (await metric(server.url, series)) || 0;
    const before = await lookUps();
    const read = (i: number) => list.emitWithAck('message_read', { messageId: ann.id, senderId: `nobody ${i}` });
    for (const ack of await Promise.all(Array.from({ length: 60 }, (_, i) => read(i))))
      expect(ack).toMatchObject({ ok: false, error: { code: 'VALIDATION_ERROR' } });
    // What follows is told after whatever came before it.
    const told = next(list, 'conversation_updated');
    await sender.emitWithAck('send_message', { receiverId: ben.id, content: 'x' });
    await told;
    expect((await lookUps()) - before).toBeLessThan(10);
  });

  test('X4 events without arguments, with too many, and names that are reserved do no harm', async () => {
    using socket = await connect(server.url, mallory.token, { transports: ['websocket'] });
    socket.emit('send_message');
    socket.emit('send_message', null, undefined, 7, 'more', {});
    for (const name of ['error', '__proto__', 'constructor', 'toString', '']) {
      socket.io.engine.write(`2${JSON.stringify([name, { receiverId: bob.id }])}`);
    }
    expect(await socket.emitWithAck('typing_stop', { receiverId: bob.id })).toMatchObject({ ok: true });
    await unharmed();
  });

  test.each([
    ['an attachment count without attachments', '5999999-["send_message",{"_placeholder":true,"num":0}]'],
    ['a count of zero with a placeholder', '50-["send_message",{"_placeholder":true,"num":0}]'],
    ['the name of an event of the emitter itself', '2["newListener","send_message"]'],
    ['broken JSON', '2["send_message",{'],
    ['an event that is no list', '2{"a":1}'],
    ['a packet type that does not exist', '9[]'],
    ['an acknowledgement that nobody waits for', '3999[{}]'],
    ['another namespace', '0/admin,{"token":"x"}'],
    ['a frame over the limit', `2["send_message",{"content":"${'x'.repeat(70_000)}"}]`],
  ])('X5 a raw packet with %s costs its sender the connection at most', async (_, packet) => {
    const before = readdirSync(`/proc/${server.pid}/fd`).length;
    for (let i = 0; i < 20; i++) {
      using socket = await connect(server.url, mallory.token, { transports: ['websocket'], reconnection: false });
      socket.io.engine.write(packet);
    }
    await unharmed();
    await eventually(() => readdirSync(`/proc/${server.pid}/fd`).length <= before + 5, 'the connections are gone');
  });

  test('X6 a foreign page is refused for polling and for websocket; pages of this machine and clients that are no page are not', async () => {
    for (const transport of ['polling', 'websocket']) {
      const attempt = (origin: string) =>
        new Promise<string>((resolve) => {
          const socket = open(server.url, mallory.token, {
            transports: [transport],
            extraHeaders: { origin },
            reconnection: false,
          });
          socket.once('connect', () => resolve('connected')).once('connect_error', () => resolve('refused'));
          socket.once('connect', () => socket.disconnect());
        });
      expect(await attempt('https://evil.example')).toBe('refused');
      expect(await attempt(`${server.url}.evil.example`)).toBe('refused');
      expect(await attempt('http://localhost:3000')).toBe('connected');
    }
    const answer = await rest(server.url, '/auth/me', {
      token: mallory.token,
      headers: { origin: 'https://evil.example' },
    });
    expect(answer.headers.get('access-control-allow-origin')).toBeNull();
    const headers = { origin: 'https://evil.example', 'access-control-request-method': 'POST' };
    const preflight = await fetch(`${server.url}/api/auth/login`, { method: 'OPTIONS', headers });
    expect([preflight.status, preflight.headers.get('allow'), await preflight.text()]).toEqual([204, null, '']);
  });

  test('X13 whoever asks for a websocket and is gone before there is one harms nobody', async () => {
    const { hostname, host, port } = new URL(server.url);
    const leave = async (path: string, how: 'reset' | 'end') => {
      const tcp = createConnection({ host: hostname, port: Number(port) });
      tcp.on('error', () => {});
      const closed = new Promise((resolve) => tcp.once('close', resolve));
      await new Promise<void>((resolve) => tcp.write(upgradeRequest(host, path), () => resolve()));
      if (how === 'reset') tcp.resetAndDestroy();
      else tcp.resume().end();
      await closed;
    };
    // So many that they have to wait for each other.
    for (const path of ['/elsewhere', '/socket.io/?EIO=4&transport=websocket']) {
      await Promise.all(Array.from({ length: 150 }, (_, i) => leave(path, i % 2 ? 'reset' : 'end')));
    }
    await unharmed();
  });

  test('X7 a reader that stops reading is closed, and nobody else notices', async () => {
    const slow = await register(server.url, 'slow');
    using reader = await connect(server.url, slow.token, { transports: ['websocket'], reconnection: false });
    using sender = await connect(server.url, mallory.token, { transports: ['websocket'] });
    // biome-ignore lint/suspicious/noExplicitAny: the TCP socket of the stock client has no public way to it
    const tcp = (reader.io.engine.transport as any).ws._socket;
    tcp.pause();
    const content = 'x'.repeat(3_900);
    const closed = new Promise<string>((resolve) => reader.once('disconnect', resolve));
    for (let round = 0; round < 60 && reader.connected; round++) {
      await Promise.all(
        Array.from({ length: 100 }, () => sender.emitWithAck('send_message', { receiverId: slow.id, content })),
      );
      const metrics = await (await fetch(`${server.url}/metrics`)).text();
      if (/duet_slow_consumers_total 1/.test(metrics)) break;
    }
    await eventually(
      async () => /duet_slow_consumers_total 1/.test(await (await fetch(`${server.url}/metrics`)).text()),
      'the slow reader is closed',
    );
    tcp.resume();
    await closed;
    expect(sender.connected).toBe(true);
  });
});
