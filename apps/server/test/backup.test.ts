import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { BARE_ENVIRONMENT, connect, register, rest, startHostApp, startServer, temporaryFolder } from '@duet/testkit';
import { describe, expect, test } from 'vitest';
import { closed } from './sessions-suite.ts';
import { MAIN } from './shapes.ts';
import { history, startTraffic } from './traffic.ts';

const DUET = fileURLToPath(new URL('../src/duet.ts', import.meta.url));

/** `npm run duet -- ...` as its script runs it. */
async function duet(dataDir: string, ...args: string[]): Promise<{ code: number; said: string }> {
  const env = { ...BARE_ENVIRONMENT, DATA_DIR: dataDir };
  const child = spawn(process.execPath, [DUET, ...args], { env, stdio: ['ignore', 'pipe', 'pipe'] });
  let said = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (said += chunk));
  const [code] = await once(child, 'close');
  return { code, said };
}

const contents = (messages: { content: string }[]) => messages.map(({ content }) => content);

describe('backups', () => {
  test('Z1 a backup under load is one moment: everything acknowledged before it, without a hole', async () => {
    using folder = temporaryFolder();
    const server = await startServer(MAIN, { DATA_DIR: folder.path });
    const [alice, bob] = await Promise.all([register(server.url), register(server.url)]);
    using a = await connect(server.url, alice.token);
    const send = (i: number) => a.emitWithAck('send_message', { receiverId: bob.id, content: `${i}`, tempId: `${i}` });
    for (let i = 1; i <= 50; i++) await send(i);
    using traffic = await startTraffic(() => server.url);
    await traffic.flows();
    const copy = join(folder.path, 'copies', 'duet.db');
    expect(await duet(folder.path, 'backup', copy)).toMatchObject({ code: 0 });
    await traffic.flows();
    await traffic.finish();
    for (let i = 51; i <= 60; i++) await send(i);
    await server.kill();

    const restored = join(folder.path, 'restored');
    const { code, said } = await duet(restored, 'restore', copy);
    expect({ code, said }).toEqual({
      code: 0,
      said: expect.stringMatching(/of the backup where the database did not know the user \(\d+\)/),
    });
    const again = await startServer(MAIN, {
      DATA_DIR: restored,
      JWT_SECRET: readFileSync(join(folder.path, 'jwt-secret'), 'utf8'),
    });
    const kept = await history(again.url, bob, alice);
    expect(contents(kept)).toEqual(Array.from({ length: 50 }, (_, i) => `${i + 1}`));
    expect(kept.map(({ seq }) => seq)).toEqual(kept.map((_, i) => i + 1));
    await again.kill();
  });

  test('Z2 a restore under a running server: what was kept is there, sends go on, and clients are told', async () => {
    using folder = temporaryFolder();
    const server = await startServer(MAIN, { DATA_DIR: folder.path, WORKERS: '2' });
    const [alice, bob] = await Promise.all([register(server.url), register(server.url)]);
    using a = await connect(server.url, alice.token);
    const send = (content: string) => a.emitWithAck('send_message', { receiverId: bob.id, content });
    await send('kept');
    const copy = join(folder.path, 'copy.db');
    await duet(folder.path, 'backup', copy);
    for (const content of ['gone', 'gone too']) await send(content);
    expect(await duet(folder.path, 'restore', copy)).toMatchObject({ code: 0 });
    expect(contents(await history(server.url, bob, alice))).toEqual(['kept']);
    const known = { conversations: { [alice.id]: 3 } };
    const { body } = await rest(server.url, '/sync', { token: bob.token, body: known });
    expect(body.data.conversations).toMatchObject([{ userId: alice.id, reset: true, lastSeq: 1 }]);
    expect(await send('next')).toMatchObject({ ok: true, data: { message: { seq: 2 } } });
    await server.stop();
  });

  test('Z5 a restore under a running server signs nobody in who was signed out, and nobody out', async () => {
    await using host = await startHostApp();
    using folder = temporaryFolder();
    const server = await startServer(MAIN, { DATA_DIR: folder.path, ...host.environment });
    const ask = (path: string, how: object) => rest(server.url, path, how);
    const alice = await register(server.url, 'alice');
    const signIn = async () => {
      const { email, password } = alice;
      return (await ask('/auth/login', { body: { email, password } })).body.data;
    };
    const [stays, ends] = [await signIn(), await signIn()];
    const iat = Math.floor(Date.now() / 1_000) - 1;
    const [out, inside] = [host.token('out', { iat }), host.token('inside', { iat })];
    for (const token of [out, inside]) expect(await ask('/auth/me', { token })).toMatchObject({ status: 200 });

    const copy = join(folder.path, 'copy.db');
    expect(await duet(folder.path, 'backup', copy)).toMatchObject({ code: 0 });
    const { refreshToken } = (await ask('/auth/refresh', { body: { refreshToken: stays.refreshToken } })).body.data;
    const { sessions } = (await ask('/auth/sessions', { token: ends.token })).body.data;
    const { _id } = sessions.find(({ current }: { current: boolean }) => current);
    expect(await ask(`/auth/sessions/${_id}`, { method: 'DELETE', token: stays.token })).toMatchObject({ status: 200 });
    expect(await ask('/auth/logout', { method: 'POST', token: out })).toMatchObject({ status: 200 });
    const begins = await signIn();
    const newcomer = await register(server.url, 'newcomer');
    using socket = await connect(server.url, newcomer.token, { reconnection: false });
    const gone = closed(socket);

    const { code, said } = await duet(folder.path, 'restore', copy);
    expect({ code, said }).toEqual({ code: 0, said: expect.stringMatching(/Passwords, .* are those of the backup/) });
    expect(said).not.toMatch(/did not know/);
    for (const token of [ends.token, out])
      expect(await ask('/auth/me', { token })).toMatchObject({ status: 401, body: { code: 'SESSION_REVOKED' } });
    const late = { body: { refreshToken: ends.refreshToken } };
    expect(await ask('/auth/refresh', late)).toMatchObject({ status: 401, body: { code: 'SESSION_REVOKED' } });
    for (const { token } of [alice, stays, begins, { token: inside }])
      expect(await ask('/auth/me', { token })).toMatchObject({ status: 200 });
    expect(await ask('/auth/refresh', { body: { refreshToken } })).toMatchObject({ status: 200 });
    expect(await gone).toMatchObject({ code: 'SESSION_REVOKED' });
    expect(await ask('/auth/me', { token: newcomer.token })).toMatchObject({ status: 401 });
    await server.kill();
  });

  test('Z3 what is no backup is refused, and so is writing over a file', async () => {
    using folder = temporaryFolder();
    const server = await startServer(MAIN, { DATA_DIR: folder.path });
    const alice = await register(server.url);
    const junk = join(folder.path, 'junk.db');
    writeFileSync(junk, 'nothing of that kind'.repeat(100));
    for (const [args, why] of [
      [['restore', junk], /cannot be restored/],
      [['restore', join(folder.path, 'missing.db')], /no backup/],
      [['backup', junk], /exists already/],
      [['backup'], /backup FILE/],
      [['constructor', junk], /backup FILE/],
    ] as const) {
      const { code, said } = await duet(folder.path, ...args);
      expect({ args, code }).toEqual({ args, code: 1 });
      expect(said).toMatch(why);
    }
    expect(readFileSync(junk, 'utf8')).toMatch(/^nothing/);
    expect(await rest(server.url, '/auth/me', { token: alice.token })).toMatchObject({ status: 200 });
    await server.kill();
  });
});
