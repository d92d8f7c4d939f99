import { collect, connect, eventually, next, open, register, rest, type TestUser } from '@duet/testkit';
import { describe, expect, test } from 'vitest';
import { failure, payload, success } from './answers.ts';

type Device = Pick<TestUser, 'token'> & {
  refreshToken: string;
  socket: Awaited<ReturnType<typeof connect>>;
} & Disposable;

/** What a refused handshake says. */
export const refusal = (url: string, token: string) =>
  new Promise<string | undefined>((resolve) => {
    const socket = open(url, token, { reconnection: false });
    socket.once('connect_error', (error: Error & { data?: { code: string } }) => resolve(error.data?.code));
    socket.once('connect', () => resolve(undefined));
    socket.once('connect', () => socket.disconnect());
  });

/** Resolves with why the server closed a socket. */
export const closed = (socket: Device['socket']) =>
  Promise.all([
    next(socket, 'error', ({ event }) => event === 'connect'),
    new Promise<string>((resolve) => socket.once('disconnect', resolve)),
  ]).then(([error, reason]) => ({ code: payload('error', error).code, reason }));

/** Who is signed in where, on whichever nodes. */
export function sessionTests(url: (i: number) => string): void {
  /** Signs in and connects, at some node. */
  async function device(user: TestUser, name: string, node: number): Promise<Device> {
    const { email, password } = user;
    const answer = await rest(url(node), '/auth/login', { body: { email, password, device: name } });
    const { token, refreshToken } = success('login', answer);
    const socket = await connect(url(node), token, { reconnection: false });
    // Servers exist that lose one of two updates of a user that race: this one is over before there is another.
    await eventually(async () => {
      const { lastSeen, createdAt } = success('me', await rest(url(node), '/auth/me', { token })).user;
      return lastSeen > createdAt;
    }, 'that the user was seen is stored');
    return { token, refreshToken, socket, [Symbol.dispose]: () => void socket.disconnect() };
  }
  const sessionsOf = async ({ token }: Pick<TestUser, 'token'>, node = 0) =>
    success('sessions', await rest(url(node), '/auth/sessions', { token })).sessions;

  /** Nothing of it is any good, on any node. */
  async function isOver({ token, refreshToken }: Device): Promise<void> {
    for (const node of [0, 1]) {
      failure(await rest(url(node), '/auth/me', { token }), 401, 'SESSION_REVOKED');
      expect(await refusal(url(node), token)).toBe('SESSION_REVOKED');
      failure(await rest(url(node), '/auth/refresh', { body: { refreshToken } }), 401, 'SESSION_REVOKED');
    }
  }
  const stillWorks = async ({ token, socket }: Device) => {
    success('me', await rest(url(1), '/auth/me', { token }));
    expect(await socket.emitWithAck('sync', {})).toMatchObject({ ok: true });
  };

  describe('sessions', () => {
    test('I3 who signs in gets a refresh token, and for it new tokens, at any node', async () => {
      const user = await register(url(0), 'refresh');
      const { email, password } = user;
      const first = success('login', await rest(url(0), '/auth/login', { body: { email, password } }));
      expect(first).toMatchObject({ expiresIn: 7 * 24 * 3_600 });
      const second = success('refresh', await rest(url(1), '/auth/refresh', { body: first }));
      expect(second.refreshToken).not.toBe(first.refreshToken);
      const third = success('refresh', await rest(url(0), '/auth/refresh', { body: second }));
      for (const { token } of [first, second, third])
        expect(success('me', await rest(url(1), '/auth/me', { token })).user._id).toBe(user.id);
      using socket = await connect(url(1), third.token);
      expect(socket.connected).toBe(true);
    });

    test('I4 who refreshes several times at once gets one successor', async () => {
      const { email, password } = await register(url(0), 'twice');
      const { refreshToken } = success('login', await rest(url(0), '/auth/login', { body: { email, password } }));
      const answers = await Promise.all(
        [0, 1, 0, 1, 0, 1].map((node) => rest(url(node), '/auth/refresh', { body: { refreshToken } })),
      );
      const successors = answers.map((answer) => success('refresh', answer).refreshToken);
      expect(new Set(successors).size).toBe(1);
      success('refresh', await rest(url(1), '/auth/refresh', { body: { refreshToken: successors[0] } }));
    });

    test('I5 a refresh token that comes back after its successor was used ends its session, and no other', async () => {
      const user = await register(url(0), 'thief');
      using stolen = await device(user, 'phone', 1);
      using other = await device(user, 'laptop', 0);
      const end = closed(stolen.socket);
      const { refreshToken } = stolen;
      const second = success('refresh', await rest(url(0), '/auth/refresh', { body: { refreshToken } }));
      const third = success('refresh', await rest(url(1), '/auth/refresh', { body: second }));
      failure(await rest(url(0), '/auth/refresh', { body: { refreshToken } }), 401, 'SESSION_REVOKED');
      expect(await end).toEqual({ code: 'SESSION_REVOKED', reason: 'io server disconnect' });
      for (const tokens of [stolen, { ...stolen, ...second }, { ...stolen, ...third }]) await isOver(tokens);
      await stillWorks(other);
    });

    test('I5 what is no refresh token opens nothing, and a refresh token is no token', async () => {
      const { email, password } = await register(url(0), 'mixed');
      const { token, refreshToken } = success(
        'login',
        await rest(url(0), '/auth/login', { body: { email, password } }),
      );
      for (const wrong of [token, 'x', refreshToken.slice(1), `${refreshToken}.x`])
        failure(await rest(url(0), '/auth/refresh', { body: { refreshToken: wrong } }), 401, 'UNAUTHORIZED');
      failure(await rest(url(0), '/auth/me', { token: refreshToken }), 401, 'UNAUTHORIZED');
      expect(await refusal(url(1), refreshToken)).toBe('UNAUTHORIZED');
      success('me', await rest(url(0), '/auth/me', { token }));
    });

    test('I6 signing out ends the tokens and sockets of this device on every node, and no other', async () => {
      const user = await register(url(0), 'out');
      using phone = await device(user, 'phone', 1);
      using laptop = await device(user, 'laptop', 0);
      using alsoPhone = await connect(url(0), phone.token, { reconnection: false });
      const ends = [closed(phone.socket), closed(alsoPhone)];
      const told = next(laptop.socket, 'session_ended');
      success('logout', await rest(url(0), '/auth/logout', { method: 'POST', token: phone.token }));
      for (const end of await Promise.all(ends)) expect(end.code).toBe('SESSION_REVOKED');
      expect(payload('session_ended', await told).sessionIds).toHaveLength(1);
      await isOver(phone);
      await stillWorks(laptop);
    });

    test('I7 the devices on which somebody is signed in are listed to him, and any can be signed out', async () => {
      const user = await register(url(0), 'devices');
      using phone = await device(user, 'Zoë’s phone', 1);
      using laptop = await device(user, 'laptop', 0);
      const listed = await sessionsOf(phone, 1);
      expect(listed.map((each: { current: boolean }) => each.current).filter(Boolean)).toHaveLength(1);
      const named = (name: string) => listed.find((each: { device: string }) => each.device === name);
      expect(named('Zoë’s phone')).toMatchObject({ current: true });
      expect(named('laptop')).toMatchObject({ current: false });
      // The registration, by its User-Agent.
      expect(listed).toHaveLength(3);
      const stranger = await register(url(1), 'stranger');
      const path = `/auth/sessions/${named('laptop')._id}`;
      failure(await rest(url(0), path, { method: 'DELETE', token: stranger.token }), 404, 'NOT_FOUND');
      await stillWorks(laptop);
      const end = closed(laptop.socket);
      success('endSession', await rest(url(1), path, { method: 'DELETE', token: phone.token }));
      expect(await end).toMatchObject({ code: 'SESSION_REVOKED' });
      await isOver(laptop);
      expect((await sessionsOf(phone)).map(({ device }: { device: string }) => device)).not.toContain('laptop');
      failure(await rest(url(1), path, { method: 'DELETE', token: phone.token }), 404, 'NOT_FOUND');
    });

    test('I8 a new password takes the old one and ends every other session', async () => {
      const user = await register(url(0), 'password');
      using phone = await device(user, 'phone', 1);
      using laptop = await device(user, 'laptop', 0);
      const change = (currentPassword: string, newPassword: string) =>
        rest(url(0), '/auth/password', { method: 'PUT', token: laptop.token, body: { currentPassword, newPassword } });
      failure(await change('password124', 'another password'), 401, 'INVALID_CREDENTIALS');
      failure(await change(user.password, 'short'), 400, 'VALIDATION_ERROR');
      await stillWorks(phone);
      const end = closed(phone.socket);
      success('changePassword', await change(user.password, 'another password'));
      expect(await end).toMatchObject({ code: 'SESSION_REVOKED' });
      await isOver(phone);
      await stillWorks(laptop);
      const login = (password: string) => rest(url(1), '/auth/login', { body: { email: user.email, password } });
      failure(await login(user.password), 401, 'INVALID_CREDENTIALS');
      success('login', await login('another password'));
    });

    test('I9 a deleted account is gone for its owner, and its conversations stay readable for others', async () => {
      const [gone, peer] = await Promise.all([register(url(0), 'gone'), register(url(1), 'peer')]);
      using phone = await device(gone, 'phone', 1);
      using p = await connect(url(0), peer.token);
      const sent = await phone.socket.emitWithAck('send_message', { receiverId: peer.id, content: 'the last word' });
      const remove = (password: string) =>
        rest(url(0), '/auth/me', { method: 'DELETE', token: phone.token, body: { password } });
      failure(await remove('password124'), 401, 'INVALID_CREDENTIALS');
      await stillWorks(phone);
      const end = closed(phone.socket);
      success('deleteAccount', await remove(gone.password));
      expect(await end).toMatchObject({ code: 'SESSION_REVOKED' });
      for (const node of [0, 1])
        for (const token of [phone.token, gone.token]) {
          failure(await rest(url(node), '/auth/me', { token }), 401, 'SESSION_REVOKED');
          expect(await refusal(url(node), token)).toBe('SESSION_REVOKED');
        }
      const { email, password } = gone;
      failure(await rest(url(1), '/auth/login', { body: { email, password } }), 401, 'INVALID_CREDENTIALS');

      const first = async () =>
        success('history', await rest(url(0), `/messages/${gone.id}?before=2`, { token: peer.token })).messages[0];
      const send = () => p.emitWithAck('send_message', { receiverId: gone.id, content: 'are you there?' });
      // Other nodes remember a name for some seconds.
      await eventually(async () => !(await send()).ok, 'nobody can write to it');
      expect(await send()).toMatchObject({ ok: false, error: { code: 'NOT_FOUND' } });
      let message = await first();
      await eventually(async () => {
        message = await first();
        return message.sender.isDeleted;
      }, 'its name is gone');
      expect(message).toMatchObject({ _id: sent.data.message._id, content: 'the last word' });
      expect(message.sender).toMatchObject({ _id: gone.id, username: 'Deleted user', isDeleted: true });
      const { conversations } = success('conversations', await rest(url(0), '/conversations', { token: peer.token }));
      expect(conversations[0].peer).toMatchObject({
        _id: gone.id,
        username: 'Deleted user',
        email: '',
        isDeleted: true,
      });
      const { users } = success('users', await rest(url(0), '/auth/users', { token: peer.token }));
      expect(users.map(({ _id }: { _id: string }) => _id)).not.toContain(gone.id);
      const { username } = gone.user;
      const again = await rest(url(1), '/auth/register', { body: { username, email, password } });
      expect(success('register', again).user._id).not.toBe(gone.id);
    });

    test('I10 a socket goes on with a new token of its user, and not with anybody else’s', async () => {
      const [user, other] = await Promise.all([register(url(0), 'renew'), register(url(1), 'other')]);
      using phone = await device(user, 'phone', 1);
      const { token } = success(
        'refresh',
        await rest(url(0), '/auth/refresh', { body: { refreshToken: phone.refreshToken } }),
      );
      const renewed = await phone.socket.emitWithAck('renew', { token });
      expect(renewed).toMatchObject({ ok: true, data: { expiresAt: expect.any(String) } });
      expect(Date.parse(renewed.data.expiresAt)).toBeGreaterThan(Date.now());
      expect(await phone.socket.emitWithAck('renew', { token: other.token })).toMatchObject({
        ok: false,
        error: { code: 'FORBIDDEN' },
      });
      const errors = collect(phone.socket, 'error');
      phone.socket.emit('renew', { token: 'x' });
      await eventually(() => errors.length === 1, 'the failure is told');
      expect(errors[0]).toMatchObject({ code: 'UNAUTHORIZED', event: 'renew' });
      await stillWorks(phone);
    });
  });
}
