import { randomUUID } from 'node:crypto';
import {
  connect,
  type HostApp,
  newSigningKey,
  next,
  register,
  rest,
  type SigningKey,
  signToken,
  signTokenWithSecret,
  unsignedToken,
} from '@duet/testkit';
import { describe, expect, test } from 'vitest';
import { failure, payload, success } from './answers.ts';
import { closed, refusal } from './sessions-suite.ts';

/** Users of the application that Duet is built into, on whichever nodes. */
export function hostTokenTests(url: (i: number) => string, host: () => HostApp): void {
  const newSub = (name: string) => `${name}|${randomUUID()}`;
  const me = async (token: string, node = 0) =>
    success('me', await rest(url(node), '/auth/me', { token })).user as {
      _id: string;
      username: string;
      email: string;
    };
  const named = async (claims: object) => me(host().token(newSub('named'), claims));

  describe('tokens of the host application', () => {
    test('I20 a token opens REST and sockets at any node, and its user talks to those of Duet’s own', async () => {
      const sub = newSub('ada');
      const preferred_username = `ada ${sub.slice(4, 12)}`;
      const token = host().token(sub, { preferred_username, email: `${sub.slice(4)}@example.org` });
      const ada = await me(token);
      expect(ada).toMatchObject({ username: preferred_username, email: `${sub.slice(4)}@example.org` });
      expect(await me(host().token(sub), 1)).toEqual(ada);
      const bob = await register(url(1), 'bob');
      using a = await connect(url(1), token);
      using b = await connect(url(0), bob.token);
      const come = next(b, 'receive_message');
      const sent = await a.emitWithAck('send_message', { receiverId: bob.id, content: 'from the host' });
      expect(sent).toMatchObject({ ok: true });
      expect(payload('receive_message', await come).message.sender).toMatchObject({ _id: ada._id });
      const answer = next(a, 'receive_message');
      expect(await b.emitWithAck('send_message', { receiverId: ada._id, content: 'back' })).toMatchObject({ ok: true });
      expect(payload('receive_message', await answer).message.content).toBe('back');
      const { users } = success('users', await rest(url(0), '/auth/users', { token: bob.token }));
      expect(users.filter(({ _id }: { _id: string }) => _id === ada._id)).toHaveLength(1);
    });

    test('I20 whoever is first seen at several places at once is one user', async () => {
      const sub = newSub('race');
      const preferred_username = `race ${sub.slice(5, 17)}`;
      const tokens = Array.from({ length: 12 }, (_, i) => host().token(sub, { preferred_username, jti: `${i}` }));
      const seen = await Promise.all(tokens.map((token, i) => me(token, i)));
      expect(new Set(seen.map(({ _id, username }) => `${_id} ${username}`)).size).toBe(1);
      const { token } = await register(url(0), 'looking');
      const { users } = success('users', await rest(url(1), '/auth/users?q=race%20', { token }));
      expect(
        users.filter(({ username }: { username: string }) => username.startsWith(preferred_username)),
      ).toHaveLength(1);
    });

    test('I20 the same subject of somebody else is somebody else', async () => {
      const [one, other] = [await named({}), await named({})];
      expect(one._id).not.toBe(other._id);
      expect(one.username).toMatch(/^User #[0-9a-f]{6}/);
      expect(one.email).toBe('');
    });

    const stranger = newSigningKey();
    const seconds = () => Math.floor(Date.now() / 1000);
    const publicPem = ({ publicKey }: SigningKey) => publicKey.export({ type: 'spki', format: 'pem' }) as string;
    const jwkOf = ({ publicKey }: SigningKey) => publicKey.export({ format: 'jwk' });
    const first = () => host().keys[0] as SigningKey;
    const claims = (changes?: object) => host().claims('mallory', changes);

    test.each<[string, () => string, string?]>([
      ['not signed', () => unsignedToken(claims())],
      ['not signed, in other letters', () => unsignedToken(claims(), 'nOnE')],
      ['signed with the public key as a secret', () => signTokenWithSecret(publicPem(first()), claims())],
      [
        'signed so, under the name of the key',
        () => signTokenWithSecret(publicPem(first()), claims(), { kid: first().kid }),
      ],
      ['signed by a secret of nothing', () => signTokenWithSecret('', claims(), { kid: first().kid })],
      ['signed by a stranger under the name of the key', () => signToken({ ...stranger, kid: first().kid }, claims())],
      ['signed by a key that it brings itself', () => signToken(stranger, claims(), { jwk: jwkOf(stranger) })],
      [
        'signed by a key whose place it names',
        () => signToken(stranger, claims(), { jku: 'https://example.org/jwks', x5u: 'https://example.org/' }),
      ],
      ['of another algorithm than its key is for', () => signToken({ ...first(), alg: 'PS256' }, claims())],
      ['with an extension that must be understood', () => signToken(first(), claims(), { crit: ['x'], x: 1 })],
      ['for another audience', () => host().token('mallory', { aud: 'another.example.org' })],
      ['for other audiences', () => host().token('mallory', { aud: ['one', 'two'] })],
      ['for no audience', () => host().token('mallory', { aud: undefined })],
      ['from another issuer', () => host().token('mallory', { iss: 'https://example.org/' })],
      ['from an issuer that looks alike', () => host().token('mallory', { iss: host().issuer.slice(0, -1) })],
      ['from Duet', () => host().token('mallory', { iss: 'duet', aud: 'duet', sid: '0'.repeat(24) })],
      ['from no issuer', () => host().token('mallory', { iss: undefined })],
      ['expired', () => host().token('mallory', { exp: seconds() - 60 }), 'TOKEN_EXPIRED'],
      ['expired just now', () => host().token('mallory', { exp: seconds() - 1 }), 'TOKEN_EXPIRED'],
      ['that never expires', () => host().token('mallory', { exp: undefined })],
      ['that expires in words', () => host().token('mallory', { exp: `${seconds() + 900}` })],
      ['that is not good yet', () => host().token('mallory', { nbf: seconds() + 60 })],
      ['that will be issued', () => host().token('mallory', { iat: seconds() + 60 })],
      ['that was issued never', () => host().token('mallory', { iat: undefined })],
      ['for nobody', () => host().token('mallory', { sub: undefined })],
      ['for nobody in particular', () => host().token('', {})],
      ['for a number', () => host().token('mallory', { sub: 7 })],
      ['for a long name', () => host().token('m'.repeat(256))],
      ['that is too long', () => host().token('mallory', { x: 'x'.repeat(4_096) })],
      [
        'that was changed',
        () =>
          host()
            .token('mallory')
            .replace(/\.[^.]+\./, (it) => `${it.slice(0, -5)}AAAA.`),
      ],
      ['that is cut short', () => host().token('mallory').slice(0, -1)],
    ])('I21 a token is refused that is %s', async (_, make, code = 'UNAUTHORIZED') => {
      const token = make();
      failure(await rest(url(0), '/auth/me', { token }), 401, code);
      expect(await refusal(url(1), token)).toBe(code);
    });

    test('I21 what is a little ahead, for several audiences, or has no key’s name, is good', async () => {
      const now = seconds();
      await me(host().token('bob', { iat: now + 2, nbf: now + 3 }));
      await me(host().token('bob', { aud: ['another', host().environment.JWT_AUDIENCE] }));
      await me(signToken(first(), host().claims('bob'), { kid: undefined }));
    });

    test('I22 a name or an email that somebody has stays his, and who comes later is somebody else', async () => {
      const owner = await register(url(0), 'owner');
      const { username, email } = owner.user;
      const twin = await named({ preferred_username: username, email });
      expect(twin._id).not.toBe(owner.id);
      expect(twin.username).toMatch(new RegExp(`^${username} #[0-9a-f]{6}$`));
      expect(twin.email).toBe('');
      const byMail = await named({ preferred_username: `x${randomUUID()}`.slice(0, 20), email: email.toUpperCase() });
      expect(byMail).toMatchObject({ email: '', username: expect.stringMatching(/^x/) });
      const third = await named({ preferred_username: username.toUpperCase() });
      const unseen = await named({ preferred_username: `${username}\u034f\u3164` });
      expect(unseen.username).toMatch(new RegExp(`^${username} #[0-9a-f]{6}$`));
      expect(new Set([owner.id, twin._id, byMail._id, third._id, unseen._id]).size).toBe(5);
      // The owner is who he was.
      expect(await me(owner.token, 1)).toMatchObject({ _id: owner.id, username, email });
      const { password } = owner;
      success('login', await rest(url(1), '/auth/login', { body: { email, password } }));
    });

    test('I22 no password opens an account of the host, sets one or deletes it, and nobody registers its email', async () => {
      const email = `${randomUUID()}@example.org`;
      const token = host().token(newSub('locked'), { email });
      const { username } = await me(token);
      for (const password of ['password123', '', '!', '$2b$10$'])
        expect((await rest(url(1), '/auth/login', { body: { email, password } })).body.data).toBeUndefined();
      failure(
        await rest(url(0), '/auth/login', { body: { email, password: 'password123' } }),
        401,
        'INVALID_CREDENTIALS',
      );
      const change = { currentPassword: 'password123', newPassword: 'password456' };
      failure(await rest(url(0), '/auth/password', { method: 'PUT', token, body: change }), 403, 'FORBIDDEN');
      const body = { password: 'password123' };
      failure(await rest(url(0), '/auth/me', { method: 'DELETE', token, body }), 403, 'FORBIDDEN');
      const newcomer = { username: 'newcomer of I22', email, password: 'password123' };
      failure(await rest(url(1), '/auth/register', { body: newcomer }), 409, 'CONFLICT');
      failure(await rest(url(1), '/auth/register', { body: { ...newcomer, username } }), 400, 'VALIDATION_ERROR');
    });

    test('I22 an email that the host has not seen proven is nobody’s', async () => {
      const email = `${randomUUID()}@example.org`;
      for (const email_verified of [false, 'false']) expect((await named({ email, email_verified })).email).toBe('');
      expect((await named({ email, email_verified: true })).email).toBe(email);
    });

    test.each([
      [{ preferred_username: 'grace.hopper_1' }, 'grace.hopper_1'],
      [{ preferred_username: 'Håkon Ødegård', name: 'not this' }, 'Håkon Ødegård'],
      [{ preferred_username: ' ', name: '  Seán O’Casey (Sales) ' }, "Seán O'Casey Sales"],
      [{ preferred_username: 'linus@example.org' }, 'linus'],
      [{ name: `\u202e<b>x${'y'.repeat(80)}` }, `b x${'y'.repeat(45)}`],
      [{ preferred_username: 7, name: ['x'] }, undefined],
      [{ name: '\u{1F600}' }, undefined],
      [{ name: '\u115fA\u034fd\u3164a\ufe0f  K\uffa0ing\u{e0100}' }, 'Ada King'],
      [{ name: '\u3164\uffa0' }, undefined],
      [{ name: '\u0639\u0644\u06cc\u200c\u0631\u0636\u0627' }, '\u0639\u0644\u06cc \u0631\u0636\u0627'],
    ])('I22 of %j a name is made that could be one here', async (given, wanted) => {
      const { username } = await named(given);
      const plain = username.replace(/ #[0-9a-f]+$/, '');
      expect(plain).toBe(wanted ?? 'User');
    });

    test('I25 signing out ends all tokens of a host’s user until now, on every node, and not what is issued after', async () => {
      const sub = newSub('out');
      const before = host().token(sub, { iat: seconds() - 1 });
      const other = host().token(sub, { iat: seconds() - 20 });
      await me(before);
      using here = await connect(url(0), before, { reconnection: false });
      using there = await connect(url(1), other, { reconnection: false });
      const ends = [closed(here), closed(there)];
      success('logout', await rest(url(1), '/auth/logout', { method: 'POST', token: before }));
      for (const end of await Promise.all(ends))
        expect(end).toEqual({ code: 'SESSION_REVOKED', reason: 'io server disconnect' });
      for (const token of [before, other])
        for (const node of [0, 1]) {
          failure(await rest(url(node), '/auth/me', { token }), 401, 'SESSION_REVOKED');
          expect(await refusal(url(node), token)).toBe('SESSION_REVOKED');
        }
      using back = await connect(url(1), host().token(sub, { iat: seconds() + 2 }), { reconnection: false });
      expect(await back.emitWithAck('sync', {})).toMatchObject({ ok: true });
    });

    test('I26 a socket goes on with a new token of its user, and with nobody else’s', async () => {
      const sub = newSub('renew');
      using socket = await connect(url(0), host().token(sub, { exp: seconds() + 600 }), { reconnection: false });
      const renewed = await socket.emitWithAck('renew', { token: host().token(sub, { exp: seconds() + 800 }) });
      expect(renewed).toMatchObject({ ok: true, data: { expiresAt: expect.any(String) } });
      expect(Date.parse(renewed.data.expiresAt)).toBeGreaterThan(Date.now() + 700_000);
      const own = await register(url(0), 'own');
      for (const token of [host().token(newSub('other')), own.token])
        expect(await socket.emitWithAck('renew', { token })).toMatchObject({ ok: false, error: { code: 'FORBIDDEN' } });
      expect(await socket.emitWithAck('renew', { token: signToken(stranger, claims()) })).toMatchObject({
        ok: false,
        error: { code: 'UNAUTHORIZED' },
      });
      expect(await socket.emitWithAck('sync', {})).toMatchObject({ ok: true });
    });
  });
}
