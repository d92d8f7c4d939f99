import {
  awkwardTexts,
  collect,
  connect,
  eventually,
  type HostApp,
  next,
  open,
  PATIENCE_MS,
  register,
  rest,
  type TestUser,
} from '@duet/testkit';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { failure, payload, success } from './answers.ts';
import { hostTokenTests } from './host-tokens-suite.ts';
import { blockTests, hiddenTests, privacyTests } from './privacy-suite.ts';
import { sessionTests } from './sessions-suite.ts';
import type { Shape, Stand } from './shapes.ts';
import { receiptTests, syncTests } from './sync-suite.ts';

/** A joiner of graphemes, variation selectors, fillers of Hangul, vowels of Khmer that are not written, joiners. */
const INVISIBLE = [
  '\u034f',
  '\ufe0f',
  '\u{e0100}',
  '\u180b',
  '\u3164',
  '\uffa0',
  '\u1160',
  '\u17b4',
  '\u200c',
  '\u200d',
];
const WORLDWIDE = ['김민준', 'क्षितिज', 'علی رضا', 'សុខា', '渡邊', 'ᠮᠣᠩᠭᠣᠯ'];

/** The wire contract, as somebody else's client relies on it: it holds on every store and every cluster. */
export function contractSuite({ name, direct, hosted, start }: Shape): void {
  describe(`contract on ${name}`, () => {
    let deployment: Stand;
    let alice: TestUser;
    let bob: TestUser;
    const url = (i: number) => deployment.url(i);

    beforeAll(async () => {
      deployment = await start();
      alice = await register(url(0), 'alice');
      bob = await register(url(1), 'bob');
    });
    afterAll(() => deployment?.[Symbol.asyncDispose]());

    describe('REST', () => {
      test('A1 register gives a token and the user, never a hash', async () => {
        const body = { username: 'Zoë K.', email: 'zoe@example.org', password: 'password123' };
        const answer = await rest(url(0), '/auth/register', { body });
        const { token, user } = success('register', answer);
        expect(user).toMatchObject({ username: 'Zoë K.', email: 'zoe@example.org', isOnline: false });
        expect(Object.keys(user).sort()).toEqual(['_id', 'createdAt', 'email', 'isOnline', 'lastSeen', 'username']);
        success('me', await rest(url(1), '/auth/me', { token }));
      });

      test.each([
        ['username', { username: '' }],
        ['username', { username: '__proto__' }],
        ['email', { email: 'nobody' }],
        ['password', { password: 'short77' }],
        ['password', { password: '€'.repeat(25) }],
        ['password', { password: 'with\0zero' }],
        ['password', { password: undefined }],
      ])('A2 register refuses a bad %s and names it', async (field, bad) => {
        const good = { username: 'newcomer', email: 'newcomer@example.org', password: 'password123' };
        const answer = await rest(url(0), '/auth/register', { body: { ...good, ...bad } });
        failure(answer, 400, 'VALIDATION_ERROR');
        expect(answer.body.errors).toMatchObject([{ field, message: expect.any(String) }]);
      });

      test('A3 names and emails are unique without regard to case and look; of two at once one wins', async () => {
        const taken = {
          username: alice.user.username.toUpperCase(),
          email: 'other@example.org',
          password: 'password123',
        };
        const byName = await rest(url(1), '/auth/register', { body: taken });
        failure(byName, 409, 'CONFLICT');
        expect(byName.body.errors).toMatchObject([{ field: 'username' }]);
        const twin = { username: 'twin', email: 'Ｔwin@example.org'.normalize('NFKC'), password: 'password123' };
        const both = await Promise.all([0, 1].map((i) => rest(url(i), '/auth/register', { body: twin })));
        expect(both.map(({ status }) => status).sort()).toEqual([201, 409]);
      });

      test('A3 nothing invisible makes a name another one', async () => {
        let count = 0;
        const answerTo = (username: string) => {
          const email = `look${count++}@example.org`;
          return rest(url(count), '/auth/register', { body: { username, email, password: 'password123' } });
        };
        const spaced = success('register', await answerTo(' Ann  of   two '));
        expect(spaced.user.username).toBe('Ann of two');
        failure(await answerTo('Ann of     two'), 409, 'CONFLICT');
        for (const name of [...INVISIBLE.map((sign) => `Ann of${sign} two`), '\u3164\u3164', '\u115fAnn of two']) {
          const refused = await answerTo(name);
          failure(refused, 400, 'VALIDATION_ERROR');
          expect(refused.body.errors).toMatchObject([{ field: 'username' }]);
        }
        for (const name of WORLDWIDE) expect(success('register', await answerTo(name)).user.username).toBe(name);
      });

      test('A4 login answers a token; a wrong password and an unknown email get the same answer', async () => {
        const { email, password } = alice;
        const right = await rest(url(1), '/auth/login', { body: { email: email.toUpperCase(), password } });
        expect(success('login', right).user._id).toBe(alice.id);
        const wrong = await rest(url(0), '/auth/login', { body: { email, password: 'password124' } });
        const unknown = await rest(url(0), '/auth/login', { body: { email: 'nobody@example.org', password } });
        failure(wrong, 401, 'INVALID_CREDENTIALS');
        expect(unknown.body).toEqual(wrong.body);
      });

      test('A5 what bcrypt would cut off is no password', async () => {
        const password = 'x'.repeat(72);
        const email = 'long@example.org';
        success('register', await rest(url(0), '/auth/register', { body: { username: 'long', email, password } }));
        success('login', await rest(url(0), '/auth/login', { body: { email, password } }));
        failure(
          await rest(url(0), '/auth/login', { body: { email, password: `${password}y` } }),
          401,
          'INVALID_CREDENTIALS',
        );
      });

      test('A6 me and users: everyone but the caller, searched and paged', async () => {
        expect(success('me', await rest(url(1), '/auth/me', { token: alice.token })).user._id).toBe(alice.id);
        const all = success('users', await rest(url(0), '/auth/users', { token: alice.token })).users;
        const ids = all.map((user: { _id: string }) => user._id);
        expect(ids).toContain(bob.id);
        expect(ids).not.toContain(alice.id);
        const paged: string[] = [];
        for (let cursor: string | undefined = ''; cursor !== undefined; ) {
          const query: string = `limit=2${cursor && `&cursor=${cursor}`}`;
          const page = success('users', await rest(url(1), `/auth/users?${query}`, { token: alice.token }));
          paged.push(...page.users.map((user: { _id: string }) => user._id));
          cursor = page.nextCursor;
        }
        expect(paged.sort()).toEqual([...ids].sort());
        const found = success(
          'users',
          await rest(url(0), `/auth/users?q=${bob.user.username.slice(0, 8).toUpperCase()}`, { token: alice.token }),
        );
        expect(found.users.map((user: { _id: string }) => user._id)).toEqual([bob.id]);
      });

      test.each(['', 'Bearer', 'Bearer x', 'Basic YTpi', `Bearer ${'a'.repeat(5000)}`])(
        'A7 no way in with authorization %j',
        async (authorization) => {
          const answer = await rest(url(0), '/auth/me', { headers: { authorization } });
          failure(answer, 401, 'UNAUTHORIZED');
        },
      );

      test('A8 a token that was tampered with, or not signed at all, is refused', async () => {
        const [head, body, signature] = alice.token.split('.') as [string, string, string];
        const none = Buffer.from('{"alg":"none","typ":"JWT"}').toString('base64url');
        const other = Buffer.from(JSON.stringify({ sub: bob.id, exp: 9_999_999_999 })).toString('base64url');
        for (const token of [`${none}.${body}.`, `${head}.${other}.${signature}`, `${head}.${body}.`]) {
          failure(await rest(url(0), '/auth/me', { token }), 401, 'UNAUTHORIZED');
        }
      });

      test('E1 every failure is an envelope with a code of the table and names no library', async () => {
        const token = alice.token;
        failure(await rest(url(0), '/nothing/here', { token }), 404, 'NOT_FOUND');
        failure(await rest(url(0), `/messages/${'0'.repeat(24)}`, { token }), 404, 'NOT_FOUND');
        failure(await rest(url(0), `/messages/${alice.id}`, { token }), 400, 'VALIDATION_ERROR');
        failure(await rest(url(0), '/messages/%zz', { token }), 400, 'VALIDATION_ERROR');
        failure(await rest(url(0), '/auth/login', { body: '{"email":' }), 400, 'MALFORMED_JSON');
        failure(await rest(url(0), '/auth/login', { body: `"${'x'.repeat(70_000)}"` }), 413, 'PAYLOAD_TOO_LARGE');
        const form = {
          headers: { 'content-type': 'application/x-www-form-urlencoded' },
          body: 'email[$ne]=x&password[$ne]=x',
        };
        failure(await rest(url(0), '/auth/login', form), 415, 'UNSUPPORTED_MEDIA');
        for (const query of ['limit=0', 'limit=-1', 'limit=abc', 'limit=1e3', 'skip=-5', 'before[$gt]=', 'before=0']) {
          const answer = await rest(url(0), `/messages/${bob.id}?${query}`, { token });
          if (query !== 'before[$gt]=') failure(answer, 400, 'VALIDATION_ERROR');
          expect(JSON.stringify(answer.body)).not.toMatch(/zod|express|sqlite|mongo|node_modules/i);
        }
        failure(await rest(url(0), '/conversations?cursor=abc', { token }), 400, 'VALIDATION_ERROR');
      });
    });

    describe('messages', () => {
      test('M2 a message reaches the receiver and answers the sender, with every field of the contract', async () => {
        using a = await connect(url(0), alice.token);
        using b = await connect(url(1), bob.token, { transports: ['websocket'] });
        const got = next(b, 'receive_message');
        const sent = next(a, 'message_sent');
        a.emit('send_message', { receiverId: bob.id, content: 'hello', tempId: 'm2' });
        const own = payload('message_sent', await sent);
        const { message } = payload('receive_message', await got);
        expect(own).toMatchObject({
          tempId: 'm2',
          message: { tempId: 'm2', content: 'hello', messageType: 'text', isRead: false },
        });
        expect(message).toMatchObject({ _id: own.message._id, seq: own.message.seq, content: 'hello' });
        expect(message.sender).toMatchObject({ _id: alice.id, username: alice.user.username });
        expect(message.receiver).toMatchObject({ _id: bob.id, username: bob.user.username });
        expect(message).not.toHaveProperty('tempId');
      });

      test.each([
        ['polling first', {}],
        ['websocket alone', { transports: ['websocket'] }],
        ['polling alone', { transports: ['polling'] }],
      ])('M3 a stock client with %s sends and receives, with and without acknowledgement', async (_, options) => {
        using a = await connect(url(0), alice.token, options);
        using b = await connect(url(1), bob.token, options);
        const got = collect(b, 'receive_message');
        const answer = next(a, 'message_sent', ({ message }) => message.content === 'with callback');
        const ack = await a.emitWithAck('send_message', {
          receiverId: bob.id,
          content: 'with callback',
          messageType: 'file',
        });
        expect(ack).toEqual({ ok: true, data: await answer });
        a.emit('send_message', { receiverId: bob.id, content: 'without' });
        await eventually(() => got.length === 2, 'both messages arrive');
        expect(got.map(({ message }) => message.content)).toEqual(['with callback', 'without']);
      });

      test('M4 the same tempId is stored once and answered alike; for another text it is refused', async () => {
        using a = await connect(url(0), alice.token);
        using a2 = await connect(url(1), alice.token);
        using b = await connect(url(1), bob.token);
        const got = collect(b, 'receive_message');
        const message = { receiverId: bob.id, content: 'once', tempId: '🦆'.repeat(70) };
        const answers = await Promise.all([a, a2, a, a2].map((socket) => socket.emitWithAck('send_message', message)));
        for (const { ok, data } of answers)
          expect({ ok, id: data.message._id }).toEqual({ ok: true, id: answers[0].data.message._id });
        await b.emitWithAck('message_read', { messageId: answers[0].data.message._id, senderId: alice.id });
        const late = await a.emitWithAck('send_message', message);
        expect(late.data.message).toMatchObject({ _id: answers[0].data.message._id, isRead: true });
        const other = await a.emitWithAck('send_message', { ...message, content: 'twice' });
        expect(other).toMatchObject({ ok: false, error: { code: 'IDEMPOTENCY_CONFLICT' } });
        const error = next(a, 'error');
        a.emit('send_message', { ...message, content: 'twice' });
        expect(await error).toMatchObject({ code: 'IDEMPOTENCY_CONFLICT', tempId: message.tempId });
        const mark = await a.emitWithAck('send_message', { receiverId: bob.id, content: 'mark' });
        await eventually(() => got.some((event) => event.message._id === mark.data.message._id), 'the mark arrives');
        expect(got.map((event) => event.message.content)).toEqual(['once', 'mark']);
      });

      test('M5 messages of one socket keep their order, and seq has no hole, with both sides sending at once', async () => {
        const [x, y] = await Promise.all([register(url(0)), register(url(1))]);
        using a = await connect(url(0), x.token);
        using b = await connect(url(1), y.token);
        const texts = Array.from({ length: 100 }, (_, i) => `n${i}`);
        const send = (from: typeof a, to: TestUser) =>
          Promise.all(texts.map((content) => from.emitWithAck('send_message', { receiverId: to.id, content })));
        await Promise.all([send(a, y), send(b, x)]);
        const pages = await Promise.all(
          [x, y].map(async (me) => {
            const peer = me === x ? y : x;
            const newest = await rest(url(0), `/messages/${peer.id}?limit=100`, { token: me.token });
            const older = await rest(url(1), `/messages/${peer.id}?limit=100&skip=100`, { token: me.token });
            return [...success('history', older).messages, ...success('history', newest).messages];
          }),
        );
        const [seen, seenByPeer] = pages as [(typeof pages)[0], (typeof pages)[0]];
        expect(seen.map((m) => m._id)).toEqual(seenByPeer.map((m) => m._id));
        expect(seen.map((m) => m.seq)).toEqual(Array.from({ length: 200 }, (_, i) => i + 1));
        for (const who of [x, y]) {
          expect(seen.filter((m) => m.sender._id === who.id).map((m) => m.content)).toEqual(texts);
        }
      });

      test('M6 text comes back exactly as it was sent', async () => {
        using a = await connect(url(0), alice.token);
        using b = await connect(url(1), bob.token);
        for (const content of awkwardTexts) {
          const got = next(b, 'receive_message');
          const { data } = await a.emitWithAck('send_message', { receiverId: bob.id, content });
          expect((await got).message.content).toBe(content);
          expect(data.message.content).toBe(content);
        }
        const answer = await rest(url(1), `/messages/${alice.id}?limit=${awkwardTexts.length}`, { token: bob.token });
        expect(success('history', answer).messages.map((m: { content: string }) => m.content)).toEqual(awkwardTexts);
      });

      test.each([
        ['empty text', { content: '' }],
        ['blank text', { content: ' \n\t ' }],
        ['4,001 code points', { content: '𝕏'.repeat(4_001) }],
        ['NUL', { content: 'a\0b' }],
        ['a message type of its own', { messageType: 'video' }],
        ['itself as receiver', { receiverId: 'me' }],
        ['nobody as receiver', { receiverId: '0'.repeat(24) }],
        ['an id of the wrong form', { receiverId: 'ABC' }],
        ['a tempId that is too long', { tempId: 'x'.repeat(129) }],
      ])('M7 %s is refused and nothing is stored', async (_, bad) => {
        const [x, y] = await Promise.all([register(url(0)), register(url(1))]);
        using a = await connect(url(0), x.token);
        const message = { receiverId: y.id, content: 'ok', tempId: 'm7', ...bad };
        if (message.receiverId === 'me') message.receiverId = x.id;
        const ack = await a.emitWithAck('send_message', message);
        const code = message.receiverId === '0'.repeat(24) ? 'NOT_FOUND' : 'VALIDATION_ERROR';
        expect(ack).toMatchObject({ ok: false, error: { code, message: expect.any(String) } });
        const error = next(a, 'error');
        a.emit('send_message', message);
        expect(payload('error', await error)).toMatchObject({ code, event: 'send_message' });
        expect(success('history', await rest(url(1), `/messages/${x.id}`, { token: y.token })).messages).toEqual([]);
      });

      test('M8 what the server decides cannot be set by a client', async () => {
        using a = await connect(url(0), alice.token);
        const forged = {
          sender: bob.id,
          senderId: bob.id,
          createdAt: '2001-01-01T00:00:00.000Z',
          seq: 1,
          isRead: true,
          _id: bob.id,
        };
        const { data } = await a.emitWithAck('send_message', { receiverId: bob.id, content: 'forged', ...forged });
        expect(data.message).toMatchObject({ sender: { _id: alice.id }, isRead: false });
        expect(data.message._id).not.toBe(bob.id);
        expect(Date.parse(data.message.createdAt)).toBeGreaterThan(Date.parse('2020-01-01'));
      });

      test('M9 all sockets of the sender get message_sent, once each', async () => {
        using a = await connect(url(0), alice.token);
        using device = await connect(url(1), alice.token);
        using polling = await connect(url(2), alice.token, { transports: ['polling'] });
        const sockets = [a, device, polling];
        const sent = sockets.map((socket) => collect(socket, 'message_sent'));
        const received = sockets.map((socket) => collect(socket, 'receive_message'));
        for (const tempId of ['m9', 'm9', 'm9 last'])
          await a.emitWithAck('send_message', { receiverId: bob.id, content: 'from my phone', tempId });
        await eventually(
          () => sent.every((each) => each.at(-1)?.tempId === 'm9 last'),
          'every socket has the last one',
        );
        // The repeat is answered as well, where it came from.
        expect(sent.map((each) => each.map(({ tempId }) => tempId))).toEqual([
          ['m9', 'm9', 'm9 last'],
          ['m9', 'm9 last'],
          ['m9', 'm9 last'],
        ]);
        expect(payload('message_sent', sent[1]?.[0])).toEqual(sent[0]?.[0]);
        expect(received).toEqual([[], [], []]);
      });

      test('M10 history: newest page, oldest first; skip counts from the newest; before and after are cursors', async () => {
        const [x, y] = await Promise.all([register(url(0)), register(url(1))]);
        using a = await connect(url(0), x.token);
        for (let i = 1; i <= 12; i++) await a.emitWithAck('send_message', { receiverId: y.id, content: `${i}` });
        const page = async (query: string) => {
          const { messages, count } = success(
            'history',
            await rest(url(1), `/messages/${x.id}?${query}`, { token: y.token }),
          );
          expect(count).toBe(messages.length);
          return messages.map((m: { content: string }) => Number(m.content));
        };
        expect(await page('')).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
        expect(await page('limit=3')).toEqual([10, 11, 12]);
        expect(await page('limit=3&skip=2')).toEqual([8, 9, 10]);
        expect(await page('limit=3&before=4')).toEqual([1, 2, 3]);
        expect(await page('limit=3&after=4')).toEqual([5, 6, 7]);
        expect(await page('skip=12')).toEqual([]);
      });
    });

    describe('receipts and conversations', () => {
      test('R1 message_read stores and tells the sender, on every device; earlier messages are read with it', async () => {
        const [x, y] = await Promise.all([register(url(0)), register(url(1))]);
        using a = await connect(url(0), x.token);
        using b = await connect(url(1), y.token);
        const ids: string[] = [];
        for (const content of ['1', '2', '3'])
          ids.push((await a.emitWithAck('send_message', { receiverId: y.id, content })).data.message._id);
        const told = next(a, 'message_read_receipt');
        const ack = await b.emitWithAck('message_read', { messageId: ids[1], senderId: x.id });
        expect(payload('message_read_receipt', await told)).toEqual(ack.data);
        expect(ack.data).toMatchObject({ messageId: ids[1], readerId: y.id });
        const { messages } = success('history', await rest(url(0), `/messages/${y.id}`, { token: x.token }));
        expect(messages.map((m: { isRead: boolean }) => m.isRead)).toEqual([true, true, false]);
        expect(messages[1].readAt).toBe(ack.data.readAt);
      });

      test('R2 a read mark never goes back', async () => {
        const [x, y] = await Promise.all([register(url(0)), register(url(1))]);
        using a = await connect(url(0), x.token);
        using b = await connect(url(1), y.token);
        const first = (await a.emitWithAck('send_message', { receiverId: y.id, content: '1' })).data.message._id;
        const second = (await a.emitWithAck('send_message', { receiverId: y.id, content: '2' })).data.message._id;
        const { data } = await b.emitWithAck('message_read', { messageId: second, senderId: x.id });
        const repeat = await b.emitWithAck('message_read', { messageId: second, senderId: x.id });
        expect(repeat.data).toEqual(data);
        await b.emitWithAck('message_read', { messageId: first, senderId: x.id });
        expect(
          success('unreadCount', await rest(url(0), '/messages/unread/count', { token: y.token })).unreadCount,
        ).toBe(0);
      });

      test('R3 nobody marks what was not sent to him', async () => {
        const [x, y, z] = await Promise.all([register(url(0)), register(url(1)), register(url(0))]);
        using a = await connect(url(0), x.token);
        using c = await connect(url(1), z.token);
        const { data } = await a.emitWithAck('send_message', { receiverId: y.id, content: 'private' });
        const messageId = data.message._id;
        const receipts = collect(a, 'message_read_receipt');
        for (const [socket, senderId] of [
          [c, x.id],
          [a, y.id],
          [c, y.id],
        ] as const) {
          const ack = await socket.emitWithAck('message_read', { messageId, senderId });
          expect(ack).toMatchObject({ ok: false, error: { code: 'NOT_FOUND' } });
        }
        expect(
          success('unreadCount', await rest(url(0), '/messages/unread/count', { token: y.token })).unreadCount,
        ).toBe(1);
        expect(receipts).toEqual([]);
      });

      test('R4 PUT read marks all of one user, counts them and tells the sender', async () => {
        const [x, y, z] = await Promise.all([register(url(0)), register(url(1)), register(url(0))]);
        using a = await connect(url(0), x.token);
        using c = await connect(url(1), z.token);
        for (const content of ['1', '2', '3']) await a.emitWithAck('send_message', { receiverId: y.id, content });
        await c.emitWithAck('send_message', { receiverId: y.id, content: 'other' });
        const unread = async () =>
          success('unreadCount', await rest(url(1), '/messages/unread/count', { token: y.token })).unreadCount;
        expect(await unread()).toBe(4);
        const told = next(a, 'message_read_receipt');
        const put = () => rest(url(1), `/messages/read/${x.id}`, { method: 'PUT', token: y.token });
        expect(success('markRead', await put()).modifiedCount).toBe(3);
        expect((await told).readerId).toBe(y.id);
        expect(success('markRead', await put()).modifiedCount).toBe(0);
        expect(await unread()).toBe(1);
      });

      test('R5 conversations: newest first, with last message, unread count and peer; paged without loss', async () => {
        const me = await register(url(0));
        const peers = await Promise.all(['p1', 'p2', 'p3'].map((name) => register(url(1), name)));
        for (const peer of peers) {
          using socket = await connect(url(1), peer.token);
          await socket.emitWithAck('send_message', { receiverId: me.id, content: `from ${peer.id}` });
        }
        const listed: string[] = [];
        for (let cursor: string | undefined = ''; cursor !== undefined; ) {
          const answer = await rest(url(0), `/conversations?limit=1${cursor && `&cursor=${cursor}`}`, {
            token: me.token,
          });
          const page = success('conversations', answer);
          for (const { peer, lastMessage, unreadCount } of page.conversations) {
            expect({ text: lastMessage.content, unreadCount }).toEqual({ text: `from ${peer._id}`, unreadCount: 1 });
            listed.push(peer._id);
          }
          cursor = page.nextCursor;
        }
        expect(listed).toEqual(peers.map((peer) => peer.id).reverse());
      });
    });

    receiptTests(url);
    syncTests(url);
    sessionTests(url);
    if (hosted) hostTokenTests(url, () => deployment.host as HostApp);
    blockTests(url);
    hiddenTests(url);
    if (direct) privacyTests(url);

    describe('sockets', () => {
      test.each([undefined, null, '', 7, {}, 'not.a.token'])(
        'C1 the token %j is refused with a code',
        async (token) => {
          using socket = open(url(0), token);
          const error = await new Promise<Error & { data?: { code: string } }>((resolve) =>
            socket.once('connect_error', resolve),
          );
          expect(error.data).toMatchObject({ code: 'UNAUTHORIZED' });
        },
      );

      test('C2 typing reaches the receiver and nobody else', async () => {
        const z = await register(url(0));
        using a = await connect(url(0), alice.token);
        using b = await connect(url(1), bob.token);
        using c = await connect(url(0), z.token);
        const others = collect(c, 'user_typing');
        for (const [event, isTyping] of [
          ['typing_start', true],
          ['typing_stop', false],
        ] as const) {
          const got = next(b, 'user_typing');
          const ack = await a.emitWithAck(event, { receiverId: bob.id });
          expect(payload('user_typing', await got)).toEqual({ userId: alice.id, isTyping });
          expect(ack).toEqual({ ok: true, data: { userId: alice.id, isTyping } });
        }
        expect(others).toEqual([]);
      });

      test('C3 an event that does not exist is answered, not swallowed', async () => {
        using a = await connect(url(0), alice.token);
        for (const name of ['no_such_event', 'constructor', 'toString', '__proto__']) {
          const ack = await a.timeout(PATIENCE_MS).emitWithAck(name, {});
          expect(ack, name).toMatchObject({ ok: false, error: { code: 'NOT_FOUND' } });
        }
        const error = next(a, 'error');
        a.emit('no_such_event');
        expect(payload('error', await error)).toMatchObject({ event: 'no_such_event' });
      });

      test('C4 long polling alone works beside a websocket, and both get everything once, on any node', async () => {
        const x = await register(url(2));
        const transports = [['polling'], ['websocket'], ['polling']];
        const devices = await Promise.all(
          transports.map((each, i) => connect(url(i), x.token, { transports: each as ['polling'] })),
        );
        const received = devices.map((device) => collect(device, 'receive_message'));
        using a = await connect(url(1), alice.token, { transports: ['polling'] });
        const sent: string[] = [];
        for (let i = 0; i < 5; i++) {
          const ack = await a.emitWithAck('send_message', { receiverId: x.id, content: `${i}` });
          sent.push(ack.data.message._id);
        }
        await eventually(() => received.every(({ length }) => length === 5), 'every device has everything');
        for (const each of received) expect(each.map(({ message }) => message._id)).toEqual(sent);
        for (const device of devices) device.disconnect();
      });

      test('P1 coming online is told at once; offline after the grace, and REST agrees', async () => {
        const x = await register(url(0), 'presence');
        using watcher = await connect(url(1), bob.token);
        const online = next(watcher, 'user_status', ({ userId, isOnline }) => userId === x.id && isOnline);
        const a = await connect(url(0), x.token);
        expect(payload('user_status', await online)).toMatchObject({ isOnline: true });
        const isOnline = async () => {
          const { users } = success(
            'users',
            await rest(url(1), `/auth/users?q=${x.user.username}`, { token: bob.token }),
          );
          return users[0].isOnline as boolean;
        };
        await eventually(isOnline, 'the list shows it');
        const offline = next(watcher, 'user_status', (status) => status.userId === x.id && !status.isOnline);
        a.disconnect();
        const { lastSeen } = payload('user_status', await offline);
        expect(Date.parse(lastSeen)).toBeGreaterThan(Date.parse(x.user.lastSeen));
        await eventually(async () => !(await isOnline()), 'the list shows it');
      });

      test('P2 a reload is not news', async () => {
        const x = await register(url(0), 'reload');
        using watcher = await connect(url(1), bob.token);
        const seen = collect(watcher, 'user_status');
        const first = await connect(url(0), x.token);
        await eventually(() => seen.some((status) => status.userId === x.id), 'it is online');
        first.disconnect();
        using again = await connect(url(1), x.token);
        const marker = await register(url(0), 'marker');
        using m = await connect(url(0), marker.token);
        await eventually(() => seen.some((status) => status.userId === marker.id), 'the marker is online');
        expect(again.connected && m.connected).toBe(true);
        expect(seen.filter((status) => status.userId === x.id).map((status) => status.isOnline)).toEqual([true]);
      });
    });
  });
}
