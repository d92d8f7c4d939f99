import { randomUUID } from 'node:crypto';
import { collect, connect, eventually, openRawWebSocket, register, sendRaw, statusOf } from '@duet/testkit';
import { expect } from 'vitest';
import type { Case, Stage } from './stage.ts';

const websocket = { transports: ['websocket'] };
/** Rooms are made by the server; these would be the ways to ask for one. */
const ROOM_EVENTS = ['join', 'join_room', 'subscribe', 'presence_subscribe', 'leave', 'to', 'in'];

/** Sends this to a fresh session as often as `times`, each on one of its own, and waits until all of them are gone. */
async function sessions({ url, mallory }: Stage, times: number, act: (socket: Session) => void): Promise<void> {
  for (let i = 0; i < times; i++) {
    using socket = await openRawWebSocket(url, { token: mallory.token });
    act(socket);
    socket.tcp.end();
    await socket.closed;
  }
}
type Session = Awaited<ReturnType<typeof openRawWebSocket>>;

const poll = (url: string, query: string, packets?: { body: string; type?: string }) =>
  fetch(`${url}/socket.io/?EIO=4&transport=polling&${query}`, {
    ...(packets && {
      method: 'POST',
      body: packets.body,
      headers: { 'content-type': packets.type ?? 'text/plain;charset=UTF-8' },
    }),
    // What the server leaves open must not stay so for ever.
    signal: AbortSignal.timeout(60_000),
  });

/** Connections, events and packets. */
export const socketCases: Case[] = [
  { n: 51, input: 'a handshake without a token, with a bad one, with one that has expired', heldBy: ['C1'] },
  {
    n: 52,
    input: 'transports that are opened and never used',
    async run(stage) {
      const before = stage.usage().descriptors;
      const idle = await Promise.all(Array.from({ length: 200 }, () => openRawWebSocket(stage.url)));
      await Promise.all(idle.map(({ closed }) => closed));
      await eventually(() => stage.usage().descriptors <= before + 10, 'their descriptors are free');
    },
  },
  { n: 53, input: 'a page of another origin', heldBy: ['X6', 'X8'] },
  { n: 54, input: 'one socket more than a user may have, or an address', heldBy: ['L6'] },
  { n: 55, input: 'events without end', heldBy: ['L7'] },
  {
    n: 56,
    input: 'events that do not exist, reserved ones, another namespace',
    async run(stage) {
      for (const name of ['error', 'disconnect', 'disconnecting', 'newListener', 'removeListener', 'connect', '$ne'])
        await sessions(stage, 2, (socket) => socket.send(`42${JSON.stringify([name, {}])}`));
      await sessions(stage, 2, (socket) => socket.send('40/admin,{}'));
      await sessions(stage, 2, (socket) => socket.send('42/admin,["send_message",{}]'));
      // Where limits are on, a hundred of them end the connection.
      const flooder = await register(stage.limited.url, 'flooder');
      using socket = await openRawWebSocket(stage.limited.url, { token: flooder.token });
      for (let i = 0; i < 200; i++) socket.send('42["no_such_event"]');
      await socket.closed;
    },
  },
  { n: 57, input: 'payloads that are none, callbacks that are none', heldBy: ['X3', 'X4'] },
  {
    n: 58,
    input: 'a session to be recovered: there is no way around authentication',
    async run(stage) {
      using socket = await openRawWebSocket(stage.url, { token: stage.mallory.token });
      expect(socket.received()).not.toContain('"pid"');
      for (const auth of [
        { pid: 'x', offset: '1' },
        { token: 'x', pid: randomUUID(), offset: 'y' },
      ])
        await expect(openRawWebSocket(stage.url, auth)).rejects.toThrow('UNAUTHORIZED');
    },
  },
  {
    n: 59,
    input: 'packets with attachments that do not exist, broken frames, broken polls',
    async run(stage) {
      const packets = [
        '45999999-["x"]',
        '450-["x"]',
        '45-["x"]',
        '451-["x",{"_placeholder":true,"num":-1}]',
        '4\ud7ff',
      ];
      for (const packet of packets) await sessions(stage, 20, (socket) => socket.send(packet));
      await sessions(stage, 20, (socket) => {
        socket.send(`4511-["send_message",${Array(11).fill('{"_placeholder":true,"num":0}').join()}]`);
        for (let i = 0; i < 11; i++) socket.frame(2, Buffer.alloc(100));
      });
      // A text that is not UTF-8, opcodes and lengths that do not exist, a message in ten thousand parts.
      await sessions(stage, 20, (socket) => socket.frame(1, Buffer.from([0x34, 0x32, 0xff, 0xfe])));
      await sessions(stage, 20, (socket) => socket.frame(7, 'x'));
      await sessions(stage, 20, (socket) =>
        socket.tcp.write(Buffer.from([0x81, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0])),
      );
      await sessions(stage, 5, (socket) => {
        for (let i = 0; i < 10_000; i++) socket.frame(i === 0 ? 1 : 0, 'x', false);
      });
      await sessions(stage, 20, (socket) => socket.send(`42["send_message",{"content":"${'x'.repeat(70_000)}"}]`));
      const { sid } = JSON.parse((await (await poll(stage.url, '')).text()).slice(1));
      expect(
        (await poll(stage.url, `sid=${sid}`, { body: '\x1e\x1e9', type: 'application/octet-stream' })).status,
      ).toBe(400);
      const again = JSON.parse((await (await poll(stage.url, '')).text()).slice(1)).sid;
      expect([400, 413]).toContain(
        (await poll(stage.url, `sid=${again}`, { body: `4${'x'.repeat(70_000)}` }).catch(() => ({ status: 413 })))
          .status,
      );
      for (const query of ['EIO=9', 'sid=x&sid=y', 'transport=carrier-pigeon', 'sid=__proto__', 'sid=constructor'])
        expect((await poll(stage.url, query)).status).toBe(400);
    },
  },
  {
    n: 60,
    input: 'a room by its name, typing to a stranger, the presence of anybody',
    async run({ url, mallory, alice, bob }) {
      using a = await connect(url, alice.token, websocket);
      using m = await connect(url, mallory.token, websocket);
      const seen = collect(m, 'receive_message');
      for (const event of ROOM_EVENTS)
        expect(await m.emitWithAck(event, `user:${alice.id}`)).toMatchObject({
          ok: false,
          error: { code: 'NOT_FOUND' },
        });
      const typing = collect(a, 'user_typing');
      for (const event of ['typing_start', 'typing_stop']) {
        expect(await m.emitWithAck(event, { receiverId: '0'.repeat(24) })).toMatchObject({ ok: false });
        expect(await m.emitWithAck(event, { receiverId: bob.id, userId: alice.id })).toMatchObject({
          data: { userId: mallory.id },
        });
      }
      await a.emitWithAck('send_message', { receiverId: bob.id, content: 'not for mallory' });
      expect(seen).toEqual([]);
      expect(typing).toEqual([]);
    },
  },
  { n: 61, input: 'a token that expires or is taken back while its socket is open', heldBy: ['I10', 'I11'] },
  { n: 62, input: 'a reader that stops reading', heldBy: ['X7'] },
  {
    n: 63,
    input: 'a poll with the session of somebody else, or of another node',
    async run({ url, limited, alice }) {
      expect((await poll(url, 'sid=AAAAAAAAAAAAAAAAAAAA')).status).toBe(400);
      using polling = await connect(limited.url, (await register(limited.url)).token, { transports: ['polling'] });
      expect((await poll(url, `sid=${polling.io.engine.id}`)).status).toBe(400);
      // Whoever knows a session of a websocket has no part in it by polling.
      using socket = await connect(url, alice.token, websocket);
      expect((await poll(url, `sid=${socket.io.engine.id}`)).status).toBe(400);
      expect(await socket.emitWithAck('sync', {})).toMatchObject({ ok: true });
    },
  },
  {
    n: 64,
    input: 'what operators look at and what builds leave behind (metrics from outside: L8)',
    async run({ url }) {
      for (const path of [
        '/.env',
        '/.git/config',
        '/package.json',
        '/src/main.ts',
        '/data/duet.db',
        '/jwt-secret',
        '/assets/',
      ])
        expect({
          path,
          status: statusOf(await sendRaw(url, `GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`)),
        }).toEqual({ path, status: 404 });
      const page = await (await fetch(url)).text();
      for (const [, script] of page.matchAll(/src="(\/assets\/[^"]+\.js)"/g)) {
        expect((await fetch(`${url}${script}.map`)).status).toBe(404);
        expect(await (await fetch(url + script)).text()).not.toContain('sourceMappingURL');
      }
      expect(await (await fetch(`${url}/health`)).json()).toEqual({ status: 'ok' });
    },
  },
];
