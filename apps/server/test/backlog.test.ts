import { once } from 'node:events';
import { createServer } from 'node:http';
import { type AddressInfo, connect as connectTcp, type Socket } from 'node:net';
import {
  connect,
  createManualClock,
  eventually,
  hasNginx,
  openRawWebSocket,
  register,
  rest,
  type ServerProcess,
  startNginx,
  startServer,
  type TestUser,
  temporaryFolder,
} from '@duet/testkit';
import { Server } from 'socket.io';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createHttpServer } from '../src/http/server.ts';
import { createBacklog } from '../src/socket/backlog.ts';
import { metric } from './answers.ts';
import { residentOf } from './processes.ts';
import { MAIN } from './shapes.ts';

const websocket = { transports: ['websocket'], reconnection: false };
/** 24 kB in every packet: each of its characters is escaped. */
const LONG = '\u0001'.repeat(3_999);
/** With so many of them the answer to a sync has twelve megabytes. */
const MESSAGES = 500;
const ANSWER_BYTES = MESSAGES * 24_000;
const ALL = { conversations: {}, limit: MESSAGES };
const AT_ONCE = 100;
const ASKED = 40;
/** The system itself takes some megabytes off the node's hands. */
const MOST_ANSWERED = 4;

describe('what is written and not read', () => {
  let folder: ReturnType<typeof temporaryFolder>;
  let server: ServerProcess;
  let alice: TestUser;

  beforeAll(async () => {
    folder = temporaryFolder();
    server = await startServer(MAIN, { DATA_DIR: folder.path });
    alice = await register(server.url, 'alice');
  });
  afterAll(async () => {
    await server?.kill();
    folder?.[Symbol.dispose]();
  });

  async function write(to: TestUser, count: number): Promise<void> {
    using sender = await connect(server.url, alice.token, websocket);
    const send = () => sender.emitWithAck('send_message', { receiverId: to.id, content: LONG });
    // Each is answered with all of it, twice: the sender has to read as well.
    for (let sent = 0; sent < count; sent += AT_ONCE) {
      const acks = await Promise.all(Array.from({ length: AT_ONCE }, send));
      expect(acks.every(({ ok }) => ok)).toBe(true);
    }
  }

  /** Somebody whose sync is as long as it can be. */
  async function receiver(): Promise<TestUser> {
    const user = await register(server.url, 'bob');
    await write(user, MESSAGES);
    return user;
  }

  const told = (series: string) => metric(server.url, series);
  const synced = () => told('duet_event_seconds_count{event="sync",outcome="ok"}');
  const toldToWait = () => told('duet_event_seconds_count{event="sync",outcome="wait"}');

  /** Answered syncs, when all that were asked for have been answered or refused. */
  async function answered(ask: () => unknown, asked = ASKED): Promise<number> {
    const before = { synced: await synced(), waiting: await toldToWait() };
    await ask();
    const count = async () => ({ ok: (await synced()) - before.synced, wait: (await toldToWait()) - before.waiting });
    await eventually(async () => {
      const { ok, wait } = await count();
      return ok + wait === asked;
    }, 'all have had their answer');
    return (await count()).ok;
  }

  test('X7 a websocket that asks and does not read is told to wait; when it has read it goes on', async () => {
    const bob = await receiver();
    using reader = await openRawWebSocket(server.url, { token: bob.token });
    reader.tcp.pause();
    const ok = await answered(() => {
      for (let i = 0; i < ASKED; i++) reader.send(`42${i}${JSON.stringify(['sync', ALL])}`);
    });
    expect(ok).toBeGreaterThanOrEqual(1);
    expect(ok).toBeLessThanOrEqual(MOST_ANSWERED);
    reader.tcp.resume();
    await eventually(() => reader.received().split('"RATE_LIMITED"').length > ASKED - ok, 'it has read it all');
    reader.send(`42${ASKED}${JSON.stringify(['sync', ALL])}`);
    await eventually(() => reader.received().includes(`43${ASKED}[{"ok":true`), 'it is answered again');
  });

  test('X7 so are all sockets of a user together, and REST, and nobody else', async () => {
    const bob = await receiver();
    const readers = await Promise.all(
      Array.from({ length: ASKED / 2 }, () => openRawWebSocket(server.url, { token: bob.token })),
    );
    const ok = await answered(() => {
      for (const { tcp, send } of readers) {
        tcp.pause();
        for (const id of [1, 2]) send(`42${id}${JSON.stringify(['sync', ALL])}`);
      }
    });
    expect(ok).toBeLessThanOrEqual(ASKED / 4);
    expect(await rest(server.url, '/sync', { token: bob.token, body: ALL })).toMatchObject({
      status: 429,
      body: { code: 'RATE_LIMITED', retryAfterMs: expect.any(Number) },
    });
    expect(await rest(server.url, '/sync', { token: alice.token, body: ALL })).toMatchObject({ status: 200 });
    for (const { tcp } of readers) tcp.destroy();
    await eventually(
      async () => (await rest(server.url, '/sync', { token: bob.token, body: ALL })).status === 200,
      'he has nothing to read any more',
    );
  });

  /** A request on a connection of its own, whose answer nobody reads. */
  function ask(line: string, headers: string[], { body = '', url = server.url } = {}): Socket {
    const { hostname, host, port } = new URL(url);
    const tcp = connectTcp({ host: hostname, port: Number(port) }).pause();
    tcp.on('error', () => {});
    const all = [`Host: ${host}`, 'Connection: close', `Content-Length: ${Buffer.byteLength(body)}`, ...headers];
    tcp.write(`${line} HTTP/1.1\r\n${all.map((header) => `${header}\r\n`).join('')}\r\n${body}`);
    return tcp;
  }

  test('X7 so is who polls and does not read, and what he leaves behind goes with him', async () => {
    const bob = await receiver();
    const path = '/socket.io/?EIO=4&transport=polling';
    const { sid } = JSON.parse((await (await fetch(server.url + path)).text()).slice(1));
    const url = `${server.url}${path}&sid=${sid}`;
    const post = async (body: string) => expect((await fetch(url, { method: 'POST', body })).status).toBe(200);
    await post(`40${JSON.stringify({ token: bob.token })}`);
    expect(await (await fetch(url)).text()).toContain('"sid"');
    const polls: Socket[] = [];
    const ok = await answered(async () => {
      for (let i = 0; i < ASKED; i++) {
        const before = (await synced()) + (await toldToWait());
        await post(`42${i}${JSON.stringify(['sync', ALL])}`);
        polls.push(ask(`GET ${path}&sid=${sid}`, []));
        await eventually(async () => (await synced()) + (await toldToWait()) > before, 'it has its answer');
      }
    });
    expect(ok).toBeLessThanOrEqual(MOST_ANSWERED);
    await post('1');
    await eventually(() => {
      // Whoever does not read hears of an end by writing alone.
      for (const tcp of polls) tcp.write('\r\n');
      return polls.every(({ destroyed }) => destroyed);
    }, 'the node has let go of them');
  });

  /** @param most answers that it makes for him, of which the system takes some megabytes */
  async function askByRest(node: ServerProcess, { url = node.url, most = MOST_ANSWERED } = {}): Promise<void> {
    const bob = await receiver();
    const headers = [`Authorization: Bearer ${bob.token}`, 'Content-Type: application/json'];
    const count = async (series: string) => (await metric(node.url, series)) || 0;
    const answered = () => count('duet_http_request_seconds_count{route="sync"}');
    const refused = () => count('duet_errors_total{code="RATE_LIMITED"}');
    const [okBefore, waitBefore] = [await answered(), await refused()];
    const asked = Array.from({ length: ASKED }, () =>
      ask('POST /api/sync', headers, { body: JSON.stringify(ALL), url }),
    );
    await eventually(
      async () => (await answered()) + (await refused()) === okBefore + waitBefore + ASKED,
      'all have had their answer',
    );
    expect((await answered()) - okBefore).toBeLessThanOrEqual(most);
    for (const tcp of asked) tcp.destroy();
    await eventually(
      async () => (await rest(node.url, '/sync', { token: bob.token, body: ALL })).status === 200,
      'what he does not want to read is forgotten',
    );
  }

  test('X7 so is who asks by REST and does not read', () => askByRest(server));

  test('X7 and workers count what is not read, of which none is at their primary', async () => {
    // Of the same file: what was written is there.
    const workers = await startServer(MAIN, { DATA_DIR: folder.path, WORKERS: '2' });
    const before = residentOf(workers.pid);
    await askByRest(workers, { most: 2 * MOST_ANSWERED });
    // Half of what it would hold; telling the metrics of all takes some, too.
    expect(residentOf(workers.pid) - before).toBeLessThan(MOST_ANSWERED * ANSWER_BYTES);
    await workers.stop();
  });

  test.skipIf(!hasNginx())('X7 and nginx keeps for nobody what he does not read', async () => {
    await using nginx = await startNginx([new URL(server.url).host]);
    await askByRest(server, { url: `http://127.0.0.1:${nginx.port}` });
  });

  test('X7 who leaves and stays connected is closed, with what waits for him', async () => {
    const bob = await receiver();
    using reader = await openRawWebSocket(server.url, { token: bob.token });
    reader.tcp.pause();
    await answered(() => reader.send(`421${JSON.stringify(['sync', ALL])}`), 1);
    reader.send('41');
    await eventually(async () => (await told('duet_connected_sockets')) === 0, 'he has left');
    reader.send(`40${JSON.stringify({ token: bob.token })}`);
    reader.tcp.resume();
    await reader.closed;
    expect(reader.received().split('40{"sid"')).toHaveLength(2);
  });

  test('X7 a reader that stopped is closed for the bytes that wait for it, however few packets they are', async () => {
    const bob = await receiver();
    using reader = await openRawWebSocket(server.url, { token: bob.token });
    reader.tcp.pause();
    const before = await told('duet_slow_consumers_total');
    reader.send(`421${JSON.stringify(['sync', ALL])}`);
    // Together with the answer well below the number of packets that may wait.
    await write(bob, MESSAGES + MESSAGES);
    await eventually(async () => (await told('duet_slow_consumers_total')) > before, 'it is closed');
    reader.tcp.resume();
    await reader.closed;
  });
});

test('X7 an answer by HTTP of which nothing is taken is given up', async () => {
  expect(createHttpServer().http.timeout).toBe(60_000);
  const { http } = createHttpServer({ readWithinMs: 200 });
  const given = new Promise<boolean>((resolve) => {
    http.on('request', (_, response) => {
      response.end(Buffer.alloc(50_000_000)).once('close', () => resolve(response.writableFinished));
    });
  });
  await once(http.listen(0, '127.0.0.1'), 'listening');
  const client = connectTcp((http.address() as AddressInfo).port, '127.0.0.1').pause();
  client.on('error', () => {}).write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
  expect(await given).toBe(false);
  client.destroy();
  await once(http.close(), 'close');
});

test('Y6 long answers are made one by one for each user; who waits for his turn for more than 4 s is told to come again', async () => {
  const clock = createManualClock();
  const io = new Server(createServer());
  const { inTurn } = createBacklog(io, { clock, metrics: { slowConsumer() {} } });
  const way = { writeBuffer: [], transport: {} } as never;
  const first = Promise.withResolvers<void>();
  const made: string[] = [];
  const make = (name: string, until: Promise<void> | void) => async () => {
    await until;
    made.push(name);
  };
  const one = inTurn('ann', make('one', first.promise), way);
  const soon = inTurn('ann', make('never', undefined), way);
  await inTurn('bob', make('other', undefined), way);
  await clock.advance(4_001);
  const later = inTurn('ann', make('two', undefined), way);
  first.resolve();
  await one;
  await expect(soon).rejects.toMatchObject({ code: 'UNAVAILABLE', retryAfterMs: expect.any(Number) });
  await later;
  expect(made).toEqual(['other', 'one', 'two']);
  await io.close();
});
