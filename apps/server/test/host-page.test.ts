import { spawn } from 'node:child_process';
import { generateKeyPairSync, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { BARE_ENVIRONMENT, connect, register, rest, startHostApp, temporaryFolder } from '@duet/testkit';
import { expect, test } from 'vitest';
import { success } from './answers.ts';
import { startNode } from './in-process.ts';

const page = readFileSync(new URL('../../../docs/host-tokens.md', import.meta.url), 'utf8');
const SAMPLES = [...page.matchAll(/```js\n(.*?)```/gs)].map(([, code]) => code as string);
const sample = (word: string) => SAMPLES.find((code) => code.includes(word));
const ISSUER = 'https://id.example.org/';
const USER = { id: 'ada 1', name: 'Ada', email: 'ada@example.org', emailVerified: true };

/** What the page leaves to the application, and its two samples for servers as they stand there. */
const APPLICATION = `
import express from 'express';
const app = express();
const requireUser = (req, _, next) => {
  req.user = ${JSON.stringify(USER)};
  next();
};
${sample('/chat-token')}
${sample('chatIdOf')}
app.get('/chat-id/:sub', (req, res) => res.json(chatIdOf('${ISSUER}', req.params.sub)));
const listener = app.listen(0, '127.0.0.1', () => process.send(listener.address().port));
`;

/** The application, as a process in its own folder. */
async function startApplication(folder: string) {
  const child = spawn(process.execPath, ['app.mjs'], {
    cwd: folder,
    env: BARE_ENVIRONMENT,
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  const ended = once(child, 'exit');
  const [port] = await Promise.race([
    once(child, 'message'),
    ended.then(([code]) => Promise.reject(new Error(`the application ended with ${code}`))),
  ]);
  const ask = async <T>(path: string, method = 'GET') =>
    (await (await fetch(`http://127.0.0.1:${port}${path}`, { method })).json()) as T;
  return {
    jwksUrl: `http://127.0.0.1:${port}/.well-known/jwks.json`,
    token: async () => (await ask<{ token: string }>('/chat-token', 'POST')).token,
    idOf: (sub: string) => ask<string>(`/chat-id/${encodeURIComponent(sub)}`),
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL');
      await ended;
    },
  };
}

test('I20 an application that signs as docs/host-tokens.md shows is believed, also after it was started anew', async () => {
  using folder = temporaryFolder();
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  writeFileSync(join(folder.path, 'chat-key.pem'), privateKey.export({ type: 'pkcs8', format: 'pem' }));
  writeFileSync(join(folder.path, 'app.mjs'), APPLICATION);
  symlinkSync(fileURLToPath(new URL('../node_modules', import.meta.url)), join(folder.path, 'node_modules'));
  const before = await startApplication(folder.path);
  const early = await before.token();
  await before[Symbol.asyncDispose]();
  await using application = await startApplication(folder.path);
  const host = { JWKS_URL: application.jwksUrl, JWT_ISSUER: ISSUER, JWT_AUDIENCE: 'chat.example.org' };
  await using node = await startNode({ DATA_DIR: folder.path, ...host });
  const { token } = await register(node.url);
  using writer = await connect(node.url, token);
  const write = async (sub: string) =>
    writer.emitWithAck('send_message', { receiverId: await application.idOf(sub), content: 'Hello' });
  expect(await write(USER.id)).toMatchObject({ ok: false, error: { code: 'NOT_FOUND' } });
  for (const each of [early, await application.token()]) {
    const { user } = success('me', await rest(node.url, '/auth/me', { token: each }));
    expect(user).toMatchObject({ _id: await application.idOf(USER.id), username: USER.name, email: USER.email });
  }
  expect(await write(USER.id)).toMatchObject({ ok: true });
  expect(await write(randomUUID())).toMatchObject({ ok: false, error: { code: 'NOT_FOUND' } });
});

test('I22 where the email is a claim that no token has, nobody has an email', async () => {
  using folder = temporaryFolder();
  await using host = await startHostApp();
  await using node = await startNode({ DATA_DIR: folder.path, ...host.environment, JWT_EMAIL_CLAIM: 'none' });
  const { _id } = success(
    'me',
    await rest(node.url, '/auth/me', { token: host.token('ada', { name: 'Ada', email: 'ada@example.org' }) }),
  ).user;
  const { token } = await register(node.url);
  const { users } = success('users', await rest(node.url, '/auth/users', { token }));
  expect(users).toEqual([expect.objectContaining({ _id, username: 'Ada', email: '' })]);
});
