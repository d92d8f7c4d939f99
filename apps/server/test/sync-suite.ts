import type { Synced } from '@duet/contract';
import { collect, connect, next, register, rest, type TestUser } from '@duet/testkit';
import { describe, expect, test } from 'vitest';
import { payload, success } from './answers.ts';

/** Where the nodes of a shape are reached, round and round. */
type UrlOf = (i: number) => string;

/** Delivered, read, and what lists show: called by `contractSuite`. */
export function receiptTests(url: UrlOf): void {
  describe('delivery', () => {
    test('R6 message_delivered marks with all earlier ones, tells the sender once, and history shows it', async () => {
      const [x, y, z] = await Promise.all([register(url(0)), register(url(1)), register(url(1))]);
      using a = await connect(url(0), x.token);
      using b = await connect(url(1), y.token);
      const ids: string[] = [];
      for (const content of ['1', '2', '3'])
        ids.push((await a.emitWithAck('send_message', { receiverId: y.id, content })).data.message._id);
      const told = collect(a, 'message_delivered_receipt');
      const first = next(a, 'message_delivered_receipt');
      const receipts = [{ messageId: ids[1], senderId: x.id }];
      const ack = await b.emitWithAck('message_delivered', { receipts });
      expect(ack.data.receipts).toMatchObject([{ messageId: ids[1], receiverId: y.id, seq: 2 }]);
      expect(payload('message_delivered_receipt', await first)).toEqual(ack.data.receipts[0]);
      // A second device says the same: no news, and the time stays.
      expect((await b.emitWithAck('message_delivered', { receipts })).data).toEqual(ack.data);
      const lower = [{ messageId: ids[0], senderId: x.id }];
      expect(await b.emitWithAck('message_delivered', { receipts: lower })).toMatchObject({ ok: true });
      const history = async () => success('history', await rest(url(1), `/messages/${y.id}`, { token: x.token }));
      const { messages, watermarks } = await history();
      expect(messages.map((m: { isDelivered?: boolean }) => m.isDelivered ?? false)).toEqual([true, true, false]);
      expect(messages.map((m: { isRead: boolean }) => m.isRead)).toEqual([false, false, false]);
      expect(messages[1].deliveredAt).toBe(ack.data.receipts[0].deliveredAt);
      expect(watermarks).toEqual({ readSeq: 0, peerReadSeq: 0, peerDeliveredSeq: 2 });
      // What is read has been delivered.
      await b.emitWithAck('message_read', { messageId: ids[2], senderId: x.id });
      expect((await history()).watermarks).toEqual({ readSeq: 0, peerReadSeq: 3, peerDeliveredSeq: 3 });
      // A batch with one message that is not the caller's marks nothing.
      using c = await connect(url(0), z.token);
      const foreign = { messageId: ids[2], senderId: x.id };
      const own = (await a.emitWithAck('send_message', { receiverId: z.id, content: 'z' })).data.message._id;
      const mixed = { receipts: [{ messageId: own, senderId: x.id }, foreign] };
      expect(await c.emitWithAck('message_delivered', mixed)).toMatchObject({ error: { code: 'NOT_FOUND' } });
      const withZ = success('history', await rest(url(1), `/messages/${z.id}`, { token: x.token }));
      expect(withZ.watermarks.peerDeliveredSeq).toBe(0);
      expect(told).toHaveLength(1);
    });

    test('R7 reading on one device clears the others', async () => {
      const [x, y] = await Promise.all([register(url(0)), register(url(1))]);
      using a = await connect(url(0), x.token);
      using phone = await connect(url(1), y.token);
      using desk = await connect(url(0), y.token);
      const ids: string[] = [];
      for (const content of ['1', '2', '3'])
        ids.push((await a.emitWithAck('send_message', { receiverId: y.id, content })).data.message._id);
      const own = collect(phone, 'conversation_read');
      const told = next(desk, 'conversation_read');
      const { data } = await phone.emitWithAck('message_read', { messageId: ids[1], senderId: x.id });
      expect(payload('conversation_read', await told)).toEqual({
        userId: x.id,
        seq: 2,
        readAt: data.readAt,
        unreadCount: 1,
      });
      const all = Promise.all([next(desk, 'conversation_read'), next(phone, 'conversation_read')]);
      await rest(url(1), `/messages/read/${x.id}`, { method: 'PUT', token: y.token });
      expect((await all).map(({ seq, unreadCount }) => ({ seq, unreadCount }))).toEqual([
        { seq: 3, unreadCount: 0 },
        { seq: 3, unreadCount: 0 },
      ]);
      expect(own).toHaveLength(1);
    });

    test('R8 a socket that asks for it is told of its conversations as the list shows them', async () => {
      const [x, y] = await Promise.all([register(url(0)), register(url(1))]);
      using a = await connect(url(0), x.token);
      using list = await connect(url(1), y.token, { auth: { token: y.token, conversations: true } });
      using plain = await connect(url(1), y.token);
      const unasked = collect(plain, 'conversation_updated');
      const unread = (count: number) =>
        next(list, 'conversation_updated', ({ conversation }) => conversation.unreadCount === count);
      const two = unread(2);
      for (const content of ['1', '2']) await a.emitWithAck('send_message', { receiverId: y.id, content });
      const { conversation } = payload('conversation_updated', await two);
      const listed = success('conversations', await rest(url(0), '/conversations', { token: y.token }));
      expect([conversation]).toEqual(listed.conversations);
      const none = unread(0);
      await list.emitWithAck('message_read', { messageId: conversation.lastMessage._id, senderId: x.id });
      expect((await none).conversation.watermarks.readSeq).toBe(2);
      expect(unasked).toEqual([]);
    });
  });
}

/** What a client that was away learns: called by `contractSuite`. */
export function syncTests(url: UrlOf): void {
  describe('sync', () => {
    /** Somebody with conversations of the given lengths, each begun by the peer, who sends every odd message. */
    async function withConversations(lengths: number[]) {
      const me = await register(url(0));
      using mine = await connect(url(0), me.token);
      const peers: TestUser[] = [];
      for (const length of lengths) {
        const peer = await register(url(1));
        using theirs = await connect(url(1), peer.token);
        for (let seq = 1; seq <= length; seq++) {
          const [socket, to] = seq % 2 ? [theirs, me] : [mine, peer];
          await socket.emitWithAck('send_message', { receiverId: to.id, content: `${seq}` });
        }
        peers.push(peer);
      }
      const sync = async (body: object) => success('sync', await rest(url(1), '/sync', { token: me.token, body }));
      return { me, peers, sync };
    }
    const contents = (messages: { content: string }[]) => messages.map(({ content }) => Number(content));
    const upTo = (n: number, from = 1) => Array.from({ length: n - from + 1 }, (_, i) => i + from);

    test('Y1 sync tells what is missing, and that alone; over REST and over the socket', async () => {
      const { me, peers, sync } = await withConversations([3, 2, 4]);
      const [a, b, c] = peers as [TestUser, TestUser, TestUser];
      const known = { [a.id]: 1, [b.id]: 2 };
      const answer = await sync({ conversations: known });
      const found = Object.fromEntries(
        answer.conversations.map((each: { userId: string; messages: { content: string }[] }) => [
          each.userId,
          contents(each.messages),
        ]),
      );
      expect(found).toEqual({ [a.id]: [2, 3], [c.id]: [1, 2, 3, 4] });
      expect(answer.complete).toBe(true);
      expect(answer.nextCursor).toBeUndefined();
      const withC = answer.conversations.find((each: { userId: string }) => each.userId === c.id);
      expect(withC).toMatchObject({ lastSeq: 4, unreadCount: 2, complete: true });
      using socket = await connect(url(1), me.token);
      const ack = await socket.emitWithAck('sync', { conversations: known });
      expect(ack).toEqual({ ok: true, data: answer });
      const synced = next(socket, 'synced');
      socket.emit('sync', { conversations: known });
      expect(payload('synced', await synced)).toEqual(answer);
      expect(await sync({ conversations: { [a.id]: 3, [b.id]: 2, [c.id]: 4 } })).toEqual({
        conversations: [],
        complete: true,
      });
    });

    test('Y2 answers are bounded; asked again until complete, nothing is left out and nothing comes twice', async () => {
      const { peers, sync } = await withConversations([7, 1, 5, 2]);
      const known: Record<string, number> = {};
      const got: Record<string, number[]> = {};
      let asked = 0;
      for (let cursor: string | undefined; ; asked++) {
        const answer: Synced = await sync({ conversations: known, limit: 2, ...(cursor ? { cursor } : {}) });
        const count = answer.conversations.reduce((sum, { messages }) => sum + messages.length, 0);
        expect(count).toBeLessThanOrEqual(2);
        for (const { userId, messages, complete, lastSeq } of answer.conversations) {
          got[userId] = [...(got[userId] ?? []), ...contents(messages)];
          known[userId] = messages.at(-1)?.seq ?? 0;
          expect(complete).toBe(known[userId] === lastSeq);
        }
        if (answer.complete) break;
        cursor = answer.nextCursor;
      }
      expect(got).toEqual(Object.fromEntries(peers.map(({ id }, i) => [id, upTo([7, 1, 5, 2][i] as number)])));
      expect(asked).toBeGreaterThanOrEqual(7);
    });

    test('Y3 moves of watermarks alone are told to those who name the ones they know', async () => {
      const { me, peers, sync } = await withConversations([2]);
      const [peer] = peers as [TestUser];
      const known = { conversations: { [peer.id]: [2, 0, 0, 0] } };
      expect((await sync(known)).conversations).toEqual([]);
      using theirs = await connect(url(0), peer.token);
      const { messages } = success('history', await rest(url(0), `/messages/${me.id}`, { token: peer.token }));
      await theirs.emitWithAck('message_read', { messageId: messages[1]._id, senderId: me.id });
      const [told] = (await sync(known)).conversations;
      expect(told).toMatchObject({
        userId: peer.id,
        messages: [],
        complete: true,
        watermarks: { readSeq: 0, peerReadSeq: 2, peerDeliveredSeq: 2 },
      });
      expect((await sync({ conversations: { [peer.id]: 2 } })).conversations).toEqual([]);
      await rest(url(1), `/messages/read/${peer.id}`, { method: 'PUT', token: me.token });
      expect((await sync({ conversations: { [peer.id]: [2, 0, 2, 2] } })).conversations).toMatchObject([
        { unreadCount: 0, watermarks: { readSeq: 1, peerReadSeq: 2, peerDeliveredSeq: 2 } },
      ]);
    });

    test('Y4 what is not named comes whole or with its newest; what was known beyond the end is void', async () => {
      const { peers, sync } = await withConversations([30]);
      const [peer] = peers as [TestUser];
      const [newest] = (await sync({ unnamed: 'newest' })).conversations;
      expect(contents(newest.messages)).toEqual(upTo(30, 11));
      expect(newest).toMatchObject({ lastSeq: 30, complete: true });
      const [whole] = (await sync({})).conversations;
      expect(contents(whole.messages)).toEqual(upTo(30));
      const [reset] = (await sync({ conversations: { [peer.id]: 31 } })).conversations;
      expect(reset).toMatchObject({ reset: true, lastSeq: 30 });
      expect(contents(reset.messages)).toEqual(upTo(30));
      expect(whole.reset).toBeUndefined();
    });

    test('Y8 what is named and not there is void, and said to be so once in a walk', async () => {
      const { peers, sync } = await withConversations([2, 2, 2]);
      const strangers = await Promise.all([0, 1, 0].map((node) => register(url(node))));
      const [begun, ...gone] = strangers.map(({ id }) => id).toSorted() as [string, string, string];
      const there = Object.fromEntries(peers.map(({ id }) => [id, 2]));
      const conversations = { ...there, [begun]: 0, [gone[0]]: 20, [gone[1]]: [35, 9, 8, 7] };
      const nothing = {
        messages: [],
        lastSeq: 0,
        unreadCount: 0,
        watermarks: { readSeq: 0, peerReadSeq: 0, peerDeliveredSeq: 0 },
        reset: true,
        complete: true,
      };
      const answer: Synced = await sync({ conversations });
      expect(answer.complete).toBe(true);
      expect(new Map(answer.conversations.map(({ userId, ...rest }) => [userId, rest]))).toEqual(
        new Map(gone.map((id) => [id, nothing])),
      );
      const known: Record<string, number> = Object.fromEntries(gone.map((id) => [id, 1]));
      const told: string[] = [];
      for (let cursor: string | undefined; ; ) {
        const page: Synced = await sync({ conversations: known, limit: 1, ...(cursor ? { cursor } : {}) });
        for (const { userId, messages, reset } of page.conversations) {
          if (reset) told.push(userId);
          else known[userId] = messages.at(-1)?.seq ?? 0;
        }
        if (page.complete) break;
        cursor = page.nextCursor;
      }
      expect(told.toSorted()).toEqual(gone);
      expect(known).toMatchObject(there);
    });

    test('Y5 nobody syncs what is not his, and a forged cursor or claim is refused or harmless', async () => {
      const { peers, sync } = await withConversations([2, 2]);
      const stranger = await register(url(0));
      const as = (token: string, body: object) => rest(url(1), '/sync', { token, body });
      const claims = { conversations: { [peers[0]?.id as string]: 0 } };
      expect(success('sync', await as(stranger.token, claims)).conversations).toEqual([]);
      expect(success('sync', await as(stranger.token, { cursor: '0'.repeat(32) })).conversations).toEqual([]);
      const { conversations } = await sync({ cursor: 'f'.repeat(32) });
      expect(conversations).toEqual([]);
      for (const body of [
        { cursor: '$ne' },
        { cursor: { $gt: '' } },
        { conversations: { 'not an id': 1 } },
        { conversations: { ['a'.repeat(24)]: -1 } },
        { conversations: { ['a'.repeat(24)]: [1, 2] } },
        { conversations: [] },
        { limit: 0 },
        { unnamed: 'some' },
      ]) {
        expect((await as(stranger.token, body)).status, JSON.stringify(body)).toBe(400);
      }
    });
  });
}
