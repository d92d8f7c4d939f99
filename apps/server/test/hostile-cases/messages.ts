import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { clientEvents, routes } from '@duet/contract';
import { collect, connect, register, rest } from '@duet/testkit';
import { expect } from 'vitest';
import { type Case, refused, type Stage, textsOf } from './stage.ts';

const NOBODY = '0'.repeat(24);
const websocket = { transports: ['websocket'] };

/** Two people of their own with a message from the first to the second, and the sockets of them and of a stranger. */
async function conversation({ url, mallory }: Stage) {
  const [one, other] = await Promise.all([register(url, 'one'), register(url, 'other')]);
  const [a, b, m] = await Promise.all([one, other, mallory].map(({ token }) => connect(url, token, websocket)));
  if (!a || !b || !m) throw new Error('not connected');
  const { data } = await a.emitWithAck('send_message', { receiverId: other.id, content: 'between us', tempId: 't1' });
  return {
    one,
    other,
    a,
    b,
    m,
    messageId: data.message._id as string,
    done: () => [a, b, m].map((s) => s.disconnect()),
  };
}

const noUploads = async ({ url, alice }: Stage) => {
  const bodies = Object.values(routes).filter((route) => 'body' in route);
  for (const route of bodies) {
    const answer = await rest(url, route.path, {
      method: route.method.toUpperCase(),
      token: alice.token,
      headers: { 'content-type': 'multipart/form-data; boundary=x' },
      body: '--x\r\ncontent-disposition: form-data; name="file"; filename="../../x.svg"\r\n\r\n<svg/>\r\n--x--',
    });
    refused(answer, 415, 'UNSUPPORTED_MEDIA');
  }
  for (const path of ['/attachments', '/uploads', '/files', `/attachments/${NOBODY}`])
    refused(await rest(url, path, { token: alice.token, body: {} }), 404, 'NOT_FOUND');
};

/** Conversations of others, receipts, pages, and what a text may be. */
export const messageCases: Case[] = [
  {
    n: 34,
    input: 'the messages of a conversation that is not one’s own, or of nobody',
    async run(stage) {
      const { one, other, done } = await conversation(stage);
      const get = (id: string) => rest(stage.url, `/messages/${id}`, { token: stage.mallory.token });
      expect((await get(one.id)).body.data.messages).toEqual([]);
      expect((await get(other.id)).body.data.messages).toEqual([]);
      refused(await get(NOBODY), 404, 'NOT_FOUND');
      refused(await get('no-id'), 400, 'VALIDATION_ERROR');
      done();
    },
  },
  {
    n: 35,
    input: 'a message into a conversation of others, to oneself, to nobody (to somebody who has blocked: A10)',
    async run(stage) {
      const { one, other, m, done } = await conversation(stage);
      const send = (fields: object) => m.emitWithAck('send_message', { content: 'x', ...fields });
      expect(await send({ receiverId: stage.mallory.id })).toMatchObject({ error: { code: 'VALIDATION_ERROR' } });
      expect(await send({ receiverId: NOBODY })).toMatchObject({ error: { code: 'NOT_FOUND' } });
      await send({ receiverId: other.id, conversation: 'theirs', senderId: one.id, sender: one.id });
      expect(await textsOf(stage.url, other, one)).toEqual(['between us']);
      done();
    },
  },
  {
    n: 36,
    input: 'a receipt for a message of others',
    async run(stage) {
      const { one, other, m, messageId, done } = await conversation(stage);
      for (const senderId of [one.id, other.id]) {
        const read = await m.emitWithAck('message_read', { messageId, senderId });
        expect(read).toMatchObject({ ok: false, error: { code: 'NOT_FOUND' } });
        const delivered = await m.emitWithAck('message_delivered', { receipts: [{ messageId, senderId }] });
        expect(delivered).toMatchObject({ ok: false, error: { code: 'NOT_FOUND' } });
      }
      expect(
        (await rest(stage.url, `/messages/read/${one.id}`, { method: 'PUT', token: stage.mallory.token })).body,
      ).toMatchObject({ data: { modifiedCount: 0 } });
      const { body } = await rest(stage.url, `/messages/${other.id}`, { token: one.token });
      expect(body.data.watermarks).toEqual({ readSeq: 0, peerReadSeq: 0, peerDeliveredSeq: 0 });
      done();
    },
  },
  {
    n: 37,
    input: 'receipts that go back, lie beyond the end, or are none',
    async run(stage) {
      const { one, other, a, b, messageId, done } = await conversation(stage);
      const { data } = await a.emitWithAck('send_message', { receiverId: other.id, content: 'second' });
      const read = (id: unknown) => b.emitWithAck('message_read', { messageId: id, senderId: one.id });
      await read(data.message._id);
      expect(await read(messageId)).toMatchObject({ ok: true });
      const beyond = messageId.slice(0, 16);
      for (const id of [`${beyond}ffffffff`, `${beyond}00000000`])
        expect(await read(id)).toMatchObject({ ok: false, error: { code: 'NOT_FOUND' } });
      for (const id of [-1, Number.NaN, 2 ** 53, '', 'abc', null])
        expect(await read(id)).toMatchObject({ ok: false, error: { code: 'VALIDATION_ERROR' } });
      const { body } = await rest(stage.url, `/messages/${other.id}`, { token: one.token });
      expect(body.data.watermarks).toMatchObject({ peerReadSeq: 2 });
      done();
    },
  },
  {
    n: 38,
    input: 'a change of a message that the other one wrote, which nothing here offers',
    async run(stage) {
      const { one, other, b, messageId, done } = await conversation(stage);
      for (const event of ['edit_message', 'delete_message', 'message_edit', 'message_delete'])
        expect(await b.emitWithAck(event, { messageId, content: 'changed' })).toMatchObject({ ok: false });
      for (const method of ['PATCH', 'PUT', 'DELETE'])
        refused(
          await rest(stage.url, `/messages/${messageId}`, { method, token: other.token, body: { content: 'changed' } }),
          404,
          'NOT_FOUND',
        );
      expect(await textsOf(stage.url, one, other)).toEqual(['between us']);
      done();
    },
  },
  {
    n: 39,
    input: 'pages of no size or of a billion, cursors that are made up or somebody else’s',
    async run(stage) {
      const { one, other, done } = await conversation(stage);
      const { url, mallory } = stage;
      const get = (path: string, token = one.token) => rest(url, path, { token });
      for (const limit of ['0', '-1', 'abc', '1e9', '', '0x10', '1.5'])
        refused(await get(`/messages/${other.id}?limit=${limit}`), 400, 'VALIDATION_ERROR');
      expect((await get(`/messages/${other.id}?limit=1000000000`)).body.data.messages).toHaveLength(1);
      refused(await get('/conversations?cursor=%2e%2e%2f'), 400, 'VALIDATION_ERROR');
      refused(await get('/conversations?cursor=1_zz'), 400, 'VALIDATION_ERROR');
      const { nextCursor } = (await get('/conversations?limit=1')).body.data;
      const { body } = await get(`/conversations?cursor=${nextCursor}`, mallory.token);
      expect(JSON.stringify(body)).not.toContain('between us');
      const { body: synced } = await rest(url, '/sync', { token: mallory.token, body: { cursor: '0'.repeat(32) } });
      expect(JSON.stringify(synced)).not.toContain('between us');
      done();
    },
  },
  {
    n: 40,
    input: 'a search by expressions, wildcards, and 10 kB',
    async run({ url, alice }) {
      const found = async (q: string) =>
        (await rest(url, `/auth/users?q=${encodeURIComponent(q)}`, { token: alice.token })).body;
      for (const q of ['(a+)+$', '.*', '%', '_', '^b', '[a-z]', "' OR 1=1 --", '\\', '\0'])
        expect(await found(q)).toMatchObject({ success: true, data: { users: [] } });
      expect(await found('a'.repeat(101))).toMatchObject({ code: 'VALIDATION_ERROR' });
      expect(await found('a'.repeat(10_000))).toMatchObject({ code: 'VALIDATION_ERROR' });
    },
  },
  { n: 41, input: 'text that a page could take for a part of itself', heldBy: ['M6', 'W2'] },
  {
    n: 42,
    input: 'text that is empty, too long, not text at all, or heavy',
    async run(stage) {
      const { one, other, a, done } = await conversation(stage);
      const send = (content: unknown) => a.emitWithAck('send_message', { receiverId: other.id, content });
      for (const bad of ['', ' \n\t', '\u00a0\u2003', '\u{1d54f}'.repeat(4_001), 'a\0b', '\ud800', 'x\udfff', {}, []])
        expect(await send(bad)).toMatchObject({ ok: false, error: { code: 'VALIDATION_ERROR' } });
      const good = [`Z${'\u0337\u0353'.repeat(1_900)}`, '\u202egnp.exe', '\u{1d54f}'.repeat(4_000)];
      for (const text of good) expect(await send(text)).toMatchObject({ ok: true });
      expect(await textsOf(stage.url, other, one)).toEqual(['between us', ...good]);
      done();
    },
  },
  { n: 43, input: 'sender, time, place and read mark, made up', heldBy: ['M8'] },
  {
    n: 44,
    input: 'one tempId twice, for another text, and by somebody else',
    async run(stage) {
      const { one, other, a, b, messageId, done } = await conversation(stage);
      const send = (from: typeof a, receiverId: string, content: string) =>
        from.emitWithAck('send_message', { receiverId, content, tempId: 't1' });
      expect((await send(a, other.id, 'between us')).data.message._id).toBe(messageId);
      expect(await send(a, other.id, 'another')).toMatchObject({ error: { code: 'IDEMPOTENCY_CONFLICT' } });
      expect((await send(b, one.id, 'the same id, another sender')).data.message.seq).toBe(2);
      expect(await send(a, stage.bob.id, 'the same id, another conversation')).toMatchObject({ ok: true });
      done();
    },
  },
  { n: 45, input: 'files that are not what they say: there are no uploads', run: noUploads },
  { n: 46, input: 'names of files that lead elsewhere: there are no uploads', run: noUploads },
  { n: 47, input: 'pictures that unpack to gigabytes: there are no uploads', run: noUploads },
  { n: 48, input: 'uploads that lie about their length: there are no uploads', run: noUploads },
  {
    n: 49,
    input: 'messages with addresses of the inside, which nobody looks up',
    async run(stage) {
      const { other, a, b, done } = await conversation(stage);
      let asked = 0;
      const inside = createServer((_, res) => {
        asked += 1;
        res.end();
      }).listen(0, '127.0.0.1');
      await new Promise((resolve) => inside.once('listening', resolve));
      const { port } = inside.address() as AddressInfo;
      const got = collect(b, 'receive_message');
      for (const host of ['127.0.0.1', '[::ffff:127.0.0.1]', 'localhost', '2130706433'])
        await a.emitWithAck('send_message', {
          receiverId: other.id,
          content: `http://${host}:${port}/latest/meta-data`,
        });
      await a.emitWithAck('send_message', { receiverId: other.id, content: 'after them' });
      expect(got.length).toBeGreaterThanOrEqual(4);
      inside.close();
      expect(asked).toBe(0);
      done();
    },
  },
  { n: 50, input: 'attachments of others: there are none', run: noUploads },
];

/** Every operation that names something of somebody, and the case, or the promise, whose test tries it as a stranger. */
export const triedByStrangers: Record<string, (number | string)[]> = {
  endSession: ['I7'],
  block: ['A12'],
  unblock: ['A12'],
  history: [34],
  markRead: [36],
  sync: [39],
  send_message: [35],
  typing_start: [60],
  typing_stop: [60],
  message_read: [36],
  message_delivered: [36],
};

/** The operations of the contract whose input names a user or a message. */
export function operationsWithIds(): string[] {
  const naming = /^id$|userId|receiverId|senderId|messageId|conversations/;
  const shapes: [string, unknown][] = [
    ...Object.entries(routes).map(([name, route]): [string, unknown] => [
      name,
      { ...('params' in route ? route.params.shape : {}), ...('body' in route ? route.body.shape : {}) },
    ]),
    ...Object.entries(clientEvents).map(([name, { payload }]): [string, unknown] => [
      name,
      'receipts' in payload.shape ? { messageId: true } : payload.shape,
    ]),
  ];
  const names = shapes.filter(([, shape]) => Object.keys(shape as object).some((key) => naming.test(key)));
  return [...new Set(names.map(([name]) => name))];
}
