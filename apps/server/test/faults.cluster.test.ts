import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  connect,
  eventually,
  next,
  register,
  rest,
  type ServerProcess,
  startServer,
  type TestUser,
  temporaryFolder,
} from '@duet/testkit';
import { describe, expect, test } from 'vitest';
import { childrenOf } from './processes.ts';
import { MAIN } from './shapes.ts';
import { history, sendUntilAcknowledged } from './traffic.ts';

const range = (n: number) => Array.from({ length: n }, (_, i) => i);

describe('faults', () => {
  test('M1 kill -9 in the middle of sending: every acknowledged message is there, once, in order', async () => {
    using folder = temporaryFolder();
    const environment = { DATA_DIR: folder.path };
    let server = await startServer(MAIN, environment);
    const { url } = server;
    const { port } = new URL(url);
    const [alice, bob] = await Promise.all([register(url), register(url)]);
    using socket = await connect(url, alice.token, { transports: ['websocket'] });
    let restarts: Promise<void> = Promise.resolve();
    const sent: { id: string }[] = [];
    for (const i of range(300)) {
      sent.push(await sendUntilAcknowledged(socket, bob.id, `message-${i}`));
      if (sent.length % 100 !== 50) continue;
      restarts = restarts.then(async () => {
        await server.kill();
        server = await startServer(MAIN, { ...environment, PORT: port });
      });
    }
    await restarts;
    for (const [me, peer] of [
      [alice, bob],
      [bob, alice],
    ] as const) {
      const stored = await history(url, me, peer);
      expect(stored.map(({ content }) => content)).toEqual(range(300).map((i) => `message-${i}`));
      expect(stored.map(({ _id }) => _id)).toEqual(sent.map(({ id }) => id));
      expect(stored.map(({ seq }) => seq)).toEqual(range(300).map((i) => i + 1));
    }
    await server.kill();
  });

  test('D9 a disk that is full: no acknowledgement, a retryable answer, the process lives, and nothing acknowledged is lost', async () => {
    using folder = temporaryFolder();
    const script = `trap '' XFSZ; ulimit -f 1500; exec "$0" "$1"`;
    const env = { PATH: process.env.PATH, DATA_DIR: folder.path, PORT: '0', RATE_LIMITS: 'off' };
    const child = spawn('bash', ['-c', script, process.execPath, MAIN], { env, stdio: ['ignore', 'pipe', 'inherit'] });
    const url = await new Promise<string>((resolve) => {
      child.stdout.on('data', (chunk) => {
        const port = /http:\/\/localhost:(\d+)/.exec(String(chunk))?.[1];
        if (port) resolve(`http://127.0.0.1:${port}`);
      });
    });
    const [alice, bob] = await Promise.all([register(url), register(url)]);
    using socket = await connect(url, alice.token, { transports: ['websocket'] });
    const acknowledged: string[] = [];
    let refusal: { code: string } | undefined;
    for (let i = 0; i < 2_000 && !refusal; i++) {
      const ack = await socket.emitWithAck('send_message', {
        receiverId: bob.id,
        content: `${i} ${'x'.repeat(3_900)}`,
        tempId: `${i}`,
      });
      if (ack.ok) acknowledged.push(ack.data.message._id);
      else refusal = ack.error;
    }
    expect(refusal).toMatchObject({ code: 'UNAVAILABLE' });
    expect(acknowledged.length).toBeGreaterThan(50);
    expect(await (await fetch(`${url}/health`)).json()).toEqual({ status: 'ok' });
    const exited = once(child, 'exit');
    child.kill('SIGKILL');
    await exited;
    const roomy = await startServer(MAIN, { DATA_DIR: folder.path });
    expect((await history(roomy.url, bob, alice)).map(({ _id }) => _id)).toEqual(acknowledged);
    await roomy.kill();
  });

  test('P6 a worker that is killed is replaced, its clients come back, and presence is right again', async () => {
    using folder = temporaryFolder();
    const server: ServerProcess = await startServer(MAIN, { DATA_DIR: folder.path, WORKERS: '3' });
    const { url } = server;
    const people = await Promise.all(range(6).map((i) => register(url, `worker${i}`)));
    const [watcher, gone, ...others] = people as [TestUser, TestUser, ...TestUser[]];
    using w = await connect(url, watcher.token);
    const sockets = await Promise.all(others.map((person) => connect(url, person.token)));
    // One who does not come back, and whose end nobody announces but the death of the worker.
    const silent = await Promise.all(range(3).map(() => connect(url, gone.token, { reconnection: false })));
    const offline = next(w, 'user_status', ({ userId, isOnline }) => userId === gone.id && !isOnline);
    const workers = childrenOf(server.pid);
    expect(workers).toHaveLength(3);
    for (const worker of workers) {
      process.kill(worker, 'SIGKILL');
      await eventually(() => childrenOf(server.pid).filter((pid) => pid !== worker).length === 3, 'it is replaced');
    }
    await eventually(() => [w, ...sockets].every(({ connected }) => connected), 'all are back');
    expect(silent.some(({ connected }) => connected)).toBe(false);
    await offline;
    const { body } = await rest(url, '/auth/users?q=worker', { token: watcher.token });
    const online = body.data.users
      .filter((user: { isOnline: boolean }) => user.isOnline)
      .map((user: { _id: string }) => user._id);
    expect(online.sort()).toEqual(others.map(({ id }) => id).sort());
    const got = next(w, 'receive_message');
    await sockets[0]?.emitWithAck('send_message', { receiverId: watcher.id, content: 'still here' });
    expect((await got).message.content).toBe('still here');
    for (const socket of sockets) socket.disconnect();
    await server.stop();
  });

  test('P7 limits count over all workers', async () => {
    using folder = temporaryFolder();
    const server = await startServer(MAIN, { DATA_DIR: folder.path, WORKERS: '3', RATE_LIMITS: 'on' });
    const [alice, bob] = await Promise.all([register(server.url), register(server.url)]);
    const sockets = await Promise.all(
      range(3).map(() => connect(server.url, alice.token, { transports: ['websocket'] })),
    );
    const acks = await Promise.all(
      range(300).map((i) => sockets[i % 3]?.emitWithAck('typing_start', { receiverId: bob.id })),
    );
    // 60 at once, and what is refilled while they are asked: far fewer than three times as many.
    expect(acks.filter(({ ok }) => ok).length).toBeLessThan(120);
    for (const socket of sockets) socket.disconnect();
    await server.stop();
  });
});
