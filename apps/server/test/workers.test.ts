import { once } from 'node:events';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { connect as connectClient, eventually, register, startServer, statusOf, temporaryFolder } from '@duet/testkit';
import { describe, expect, test } from 'vitest';
import { allServe, childrenOf, readyOf } from './processes.ts';
import { MAIN } from './shapes.ts';

const LOGIN = JSON.stringify({ email: 'nobody@example.org', password: 'password123' });
const HEAD = `POST /api/auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: ${LOGIN.length}\r\n\r\n`;
const AT_ONCE = 20;

/** Whether a server has taken all that came from this port of ours; the system tells in hex. */
function isRead(port: number): boolean {
  const end = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  const sockets = ['tcp', 'tcp6'].flatMap((table) => readFileSync(`/proc/net/${table}`, 'utf8').split('\n'));
  const [, , , , queues] =
    sockets.map((line) => line.trim().split(/\s+/)).find(([, , from]) => from?.endsWith(end)) ?? [];
  return queues?.endsWith(':00000000') ?? false;
}

/** A connection whose first bytes have been read when the rest is sent. */
function sendPieces(url: string, [first, ...rest]: string[]): { sent: Promise<void>; answer: Promise<string> } {
  const { hostname, port } = new URL(url);
  const tcp = connect({ host: hostname, port: Number(port), noDelay: true });
  let answer = '';
  tcp.on('data', (chunk) => {
    answer += chunk;
  });
  const write = (piece = '') => new Promise((resolve) => tcp.write(piece, resolve));
  const send = async () => {
    await write(first);
    await eventually(() => isRead(tcp.localPort as number), 'the first piece is read');
    for (const piece of rest) await write(piece);
  };
  return { sent: send(), answer: once(tcp, 'close').then(() => answer) };
}

describe('workers', () => {
  test('P6 while a worker does not come up the others serve, and the metrics tell', async () => {
    using folder = temporaryFolder();
    const server = await startServer(MAIN, { DATA_DIR: folder.path, WORKERS: '2' });
    await allServe(server);
    writeFileSync(join(folder.path, 'key-ring'), 'this is no key');
    process.kill(childrenOf(server.pid)[0] as number, 'SIGKILL');
    const deaths = () => server.output().split('a worker died').length - 1;
    await eventually(() => deaths() > 0, 'it has died');
    while (deaths() < 3) expect(await readyOf(server)).toBe(0.5);
    rmSync(join(folder.path, 'key-ring'));
    await allServe(server);
    expect(await server.stop()).toBe(0);
  });

  test.each([
    ['its head', [HEAD.slice(0, 9), HEAD.slice(9, 40), HEAD.slice(40) + LOGIN]],
    ['its body', [HEAD, ...LOGIN]],
  ])('X15 a request with %s in pieces is read by its worker alone, however late that is', async (_, pieces) => {
    using folder = temporaryFolder();
    const server = await startServer(MAIN, { DATA_DIR: folder.path, WORKERS: '2' });
    await allServe(server);
    const workers = childrenOf(server.pid);
    for (const worker of workers) process.kill(worker, 'SIGSTOP');
    const all = Array.from({ length: AT_ONCE }, () => sendPieces(server.url, pieces));
    await Promise.all(all.map(({ sent }) => sent));
    for (const worker of workers) process.kill(worker, 'SIGCONT');
    const answers = await Promise.all(all.map(({ answer }) => answer));
    expect(answers.map(statusOf)).toEqual(all.map(() => 401));
    expect(await server.stop()).toBe(0);
  });

  test.each([
    ['acknowledged where nothing is limited', 'off', { ok: true }],
    ['refused for now where it cannot be counted', 'on', { ok: false, error: { code: 'UNAVAILABLE' } }],
  ])('C9 while the primary stands still a message is %s', async (_, RATE_LIMITS, expected) => {
    using folder = temporaryFolder();
    const server = await startServer(MAIN, { DATA_DIR: folder.path, WORKERS: '2', RATE_LIMITS });
    const [alice, bob] = await Promise.all([register(server.url), register(server.url)]);
    using socket = await connectClient(server.url, alice.token, { transports: ['websocket'] });
    const send = () => socket.timeout(20_000).emitWithAck('send_message', { receiverId: bob.id, content: 'Hello' });
    server.signal('SIGSTOP');
    expect(await send()).toMatchObject(expected);
    server.signal('SIGCONT');
    await eventually(async () => (await send()).ok, 'it goes on');
    expect(await server.stop()).toBe(0);
  });
});
