import type { Conversation, Message, User } from '@duet/contract';
import { collect, connect, eventually, next, register, rest, type TestUser } from '@duet/testkit';
import { describe, expect, test } from 'vitest';
import { failure, success } from './answers.ts';

/** Where the nodes of a shape are reached, round and round. */
type UrlOf = (i: number) => string;
type Socket = Awaited<ReturnType<typeof connect>>;

const block = (url: string, { token }: TestUser, { id }: Pick<TestUser, 'id'>) =>
  rest(url, `/users/${id}/block`, { method: 'POST', token });
const unblock = (url: string, { token }: TestUser, { id }: Pick<TestUser, 'id'>) =>
  rest(url, `/users/${id}/block`, { method: 'DELETE', token });
const showAt = async (url: string, { token }: TestUser, body: object) =>
  success('changePrivacy', await rest(url, '/auth/me/privacy', { method: 'PUT', token, body }));
const send = async (from: Socket, to: TestUser, content: string): Promise<Message> =>
  (await from.emitWithAck('send_message', { receiverId: to.id, content })).data.message;

/** What somebody sees, at one node. */
const eyes = (url: string, { token }: TestUser) => ({
  async texts(peer: TestUser, query = ''): Promise<string[]> {
    const { messages } = success('history', await rest(url, `/messages/${peer.id}?${query}`, { token }));
    return messages.map(({ content }: Message) => content);
  },
  history: async (peer: TestUser) => success('history', await rest(url, `/messages/${peer.id}`, { token })),
  conversations: async (): Promise<Conversation[]> =>
    success('conversations', await rest(url, '/conversations', { token })).conversations,
  unread: async (): Promise<number> =>
    success('unreadCount', await rest(url, '/messages/unread/count', { token })).unreadCount,
  sync: async (conversations = {}) =>
    success('sync', await rest(url, '/sync', { token, body: { conversations } })).conversations,
  user: async ({ user }: TestUser): Promise<User> =>
    success('users', await rest(url, `/auth/users?q=${user.username}`, { token })).users[0],
  blocks: async () => success('blocks', await rest(url, '/blocks', { token })).blocks,
});

/** Two people who have written to each other once, both connected to the second node. */
async function acquainted(url: UrlOf) {
  const [anna, ben] = await Promise.all([register(url(0), 'anna'), register(url(1), 'ben')]);
  const [a, b] = await Promise.all([connect(url(1), anna.token), connect(url(1), ben.token)]);
  // What is told live may come after the answer.
  const told = [a, b].map((socket) => next(socket, 'receive_message'));
  await send(a, ben, 'hello');
  await send(b, anna, 'hi');
  await Promise.all(told);
  const closing = { [Symbol.dispose]: () => void [a, b].map((socket) => socket.disconnect()) };
  return { anna, ben, a, b, annas: eyes(url(1), anna), bens: eyes(url(1), ben), ...closing };
}

/** What holds wherever one asks: called by `contractSuite`. */
export function blockTests(url: UrlOf): void {
  test('A10 a block that was made at one node holds at the others soon after', async () => {
    using people = await acquainted(url);
    const { anna, ben, b, annas, bens } = people;
    success('block', await block(url(0), anna, ben));
    let sent = 0;
    await eventually(async () => {
      const text = `probe ${sent++}`;
      await send(b, anna, text);
      return !(await annas.texts(ben)).includes(text);
    }, 'the block is known everywhere');
    expect((await bens.texts(anna)).at(-1)).toBe(`probe ${sent - 1}`);
  });
}

const statusOf = (socket: Socket, { id }: TestUser, online: boolean) =>
  next(socket, 'user_status', ({ userId, isOnline }) => userId === id && isOnline === online);

/** Who hides when he was last seen, on any nodes: called by `contractSuite`. */
export function hiddenTests(url: UrlOf): void {
  test('A14 who hides himself seems to go and is announced no more; who shows himself again seems to come', async () => {
    using people = await acquainted(url);
    const { anna, b } = people;
    const [carl, dora, eve] = await Promise.all(['carl', 'dora', 'eve'].map((name) => register(url(0), name)));
    using c = await connect(url(0), carl?.token);
    const others = [b, c];
    const gone = others.map((socket) => statusOf(socket, anna, false));
    await showAt(url(0), anna, { lastSeen: false });
    for (const { lastSeen } of await Promise.all(gone)) expect(lastSeen).toBe(anna.user.createdAt);

    await showAt(url(0), eve as TestUser, { lastSeen: false });
    const heard = others.map((socket) => collect(socket, 'user_status'));
    using _eve = await connect(url(1), eve?.token);
    using again = await connect(url(0), anna.token);
    expect(again.connected).toBe(true);
    // Whoever comes after them is announced: nothing is under way.
    const mark = others.map((socket) => statusOf(socket, dora as TestUser, true));
    using _dora = await connect(url(1), dora?.token);
    await Promise.all(mark);
    const hidden = [anna.id, eve?.id];
    expect(heard.flat().filter(({ userId }) => hidden.includes(userId))).toEqual([]);

    const back = others.map((socket) => statusOf(socket, anna, true));
    await showAt(url(1), anna, { lastSeen: true });
    await Promise.all(back);
  });

  test('A15 who hides himself hears of nobody, on any device, until he shows himself again', async () => {
    const [anna, ben, carl] = await Promise.all(['anna', 'ben', 'carl'].map((name) => register(url(0), name)));
    using b = await connect(url(0), ben?.token);
    using one = await connect(url(0), anna?.token);
    using two = await connect(url(1), anna?.token);
    const told = [one, two].map((socket) => next(socket, 'privacy_changed'));
    await showAt(url(1), anna as TestUser, { lastSeen: false });
    for (const { privacy } of await Promise.all(told)) expect(privacy).toMatchObject({ lastSeen: false, typing: true });
    using three = await connect(url(1), anna?.token);
    const devices = [one, two, three];
    const heard = devices.map((socket) => collect(socket, 'user_status'));
    const came = statusOf(b, carl as TestUser, true);
    using c = await connect(url(1), carl?.token);
    await came;
    const got = devices.map((socket) => next(socket, 'receive_message'));
    await send(c, anna as TestUser, 'after it');
    await Promise.all(got);
    expect(heard).toEqual([[], [], []]);

    const shown = devices.map((socket) => next(socket, 'privacy_changed'));
    await showAt(url(0), anna as TestUser, { lastSeen: true });
    await Promise.all(shown);
    const dora = await register(url(0), 'dora');
    const coming = devices.map((socket) => statusOf(socket, dora, true));
    using _ = await connect(url(1), dora.token);
    await Promise.all(coming);
  });
}

/** Blocking, and what users hide, at one node: called by `contractSuite`. */
export function privacyTests(url: UrlOf): void {
  describe('blocking', () => {
    test('A10 whoever is blocked is answered as ever, and nothing of what he sends is anywhere for the other one', async () => {
      using people = await acquainted(url);
      const { anna, ben, a, b, annas, bens } = people;
      const heard = [collect(a, 'receive_message'), collect(a, 'user_typing'), collect(a, 'conversation_updated')];
      success('block', await block(url(1), anna, ben));
      success('block', await block(url(1), anna, ben));
      const tempId = 'blocked-1';
      const message = { receiverId: anna.id, content: 'are you there?', tempId };
      const ack = await b.emitWithAck('send_message', message);
      expect(ack).toMatchObject({
        ok: true,
        data: { tempId, message: { seq: 3, isRead: false, content: message.content } },
      });
      expect((await b.emitWithAck('send_message', message)).data.message._id).toBe(ack.data.message._id);
      expect(await b.emitWithAck('typing_start', { receiverId: anna.id })).toMatchObject({ ok: true });
      await send(b, anna, 'hello?');
      const receipts = [collect(a, 'message_read_receipt'), collect(a, 'message_delivered_receipt')];
      const { messages } = await bens.history(anna);
      const received = { messageId: messages[0]._id, senderId: anna.id };
      expect(await b.emitWithAck('message_delivered', { receipts: [received] })).toMatchObject({ ok: true });
      expect(await b.emitWithAck('message_read', received)).toMatchObject({ ok: true });
      expect(await bens.texts(anna)).toEqual(['hello', 'hi', 'are you there?', 'hello?']);
      expect((await bens.conversations())[0]).toMatchObject({ lastMessage: { content: 'hello?' } });

      expect(await annas.texts(ben)).toEqual(['hello', 'hi']);
      expect(await annas.texts(ben, 'limit=2')).toEqual(['hello', 'hi']);
      expect(await annas.texts(ben, 'after=2')).toEqual([]);
      expect((await annas.conversations())[0]).toMatchObject({ unreadCount: 0, lastMessage: { content: 'hi' } });
      expect(await annas.unread()).toBe(0);
      expect(await annas.sync({ [ben.id]: 2 })).toEqual([]);
      expect(await annas.sync()).toMatchObject([{ lastSeq: 2, complete: true, unreadCount: 0 }]);
      // A mark of something else that came after it shows that nothing is under way.
      const carl = await register(url(0), 'carl');
      using c = await connect(url(1), carl.token);
      const mark = next(a, 'receive_message', ({ message: { sender } }) => sender._id === carl.id);
      await send(c, anna, 'mark');
      await mark;
      expect(heard.map((events) => events.length)).toEqual([1, 0, 0]);
      expect(receipts.map((events) => events.length)).toEqual([0, 0]);
      // Not even by its id, which can be guessed.
      const guess = { messageId: ack.data.message._id, senderId: ben.id };
      expect(await a.emitWithAck('message_read', guess)).toMatchObject({ error: { code: 'NOT_FOUND' } });
    });

    test('A11 who is blocked sees the other one go, and stay away: no presence, no typing, no receipts', async () => {
      using people = await acquainted(url);
      const { anna, ben, a, b, annas, bens } = people;
      const { watermarks } = success('history', await rest(url(1), `/messages/${anna.id}`, { token: ben.token }));
      await eventually(async () => (await bens.user(anna)).isOnline, 'she is online to him');
      const gone = next(b, 'user_status', ({ userId, isOnline }) => userId === anna.id && !isOnline);
      success('block', await block(url(1), anna, ben));
      const { lastSeen } = await gone;
      const [told, typing] = [collect(b, 'message_read_receipt'), collect(b, 'user_typing')];
      const statuses = collect(b, 'user_status');
      expect(await a.emitWithAck('typing_start', { receiverId: ben.id })).toMatchObject({ ok: true });
      success('markRead', await rest(url(1), `/messages/read/${ben.id}`, { method: 'PUT', token: anna.token }));
      const last = success('history', await rest(url(1), `/messages/${ben.id}`, { token: anna.token })).messages.at(-1);
      const received = { messageId: last._id, senderId: ben.id };
      expect(await a.emitWithAck('message_read', received)).toMatchObject({ ok: true });
      expect(await a.emitWithAck('message_delivered', { receipts: [received] })).toMatchObject({ ok: true });
      a.disconnect();
      using again = await connect(url(1), anna.token);
      expect(again.connected).toBe(true);

      const offline = { isOnline: false, lastSeen };
      const seen = await bens.user(anna);
      expect(seen.isOnline).toBe(false);
      expect(seen.lastSeen).toBe(offline.lastSeen);
      expect((await bens.conversations())[0]).toMatchObject({
        peer: { isOnline: false },
        lastMessage: { receiver: { isOnline: false }, isRead: false },
        watermarks,
      });
      const ack = await b.emitWithAck('send_message', { receiverId: anna.id, content: 'x' });
      expect(ack.data.message.receiver.isOnline).toBe(false);
      expect((await bens.sync())[0]).toMatchObject({ watermarks });
      expect([...told, ...typing, ...statuses.filter(({ userId }) => userId === anna.id)]).toEqual([]);
      // Others are not kept in the dark, and she sees him as ever.
      expect((await annas.user(ben)).isOnline).toBe(true);
    });

    test('A12 who has blocked cannot write to him; taken back, all goes on, and what came meanwhile stays away', async () => {
      using people = await acquainted(url);
      const { anna, ben, a, b, annas, bens } = people;
      const readAll = () => rest(url(1), `/messages/read/${ben.id}`, { method: 'PUT', token: anna.token });
      success('markRead', await readAll());
      success('block', await block(url(1), anna, ben));
      const refused = await a.emitWithAck('send_message', { receiverId: ben.id, content: 'and another thing' });
      expect(refused).toMatchObject({ ok: false, error: { code: 'FORBIDDEN' } });
      await send(b, anna, 'unheard');
      const [read, unread] = (await bens.history(anna)).messages.slice(1);
      expect([read.isRead, unread.isRead, unread.isDelivered]).toEqual([true, false, undefined]);
      const { blocks } = success('blocks', await rest(url(1), '/blocks', { token: anna.token }));
      expect(blocks).toMatchObject([{ user: { _id: ben.id }, createdAt: expect.any(String) }]);
      expect(success('blocks', await rest(url(1), '/blocks', { token: ben.token })).blocks).toEqual([]);
      const back = next(b, 'user_status', ({ userId, isOnline }) => userId === anna.id && isOnline);
      success('unblock', await unblock(url(1), anna, ben));
      await back;
      const got = next(a, 'receive_message');
      await send(b, anna, 'heard');
      expect((await got).message).toMatchObject({ content: 'heard', seq: 4 });
      await send(a, ben, 'well');
      expect(await annas.texts(ben)).toEqual(['hello', 'hi', 'heard', 'well']);
      expect(await bens.texts(anna)).toEqual(['hello', 'hi', 'unheard', 'heard', 'well']);
      expect(await annas.unread()).toBe(1);
      expect(await annas.sync({ [ben.id]: 2 })).toMatchObject([
        { messages: [{ seq: 4 }, { seq: 5 }], lastSeq: 5, complete: true },
      ]);
      success('markRead', await readAll());
      // Nothing tells him which of them she could not see.
      const his = (await bens.history(anna)).messages.slice(2, 4);
      const { readAt } = his[1];
      expect(his).toMatchObject(
        ['unheard', 'heard'].map((content) => ({ content, isRead: true, isDelivered: true, readAt })),
      );
      expect(readAt).toEqual(expect.any(String));
    });

    test('A12 nobody blocks himself or nobody, and nobody changes the blocks of others', async () => {
      using people = await acquainted(url);
      const { anna, ben } = people;
      failure(await block(url(0), anna, anna), 400, 'VALIDATION_ERROR');
      failure(await block(url(0), anna, { ...ben, id: '0'.repeat(24) }), 404, 'NOT_FOUND');
      failure(await unblock(url(0), anna, { ...ben, id: 'x' }), 400, 'VALIDATION_ERROR');
      success('block', await block(url(1), anna, ben));
      success('unblock', await unblock(url(1), ben, anna));
      success('unblock', await unblock(url(1), ben, anna));
      expect(success('blocks', await rest(url(1), '/blocks', { token: anna.token })).blocks).toHaveLength(1);
    });
  });

  describe('privacy', () => {
    const show = (me: TestUser, what: object) => showAt(url(1), me, what);

    test('A13 everything is shown until it is hidden; what is not named stays', async () => {
      using people = await acquainted(url);
      const { anna } = people;
      const settings = async () =>
        success('privacy', await rest(url(1), '/auth/me/privacy', { token: anna.token })).privacy;
      expect(await settings()).toEqual({ lastSeen: true, typing: true, readReceipts: true });
      await show(anna, { typing: false });
      await show(anna, { lastSeen: false });
      expect(await settings()).toEqual({ lastSeen: false, typing: false, readReceipts: true });
      await show(anna, { typing: true });
      expect(await settings()).toEqual({ lastSeen: false, typing: true, readReceipts: true });
      failure(
        await rest(url(1), '/auth/me/privacy', { method: 'PUT', token: anna.token, body: { typing: 'no' } }),
        400,
        'VALIDATION_ERROR',
      );
    });

    test('A13 who hides when he was last seen is never online to others, and they are not to him', async () => {
      using people = await acquainted(url);
      const { anna, ben, a, b } = people;
      const gone = statusOf(b, anna, false);
      await show(anna, { lastSeen: false });
      await gone;
      const statuses = collect(b, 'user_status');
      for (const [me, peer] of [
        [ben, anna],
        [anna, ben],
      ] as const) {
        const hidden = { isOnline: false, lastSeen: peer.user.createdAt };
        expect(await eyes(url(1), me).user(peer)).toMatchObject(hidden);
        expect((await eyes(url(1), me).conversations())[0]?.peer).toMatchObject(hidden);
      }
      await eventually(async () => {
        const got = next(b, 'receive_message');
        await send(a, ben, 'from nowhere');
        const { sender, receiver } = (await got).message;
        expect(sender.isOnline).toBe(false);
        return receiver.isOnline;
      }, 'he sees himself online');
      a.disconnect();
      using again = await connect(url(1), anna.token);
      expect(again.connected).toBe(true);
      expect(statuses.filter(({ userId }) => userId === anna.id)).toEqual([]);
    });

    test('A14 who hides himself is offline since ever wherever one asks', async () => {
      using people = await acquainted(url);
      const { anna, ben, a, b, bens } = people;
      using follower = await connect(url(1), ben.token, { auth: { token: ben.token, conversations: true } });
      await show(anna, { lastSeen: false });
      const updated = next(follower, 'conversation_updated');
      const received = next(b, 'receive_message');
      const sent = next(b, 'message_sent');
      await send(a, ben, 'one');
      await send(b, anna, 'two');
      success('block', await block(url(1), ben, anna));
      const answers = {
        user: await bens.user(anna),
        history: await bens.history(anna),
        conversations: await bens.conversations(),
        sync: await bens.sync(),
        blocks: await bens.blocks(),
        updated: await updated,
        received: await received,
        sent: await sent,
      };
      const shown: object[] = [];
      JSON.stringify(answers, (_key, value) => {
        if (value?._id === anna.id) shown.push(value);
        return value;
      });
      expect(shown.length).toBeGreaterThan(10);
      for (const person of shown) expect(person).toMatchObject({ isOnline: false });
      expect(answers.user.lastSeen).toBe(anna.user.createdAt);
      expect(answers.conversations[0]?.peer.lastSeen).toBe(anna.user.createdAt);
      expect(answers.blocks[0]?.user.lastSeen).toBe(anna.user.createdAt);
      // Nor does it tell anybody that she has blocked him.
      success('block', await block(url(1), anna, ben));
      await eventually(
        async () => (await bens.user(anna)).lastSeen === anna.user.createdAt,
        'she hides from him as well',
      );
      expect((await bens.conversations())[0]?.peer.lastSeen).toBe(anna.user.createdAt);
    });

    test('A13 who hides typing or reading does not see it of others', async () => {
      using people = await acquainted(url);
      const { anna, ben, a, b } = people;
      await show(anna, { typing: false, readReceipts: false });
      const heard = [a, b].map((socket) => [collect(socket, 'user_typing'), collect(socket, 'message_read_receipt')]);
      for (const [socket, me, peer] of [
        [a, anna, ben],
        [b, ben, anna],
      ] as const) {
        await socket.emitWithAck('typing_start', { receiverId: peer.id });
        const { messages } = success('history', await rest(url(1), `/messages/${peer.id}`, { token: me.token }));
        const theirs = messages.findLast(({ sender }: Message) => sender._id === peer.id);
        await socket.emitWithAck('message_read', { messageId: theirs._id, senderId: peer.id });
        expect(await eyes(url(1), me).unread()).toBe(0);
      }
      for (const [me, peer] of [
        [ben, anna],
        [anna, ben],
      ] as const) {
        const { messages, watermarks } = success(
          'history',
          await rest(url(1), `/messages/${peer.id}`, { token: me.token }),
        );
        expect(watermarks.peerReadSeq).toBe(0);
        expect(messages.find(({ sender }: Message) => sender._id === me.id).isRead).toBe(false);
        expect((await eyes(url(1), me).sync())[0].watermarks.peerReadSeq).toBe(0);
      }
      expect(heard.flat(2)).toEqual([]);
    });
  });
}
