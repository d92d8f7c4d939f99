import { randomUUID } from 'node:crypto';
import { connect, type HostApp, rest, startHostApp } from '@duet/testkit';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { failure, success } from './answers.ts';
import { beside, type Shape, shapes } from './command-line.ts';
import { closed, refusal } from './sessions-suite.ts';

/** What operators do with users of the host application. */
describe.each(shapes)('users of the host application on $name', ({ start }) => {
  let host: HostApp;
  let on: Shape;
  beforeAll(async () => {
    host = await startHostApp();
    on = await start(host.environment);
  });
  afterAll(async () => {
    await on?.stop();
    await host?.stop();
  });
  const { json, run } = beside(() => on);
  const me = (token: string) => rest(on.url, '/auth/me', { token });
  const seconds = () => Math.floor(Date.now() / 1_000);
  /** Somebody who is connected with a token of some time ago. */
  async function somebody(name: string) {
    const sub = `${name}|${randomUUID()}`;
    const before = host.token(sub, { iat: seconds() - 2, preferred_username: sub.replace('|', ' ') });
    const { _id: id } = success('me', await me(before)).user;
    const socket = await connect(on.url, before, { reconnection: false });
    // As it looks a moment later, so that nobody has to wait for the second to end.
    const after = () => host.token(sub, { iat: seconds() + 2 });
    return { id, before, after, end: closed(socket), [Symbol.dispose]: () => void socket.disconnect() };
  }
  async function isRefused(token: string, code: string): Promise<void> {
    failure(await me(token), 401, code);
    expect(await refusal(on.url, token)).toBe(code);
  }

  test.concurrent('I25 who is signed out by an operator is out until the host issues another token', async () => {
    using ada = await somebody('ada');
    expect(await json('sessions', 'list', ada.id)).toEqual([]);
    expect(await json('sessions', 'revoke', ada.id)).toEqual({ ended: 0 });
    expect(await ada.end).toEqual({ code: 'SESSION_REVOKED', reason: 'io server disconnect' });
    await isRefused(ada.before, 'SESSION_REVOKED');
    const token = ada.after();
    expect(success('me', await me(token)).user._id).toBe(ada.id);
    using back = await connect(on.url, token, { reconnection: false });
    expect(await back.emitWithAck('sync', {})).toMatchObject({ ok: true });
    // Once more, also beside a token that is younger.
    await json('sessions', 'revoke', ada.id);
    await isRefused(ada.before, 'SESSION_REVOKED');
  });

  test.concurrent('I25 who is disabled is out whatever the host issues, until he is enabled', async () => {
    using bob = await somebody('bob');
    expect(await json('users', 'disable', bob.id)).toMatchObject({ state: 'disabled' });
    expect(await bob.end).toMatchObject({ code: 'SESSION_REVOKED' });
    for (const token of [bob.before, bob.after()]) await isRefused(token, 'SESSION_REVOKED');
    expect(await json('users', 'enable', bob.id)).toMatchObject({ state: 'active' });
    await isRefused(bob.before, 'SESSION_REVOKED');
    expect(success('me', await me(bob.after())).user._id).toBe(bob.id);
  });

  test.concurrent('O36 a user of the host application is given no password, disabled or not', async () => {
    using ivy = await somebody('ivy');
    const refused = { code: 1, error: expect.stringMatching(/host application/) };
    expect(await run('users', 'password', ivy.id)).toMatchObject(refused);
    success('me', await me(ivy.before));
    await json('users', 'disable', ivy.id);
    expect(await run('users', 'password', ivy.id)).toMatchObject(refused);
  });

  test.concurrent('I25 who is deleted does not come back, by no token', async () => {
    using eve = await somebody('eve');
    expect(await json('users', 'delete', eve.id, '--yes')).toMatchObject({ state: 'deleted' });
    expect(await eve.end).toMatchObject({ code: 'SESSION_REVOKED' });
    for (const token of [eve.before, eve.after()]) await isRefused(token, 'UNAUTHORIZED');
    expect(await json('users', 'show', eve.id)).toMatchObject({
      state: 'deleted',
      username: 'Deleted user',
      email: '',
    });
    expect(await run('users', 'enable', eve.id)).toMatchObject({ code: 1 });
  });
});
