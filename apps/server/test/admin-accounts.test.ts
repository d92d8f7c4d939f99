import { randomUUID } from 'node:crypto';
import { connect, register, rest } from '@duet/testkit';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { beside, type Shape, shapes } from './command-line.ts';
import { history } from './traffic.ts';

// At once: each waits for servers that look for its changes every ten seconds, and has people of its own.
describe.each(shapes)('the command line beside servers on $name', { concurrent: true }, ({ start }) => {
  let on: Shape;
  beforeAll(async () => {
    on = await start();
  });
  afterAll(async () => on?.stop());
  const { run, json, pair, write, login } = beside(() => on);

  test('O19 who is disabled is out and cannot come in, until he is enabled; messages wait for him', async () => {
    const [alice, bob] = await pair();
    using socket = await connect(on.url, bob.token);
    const out = new Promise((resolve) => socket.once('disconnect', resolve));
    await json('users', 'disable', bob.email);
    await out;
    expect(await login(bob)).toMatchObject({ status: 401, body: { code: 'INVALID_CREDENTIALS' } });
    expect((await rest(on.url, '/auth/me', { token: bob.token })).status).toBe(401);
    await expect(connect(on.url, bob.token)).rejects.toThrow();
    await write(alice, bob, 'for later');
    expect(await json('users', 'show', bob.id)).toMatchObject({ state: 'disabled', sessions: 0 });
    await json('users', 'disable', bob.id);
    await json('users', 'enable', bob.id);
    const { status, body } = await login(bob);
    expect(status).toBe(200);
    using back = await connect(on.url, body.data.token);
    const kept = await history(on.url, { ...bob, token: body.data.token }, alice);
    expect(kept.map(({ content }) => content)).toEqual(['for later']);
    expect(back.connected).toBe(true);
  });

  test('O36 an operator makes an account, which signs in with the password that was printed', async () => {
    const [username, email] = [`Eve ${randomUUID().slice(0, 8)}`, `${randomUUID()}@Example.org`];
    const made = await json('users', 'create', username, email);
    expect(made).toMatchObject({ username, email, state: 'active', password: expect.stringMatching(/^[\w-]{16}$/) });
    const { status, body } = await login(made);
    expect(status).toBe(200);
    expect(body.data.user).toMatchObject({ _id: made.id, username, email });
    const [alice] = await pair();
    await write(alice, made, 'welcome');
    for (const [name, mail, why] of [
      [username.toUpperCase(), 'other@example.org', /username/],
      ['Other', email.toLowerCase(), /email/],
      ['Other', 'no address', /email/],
    ] as const)
      expect(await run('users', 'create', name, mail)).toMatchObject({ code: 1, error: expect.stringMatching(why) });
  });

  test('O36 an operator gives a new password: the old one and all sessions are over, and disabled stays disabled', async () => {
    const bob = await register(on.url, 'bob');
    using socket = await connect(on.url, bob.token);
    const out = new Promise((resolve) => socket.once('disconnect', resolve));
    const { password } = await json('users', 'password', bob.email);
    await out;
    expect((await rest(on.url, '/auth/me', { token: bob.token })).status).toBe(401);
    expect(await login(bob)).toMatchObject({ status: 401, body: { code: 'INVALID_CREDENTIALS' } });
    expect(await login({ ...bob, password })).toMatchObject({ status: 200 });
    await json('users', 'disable', bob.id);
    const { password: next, state } = await json('users', 'password', bob.id);
    expect(state).toBe('disabled');
    expect(await login({ ...bob, password: next })).toMatchObject({ status: 401 });
    await json('users', 'enable', bob.id);
    expect(await login({ ...bob, password: next })).toMatchObject({ status: 200 });
    expect(await run('users', 'password', 'nobody')).toMatchObject({ code: 1, error: 'There is no user nobody\n' });
  });

  test('O20 a deleted user is gone, his name and email are free, and his peer keeps the conversation', async () => {
    const [alice, bob] = await pair();
    await write(alice, bob, 'hello');
    expect(await run('users', 'delete', alice.email)).toMatchObject({ code: 1, error: expect.stringMatching(/--yes/) });
    expect(await login(alice)).toMatchObject({ status: 200 });
    expect(await json('users', 'delete', alice.email, '--yes')).toMatchObject({
      id: alice.id,
      state: 'deleted',
      emptied: 0,
    });
    expect(await login(alice)).toMatchObject({ status: 401 });
    expect((await rest(on.url, '/auth/me', { token: alice.token })).status).toBe(401);
    expect((await history(on.url, bob, alice)).map(({ content }) => content)).toEqual(['hello']);
    const { username } = alice.user;
    const again = await rest(on.url, '/auth/register', {
      body: { username, email: alice.email, password: 'password123' },
    });
    expect(again.status).toBe(201);
    expect(await run('users', 'disable', alice.id)).toMatchObject({ code: 1 });
    expect((await json('inbox', 'check')).findings).toEqual([]);
  });

  test('O20 with his messages: what he wrote is empty, what others wrote stays, and every place is kept', async () => {
    const [alice, bob] = await pair();
    await write(alice, bob, 'secret', 'secret too');
    await write(bob, alice, 'mine');
    expect(await json('users', 'delete', alice.id, '--yes', '--with-messages')).toMatchObject({ emptied: 2 });
    const kept = await history(on.url, bob, alice);
    expect(kept.map(({ seq, content }) => [seq, content])).toEqual([
      [1, ''],
      [2, ''],
      [3, 'mine'],
    ]);
  });

  test('O23 sessions are listed, and revoked: one, or all', async () => {
    const bob = await register(on.url, 'bob');
    const second = (await login(bob)).body.data.token;
    const sessions = await json('sessions', 'list', bob.id);
    expect(sessions).toHaveLength(2);
    await json('sessions', 'revoke', bob.id, sessions[0].id);
    const codes = async () =>
      Promise.all([bob.token, second].map(async (token) => (await rest(on.url, '/auth/me', { token })).status));
    expect((await codes()).sort()).toEqual([200, 401]);
    expect(await json('sessions', 'revoke', bob.id)).toEqual({ ended: 1 });
    expect(await codes()).toEqual([401, 401]);
    using back = await connect(on.url, (await login(bob)).body.data.token);
    expect(await back.emitWithAck('sync', { conversations: {} })).toMatchObject({ ok: true });
    expect(await run('sessions', 'revoke', bob.id, 'f'.repeat(24))).toMatchObject({ code: 1 });
  });
});
