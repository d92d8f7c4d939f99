import { createHmac, randomUUID } from 'node:crypto';
import { cpSync, rmSync } from 'node:fs';
import {
  collect,
  connect,
  eventually,
  register,
  rest,
  type ServerProcess,
  startServer,
  startTcpProxy,
  type TestUser,
  temporaryFolder,
} from '@duet/testkit';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { createConnection } from '../src/connection.ts';
import {
  createChat,
  createSession,
  keyValueStorage,
  memoryStorage,
  type OutboxStorage,
  type Outgoing,
} from '../src/index.ts';
import { joinTabs } from '../src/tabs.ts';
import { createTokens } from '../src/tokens.ts';
import { takeTurn } from '../src/turn.ts';
import {
  createStillTime,
  hurried,
  MAIN,
  messagesWith,
  shows,
  start,
  stored,
  synced,
  textsWith,
  unreadOf,
  until,
} from './people.ts';

const SECRET = 'a secret of the tests that is long enough';

/** The same token with another end, as the server would have made it. */
function tokenOf({ token }: { token: string }, expiresInSeconds: number): string {
  const [head, claims] = token.split('.') as [string, string];
  const exp = Math.floor(Date.now() / 1000) + expiresInSeconds;
  const changed = { ...JSON.parse(Buffer.from(claims, 'base64url').toString()), exp };
  const text = `${head}.${Buffer.from(JSON.stringify(changed)).toString('base64url')}`;
  return `${text}.${createHmac('sha256', SECRET).update(text).digest('base64url')}`;
}

/** A key-value store like React Native's AsyncStorage, kept while apps come and go. */
function createDevice() {
  const items = new Map<string, string>();
  return {
    items,
    store: {
      getItem: async (key: string) => items.get(key) ?? null,
      setItem: async (key: string, value: string) => void items.set(key, value),
      removeItem: async (key: string) => void items.delete(key),
    },
  };
}

/** As the tabs of a browser share it. */
function sharedStorage(): OutboxStorage {
  const name = randomUUID();
  return {
    ...memoryStorage(),
    turn: (user, onTurn) => takeTurn(`${name}.${user}`, onTurn),
    givenUp: (user, onGivenUp) => joinTabs(`${name}.${user}`, onGivenUp),
  };
}

describe('the SDK when things fail', () => {
  let folder: ReturnType<typeof temporaryFolder>;
  let server: ServerProcess;
  let environment: Record<string, string>;

  beforeAll(async () => {
    folder = temporaryFolder();
    environment = { DATA_DIR: folder.path, JWT_SECRET: SECRET };
    server = await startServer(MAIN, environment);
  });
  afterAll(async () => {
    await server?.kill();
    folder?.[Symbol.dispose]();
  });
  const two = () => Promise.all([register(server.url, 'anna'), register(server.url, 'ben')]);

  test('U2 what is written offline survives a new start of the app, and is sent once and in order', async () => {
    const [anna, ben] = await two();
    const device = createDevice();
    const { url } = server;
    {
      using before = start(url, anna, { storage: keyValueStorage(device.store) });
      await synced(before);
      before.send(ben.id, 'online');
      await shows(before, ben.id, ['online']);
      await server.kill();
      await until(before, ({ connection }) => connection === 'offline', 'offline');
      before.send(ben.id, 'one');
      before.send(ben.id, 'two');
      await eventually(() => [...device.items.values()].join().includes('"two"'), 'kept on the device');
    }
    {
      // Started and closed without a network: it shows them, and keeps what is added.
      using between = start(url, anna, { storage: keyValueStorage(device.store) });
      await until(between, (state) => String(textsWith(state, ben.id)) === 'one,two', 'shown while offline');
      between.send(ben.id, 'three');
      await eventually(() => [...device.items.values()].join().includes('"three"'), 'kept on the device');
    }
    server = await startServer(MAIN, { ...environment, PORT: new URL(url).port });
    using after = start(url, anna, { storage: keyValueStorage(device.store) });
    await shows(after, ben.id, ['online', 'one', 'two', 'three']);
    expect(await stored(url, ben, anna.id)).toEqual(['online', 'one', 'two', 'three']);
    await eventually(() => device.items.size === 0, 'nothing is left on the device');
  });

  test('U34 what was written before the clock was put right goes out first', async () => {
    const [anna, ben] = await two();
    const device = createDevice();
    const write = async (text: string, hoursAhead: number) => {
      const runtime = { ...hurried(1), now: () => Date.now() + hoursAhead * 3_600_000 };
      using chat = start('http://127.0.0.1:9', anna, { storage: keyValueStorage(device.store), runtime });
      await until(chat, (state) => messagesWith(state, ben.id).length === device.items.size, 'what waits is there');
      chat.send(ben.id, text);
      await eventually(() => [...device.items.values()].join().includes(`"${text}"`), 'kept on the device');
      return textsWith(chat.getState(), ben.id);
    };
    await write('one', 2);
    expect(await write('two', 0)).toEqual(['one', 'two']);
    using chat = start(server.url, anna, { storage: keyValueStorage(device.store) });
    await shows(chat, ben.id, ['one', 'two']);
  });

  test('U13 what one user wrote is not sent by another one on the same device', async () => {
    const [anna, ben] = await two();
    const device = createDevice();
    const storage = () => keyValueStorage(device.store);
    {
      using hers = start('http://127.0.0.1:9', anna, { storage: storage() });
      hers.send(ben.id, 'from anna');
      await eventually(() => device.items.size === 1, 'kept on the device');
    }
    {
      using his = start(server.url, ben, { storage: storage() });
      await synced(his);
      his.send(anna.id, 'from ben');
      await shows(his, anna.id, ['from ben']);
    }
    let token = ben.token;
    using turned = start(server.url, ben, { storage: storage(), getToken: () => token });
    await synced(turned);
    token = anna.token;
    turned.background();
    turned.foreground();
    await until(turned, ({ connection }) => connection === 'refused', 'a chat keeps to its user');
    expect(await stored(server.url, ben, anna.id)).toEqual(['from ben']);
    using hers = start(server.url, anna, { storage: storage() });
    await shows(hers, ben.id, ['from ben', 'from anna']);
  });

  /** A tab in which somebody writes without a network, and which is closed then. */
  async function leave(peerId: string, text: string, tab: { anna: TestUser; storage: OutboxStorage }): Promise<void> {
    const { anna, storage } = tab;
    // Another tab may send it and take it away at once.
    const kept = Promise.withResolvers<void>();
    const put: OutboxStorage['put'] = (...message) => storage.put(...message).then(kept.resolve);
    using closed = start('http://127.0.0.1:9', anna, { storage: { ...storage, put } });
    closed.send(peerId, text);
    await kept.promise;
  }

  test('U15 what a tab leaves when it is loaded anew it sends itself, before what it writes then', async () => {
    const [anna, ben] = await two();
    const storage = sharedStorage();
    using first = start(server.url, anna, { storage });
    await synced(first);
    await leave(ben.id, 'one', { anna, storage });
    using again = start(server.url, anna, { storage });
    await synced(again);
    again.send(ben.id, 'two');
    await Promise.all([first, again].map((tab) => shows(tab, ben.id, ['one', 'two'])));
    expect(await stored(server.url, ben, anna.id)).toEqual(['one', 'two']);
  });

  test('U15 what a tab leaves when it is closed, the one that has the turn sends when it is looked at or comes back', async () => {
    const [anna, ben] = await two();
    const storage = sharedStorage();
    await using proxy = await startTcpProxy(server.url);
    using first = start(proxy.url, anna, { storage });
    using other = start(server.url, anna, { storage });
    await Promise.all([synced(first), synced(other)]);
    await leave(ben.id, 'one', { anna, storage });
    first.foreground();
    await shows(other, ben.id, ['one']);
    await leave(ben.id, 'two', { anna, storage });
    proxy.cut();
    await shows(other, ben.id, ['one', 'two']);
    await eventually(async () => (await storage.list(anna.id)).length === 0, 'nothing is left on the device');
  });

  test('U15 a tab that is signed out leaves the turn to another one, until it is signed in again', async () => {
    const [anna, ben] = await two();
    const storage = sharedStorage();
    let { token } = anna;
    using first = start(server.url, anna, { storage, getToken: () => token });
    await synced(first);
    const { body } = await rest(server.url, '/auth/login', { method: 'POST', body: anna });
    token = body.data.token;
    using other = start(server.url, { token }, { storage });
    await synced(other);
    token = anna.token;
    await rest(server.url, '/auth/logout', { method: 'POST', token });
    await until(first, ({ connection }) => connection === 'refused', 'refused');
    await leave(ben.id, 'one', { anna, storage });
    other.foreground();
    await shows(other, ben.id, ['one']);

    token = body.data.token;
    first.start();
    await synced(first);
    await leave(ben.id, 'two', { anna, storage });
    other.stop();
    await shows(first, ben.id, ['one', 'two']);
  });

  test('U15 a refused message that one tab gives up is gone from the others', async () => {
    const [anna, ben] = await two();
    const storage = sharedStorage();
    using first = start(server.url, anna, { storage });
    await synced(first);
    const failed = new Promise<string>((resolve) => first.on('failed', ({ message }) => resolve(message.key)));
    first.send(ben.id, 'x'.repeat(4_001));
    const key = await failed;
    const isRefused = (message: Outgoing) => message.tempId === key && message.problem !== undefined;
    await eventually(async () => (await storage.list(anna.id)).some(isRefused), 'kept on the device');
    using other = start(server.url, anna, { storage });
    using unkept = start(server.url, anna, { storage: { ...storage, put: () => Promise.reject(new Error('full')) } });
    await until(other, (state) => messagesWith(state, ben.id)[0]?.state === 'failed', 'shown in another tab');
    await synced(unkept);
    unkept.send(ben.id, 'y'.repeat(4_001));
    await until(unkept, (state) => messagesWith(state, ben.id).at(-1)?.content[0] === 'y', 'shown');
    await until(unkept, (state) => messagesWith(state, ben.id).every((m) => m.state === 'failed'), 'refused');

    other.discard(ben.id, key);
    await eventually(async () => (await storage.list(anna.id)).length === 0, 'nothing is left on the device');
    await until(first, (state) => messagesWith(state, ben.id).length === 0, 'gone from the first tab');
    await until(unkept, (state) => messagesWith(state, ben.id).length === 1, 'gone from a tab that keeps nothing');
    expect(textsWith(unkept.getState(), ben.id)).toEqual(['y'.repeat(4_001)]);
  });

  test('U15 what one tab gives up no other one sends, though it has been offline since before it was refused', async () => {
    const [anna, ben] = await two();
    const storage = sharedStorage();
    const text = 'x'.repeat(4_001);
    await using proxy = await startTcpProxy('http://127.0.0.1:9');
    using first = start(server.url, anna, { storage });
    await synced(first);
    first.background();
    first.send(ben.id, text);
    await eventually(async () => (await storage.list(anna.id)).length === 1, 'kept on the device');
    using other = start(proxy.url, anna, { storage });
    await until(other, (state) => messagesWith(state, ben.id)[0]?.state === 'sending', 'waits in the other tab');
    const failed = new Promise<string>((resolve) => first.on('failed', ({ message }) => resolve(message.key)));
    first.foreground();
    first.discard(ben.id, await failed);
    await until(other, (state) => messagesWith(state, ben.id).length === 0, 'gone from the other tab');
    const told: string[] = [];
    other.on('failed', ({ message }) => told.push(message.content));
    other.send(ben.id, 'after');
    proxy.lead(server.url);
    other.foreground();
    await Promise.all([first, other].map((tab) => shows(tab, ben.id, ['after'])));
    expect(told).toEqual([]);
    await eventually(async () => (await storage.list(anna.id)).length === 0, 'nothing is left on the device');
  });

  test('U46 where a browser lets tabs share nothing, each works alone', async () => {
    const refuse = () => {
      throw new DOMException('The operation is insecure.', 'SecurityError');
    };
    vi.stubGlobal('BroadcastChannel', refuse);
    vi.stubGlobal('navigator', { locks: { request: async () => refuse() } });
    try {
      const [anna, ben] = await two();
      const storage = sharedStorage();
      using hers = start(server.url, anna, { storage });
      await synced(hers);
      hers.send(ben.id, 'one');
      await shows(hers, ben.id, ['one']);
      // It has the turn: what is left is found when it is looked at.
      await leave(ben.id, 'two', { anna, storage });
      hers.foreground();
      await shows(hers, ben.id, ['one', 'two']);
      const failed = new Promise<string>((resolve) => hers.on('failed', ({ message }) => resolve(message.key)));
      hers.send(ben.id, 'x'.repeat(4_001));
      hers.discard(ben.id, await failed);
      expect(textsWith(hers.getState(), ben.id)).toEqual(['one', 'two']);
      hers.stop();
      hers.start();
      await synced(hers);
    } finally {
      vi.unstubAllGlobals();
    }
  });

  test('U42 a refused message that the browser removes from the device stays until the user has decided', async () => {
    const [anna, ben] = await two();
    const storage = sharedStorage();
    using hers = start(server.url, anna, { storage });
    await synced(hers);
    const failed = new Promise<string>((resolve) => hers.on('failed', ({ message }) => resolve(message.key)));
    hers.send(ben.id, 'x'.repeat(4_001));
    const key = await failed;
    const isKept = ({ problem }: Outgoing) => problem !== undefined;
    await eventually(async () => (await storage.list(anna.id)).some(isKept), 'kept on the device');
    await storage.remove(anna.id, key);
    hers.foreground();
    hers.send(ben.id, 'after');
    await until(hers, (state) => messagesWith(state, ben.id)[0]?.seq === 1, 'the next one is sent');
    expect(messagesWith(hers.getState(), ben.id)[1]).toMatchObject({ key, state: 'failed' });
  });

  test('U15 what is found late was written first: it is shown and sent before what has been written since', async () => {
    const [anna, ben] = await two();
    let take = () => {};
    const storage = {
      ...memoryStorage(),
      turn(_: string, onTurn: () => void) {
        take = onTurn;
        return () => {};
      },
    };
    using hers = start(server.url, anna, { storage });
    await synced(hers);
    hers.background();
    const left = { peerId: ben.id, messageType: 'text' as const, createdAt: new Date(0).toISOString() };
    hers.send(ben.id, 'three');
    await storage.put(anna.id, { ...left, tempId: '002', content: 'two' });
    await storage.put(anna.id, { ...left, tempId: '001', content: 'one' });
    take();
    await until(hers, (state) => String(textsWith(state, ben.id)) === 'one,two,three', 'in the order of their age');
    hers.foreground();
    await shows(hers, ben.id, ['one', 'two', 'three']);
  });

  test('U3 an acknowledgement that gets lost doubles nothing, and order holds while messages are repeated', async () => {
    const [anna, ben] = await two();
    await using proxy = await startTcpProxy(server.url);
    using reader = await connect(server.url, ben.token);
    const received = collect(reader, 'receive_message');
    using hers = start(proxy.url, anna);
    await synced(hers);
    const texts: string[] = [];
    for (let round = 1; round <= 3; round++) {
      proxy.lose(() => true);
      for (const part of ['a', 'b', 'c']) {
        texts.push(`${round}${part}`);
        hers.send(ben.id, `${round}${part}`);
      }
      await eventually(() => received.length === texts.length - 2, 'the first of the round is stored');
      proxy.lose(undefined);
      proxy.cut();
      await shows(hers, ben.id, texts);
    }
    expect(received.map(({ message }) => message.content)).toEqual(texts);
    expect(await stored(server.url, ben, anna.id)).toEqual(texts);
  });

  test('U4 what is repeated after a new start and stood long before the newest message does not stand behind it', async () => {
    const [anna, ben] = await two();
    using hers = await connect(server.url, anna.token);
    using his = await connect(server.url, ben.token);
    const mine = { tempId: 'a'.repeat(32), content: 'mine', messageType: 'text' as const };
    await his.emitWithAck('send_message', { receiverId: anna.id, content: 'first' });
    await hers.emitWithAck('send_message', { receiverId: ben.id, ...mine });
    for (const content of ['answer', 'another'])
      await his.emitWithAck('send_message', { receiverId: anna.id, content });
    const storage = memoryStorage();
    await storage.put(anna.id, { ...mine, peerId: ben.id, createdAt: new Date().toISOString() });
    using chat = start(server.url, anna, { storage });
    await synced(chat);
    await eventually(async () => (await storage.list(anna.id)).length === 0, 'its repeat is answered');
    expect(textsWith(chat.getState(), ben.id).at(-1)).toBe('another');
    expect(chat.getState().conversations?.[0]?.lastMessage.content).toBe('another');
    await shows(chat, ben.id, ['first', 'mine', 'answer', 'another']);
  });

  test('U28 `message_sent` says as much as the acknowledgement that gets lost', async () => {
    const [anna, ben] = await two();
    await using proxy = await startTcpProxy(server.url);
    using hers = start(proxy.url, anna);
    await synced(hers);
    const connections = proxy.connections();
    let lost = 0;
    proxy.lose((text) => {
      const isAnswer = text.includes('"ok":true') && !text.includes('message_sent');
      if (isAnswer) lost += 1;
      return isAnswer;
    });
    hers.send(ben.id, 'one');
    await until(hers, (state) => messagesWith(state, ben.id)[0]?.state === 'sent', 'sent');
    // Neither a repeat nor a new connection was needed.
    expect([lost > 1, proxy.connections()]).toEqual([false, connections]);
    expect(await stored(server.url, ben, anna.id)).toEqual(['one']);
  });

  test('U4 live events that got lost are found: by the hole they leave, when the app is looked at, and at intervals', async () => {
    const [anna, ben] = await two();
    await using proxy = await startTcpProxy(server.url);
    using writer = await connect(server.url, ben.token);
    const send = (content: string) => writer.emitWithAck('send_message', { receiverId: anna.id, content });
    using hers = start(proxy.url, anna);
    using hurriedOnes = start(proxy.url, anna, { runtime: hurried(60) });
    await Promise.all([synced(hers), synced(hurriedOnes)]);
    const heard: string[] = [];
    hers.on('message', ({ message }) => heard.push(message.content));
    const lose = async (...contents: string[]) => {
      let lost = 0;
      proxy.lose((text) => {
        if (!text.includes('receive_message')) return false;
        lost += 1;
        return true;
      });
      for (const content of contents) await send(content);
      await eventually(() => lost > 0, 'events are lost');
      proxy.lose(undefined);
    };
    await lose('one', 'two');
    await send('three');
    await Promise.all([hers, hurriedOnes].map((chat) => shows(chat, ben.id, ['one', 'two', 'three'])));
    await lose('four');
    await shows(hurriedOnes, ben.id, ['one', 'two', 'three', 'four']);
    hers.foreground();
    await shows(hers, ben.id, ['one', 'two', 'three', 'four']);
    expect(heard).toEqual(['one', 'two', 'three', 'four']);
    const { body } = await rest(server.url, '/messages/unread/count', { token: anna.token });
    expect(unreadOf(hers.getState())).toBe(body.data.unreadCount);
  });

  test('U16 after a restored backup the client follows the server, and sends what it had not sent', async () => {
    const [[anna, ben], cleo] = await Promise.all([two(), register(server.url, 'cleo')]);
    using backups = temporaryFolder();
    const { url } = server;
    const restart = async (change: () => void) => {
      await server.stop();
      change();
      server = await startServer(MAIN, { ...environment, PORT: new URL(url).port });
    };
    using hers = start(url, anna);
    using his = start(url, ben);
    hers.send(ben.id, 'one');
    his.send(anna.id, 'two');
    await until(hers, (state) => messagesWith(state, ben.id).length === 2, 'both are stored');
    await restart(() => cpSync(folder.path, backups.path, { recursive: true }));
    const kept = await stored(url, anna, ben.id);
    await Promise.all([synced(hers), synced(his)]);
    for (const text of ['lost 1', 'lost 2', 'lost 3']) hers.send(ben.id, text);
    await shows(his, anna.id, [...kept, 'lost 1', 'lost 2', 'lost 3']);
    hers.send(cleo.id, 'begun since');
    await shows(hers, cleo.id, ['begun since']);
    await restart(() => {
      rmSync(folder.path, { recursive: true });
      cpSync(backups.path, folder.path, { recursive: true });
      his.send(anna.id, 'not sent yet');
    });
    await Promise.all([shows(hers, ben.id, [...kept, 'not sent yet']), shows(his, anna.id, [...kept, 'not sent yet'])]);
    await Promise.all([synced(hers), synced(his)]);
    await until(hers, (state) => messagesWith(state, cleo.id).length === 0, 'what began since the backup is gone');
    const { body } = await rest(url, '/messages/unread/count', { token: anna.token });
    expect(unreadOf(hers.getState())).toBe(body.data.unreadCount);
  });

  test('U5 whoever was away learns everything: messages, reads on another device, receipts', async () => {
    const [anna, ben] = await two();
    await using proxy = await startTcpProxy(server.url);
    using phone = start(proxy.url, anna);
    using desk = start(server.url, anna);
    using his = start(server.url, ben);
    await Promise.all([synced(phone), synced(desk), synced(his)]);
    phone.send(ben.id, '0');
    await shows(his, anna.id, ['0']);
    await shows(phone, ben.id, ['0']);
    phone.background();
    await until(phone, ({ connection }) => connection === 'offline', 'in the background');
    his.read(anna.id);
    const texts = ['0', ...Array.from({ length: 520 }, (_, i) => `${i + 1}`)];
    for (const text of texts.slice(1)) his.send(anna.id, text);
    await shows(desk, ben.id, texts);
    desk.read(ben.id);
    await eventually(async () => {
      const { body } = await rest(server.url, '/messages/unread/count', { token: anna.token });
      return body.data.unreadCount === 0;
    }, 'read on the desk');
    phone.foreground();
    await shows(phone, ben.id, texts);
    await until(phone, (state) => state.synced && unreadOf(state) === 0, 'nothing is unread');
    expect(messagesWith(phone.getState(), ben.id)[0]?.state).toBe('read');
  });

  test('U7 a token that is refused is refreshed once; if the new one is refused too, all tries end until the next start', async () => {
    const anna = await register(server.url, 'anna');
    const asked: boolean[] = [];
    let fresh = tokenOf(anna, 3600);
    let token = tokenOf(anna, -3600);
    const getToken = ({ refresh }: { refresh: boolean }) => {
      asked.push(refresh);
      if (refresh) token = fresh;
      return token;
    };
    using chat = start(server.url, anna, { getToken });
    await synced(chat);
    expect(asked.filter(Boolean)).toEqual([true]);
    chat.stop();

    token = tokenOf(anna, -3600);
    fresh = tokenOf(anna, -60);
    asked.length = 0;
    await using proxy = await startTcpProxy(server.url);
    using refused = start(proxy.url, anna, { getToken, runtime: hurried(20) });
    await until(refused, ({ connection }) => connection === 'refused', 'refused');
    expect(asked.filter(Boolean)).toEqual([true]);
    const connections = proxy.connections();
    refused.foreground();
    refused.background();
    refused.foreground();
    expect(refused.getState().connection).toBe('refused');
    expect(proxy.connections()).toBe(connections);
    token = fresh = tokenOf(anna, 3600);
    refused.start();
    await synced(refused);
  });

  test('U7 a connection that is renewed is told of like any other, and is refused when its new token is', async () => {
    const anna = await register(server.url, 'anna');
    const time = createStillTime();
    const states: string[] = [];
    let fresh = anna.token;
    let refreshes = 0;
    const tokens = createTokens(({ refresh }) => {
      if (!refresh) return anna.token;
      refreshes += 1;
      return fresh;
    });
    const onState = (state: string) => void states.push(state);
    const connection = createConnection({
      ...{ url: server.url, tokens, onState, runtime: time },
      ...{ deviceId: 'phone', transports: ['websocket'] },
    });
    try {
      connection.start();
      await eventually(() => connection.isOnline(), 'online');
      connection.renew();
      await eventually(() => states.length === 4, 'made anew');
      time.advance(10_000);
      fresh = tokenOf(anna, -60);
      connection.renew();
      await eventually(() => states.length === 6, 'refused');
    } finally {
      connection.stop();
    }
    expect(states.slice(0, 6)).toEqual(['connecting', 'online', 'connecting', 'online', 'connecting', 'refused']);
    expect(refreshes).toBe(2);
  });

  test('U44 while the key is changed node by node, what one node refuses is tried at others, also with other tokens', async () => {
    const anna = await register(server.url, 'anna');
    const next = { JWT_SECRET: 'another secret of the tests, long enough', JWT_SECRET_PREVIOUS: SECRET };
    const changed = await startServer(MAIN, { ...environment, ...next });
    try {
      const { body } = await rest(changed.url, '/auth/login', { method: 'POST', body: anna });
      const { token, refreshToken } = body.data;
      const items = new Map<string, string>();
      const session = createSession({
        url: changed.url,
        store: {
          getItem: (key) => items.get(key) ?? null,
          setItem: (key, value) => items.set(key, value),
          removeItem: (key) => items.delete(key),
        },
      });
      await session.begin({ token, refreshToken });
      // It leads to a node that has the old key alone, until three new tokens have been got.
      await using proxy = await startTcpProxy(server.url);
      let refreshes = 0;
      const getToken: typeof session.getToken = async (ask) => {
        if (ask.refresh) refreshes += 1;
        const given = await session.getToken(ask);
        if (refreshes === 3) proxy.lead(changed.url);
        return given;
      };
      using chat = start(proxy.url, anna, { getToken, runtime: hurried(20) });
      const states: string[] = [];
      chat.subscribe(() => states.push(chat.getState().connection));
      await synced(chat);
      expect(states).not.toContain('refused');
      expect(refreshes).toBe(3);
      // Whose session is over hears it at once.
      await rest(changed.url, '/auth/logout', {
        method: 'POST',
        token: (await session.getToken({ refresh: false })) ?? '',
      });
      await until(chat, ({ connection }) => connection === 'refused', 'refused');
      expect(refreshes).toBe(3);
    } finally {
      await changed.kill();
    }
  });

  test('U44 while the key is changed node by node, whoever refreshes at both kinds of nodes stays signed in', async () => {
    const anna = await register(server.url, 'anna');
    const next = { JWT_SECRET: 'another secret of the tests, long enough', JWT_SECRET_PREVIOUS: SECRET };
    const changed = await startServer(MAIN, { ...environment, ...next });
    try {
      await using toChanged = await startTcpProxy(changed.url);
      await using toOld = await startTcpProxy(server.url);
      const { store } = createDevice();
      const time = createStillTime();
      const tabs = [toChanged, toOld].map(({ url }) => createSession({ url, store, runtime: time }));
      const { body } = await rest(server.url, '/auth/login', { method: 'POST', body: anna });
      for (const tab of tabs) {
        await tab.begin(body.data);
        await tab.getToken({ refresh: false });
      }
      let isLost = false;
      toChanged.lose((text) => {
        if (isLost || !text.includes('refreshToken')) return false;
        isLost = true;
        toChanged.freeze();
        return true;
      });
      let isUnable = false;
      toOld.lose((text) => {
        isUnable ||= text.includes('"success":false');
        return false;
      });
      const [one, other] = tabs.map((tab) => () => tab.getToken({ refresh: true })) as [() => unknown, () => unknown];
      const first = one();
      await eventually(() => isLost, 'the new node has replaced the token, its answer is lost');
      const second = other();
      await eventually(() => isUnable, 'the old node cannot say what has replaced it');
      const end = time.now() + 5_000;
      await eventually(() => {
        time.advance(100);
        return time.now() >= end;
      }, 'time passes');
      const token = (await first) as string;
      expect(await second).toBe(token);
      expect((await rest(changed.url, '/auth/me', { token })).status).toBe(200);
    } finally {
      await changed.kill();
    }
  });

  test("U44 a token of which every node says that it is nobody's is given up after a few new ones", async () => {
    const anna = await register(server.url, 'anna');
    let refreshes = 0;
    const getToken = ({ refresh }: { refresh: boolean }) => {
      if (refresh) refreshes += 1;
      return `${anna.token}x`;
    };
    using chat = start(server.url, anna, { getToken, runtime: hurried(20) });
    await until(chat, ({ connection }) => connection === 'refused', 'refused');
    expect(refreshes).toBe(7);
  });

  /** A token that was got in place of an expired one expires itself while no connection lasts. */
  async function expireTwice(setBackMs: number): Promise<void> {
    const anna = await register(server.url, 'anna');
    const time = createStillTime();
    let behindMs = 0;
    const runtime = { ...time, now: () => time.now() - behindMs };
    const states: string[] = [];
    let refreshes = 0;
    let token = tokenOf(anna, -60);
    const tokens = createTokens(({ refresh }) => {
      if (refresh) {
        refreshes += 1;
        token = anna.token;
      }
      return token;
    });
    await using proxy = await startTcpProxy(server.url);
    const connection = createConnection({
      ...{ url: proxy.url, tokens, onState: (state: string) => void states.push(state), runtime },
      ...{ deviceId: 'phone', transports: ['websocket'] },
    });
    try {
      connection.start();
      await eventually(() => connection.isOnline(), 'online with the second token');
      time.advance(9_000);
      behindMs = setBackMs;
      proxy.cut();
      await eventually(() => states.at(-1) === 'offline', 'cut off');
      token = tokenOf(anna, -60);
      time.advance(60_000);
      await eventually(() => connection.isOnline(), 'online with the third token');
    } finally {
      connection.stop();
    }
    expect(states).not.toContain('refused');
    expect(refreshes).toBe(2);
  }

  test('U31 a token that expires while no connection lasts is refreshed again', () => expireTwice(0));

  test('U34 so it is when the clock has been set back meanwhile', () => expireTwice(3_600_000));

  test('U38 where the answers to websockets get lost, the next try is long polling', async () => {
    const anna = await register(server.url, 'anna');
    const time = createStillTime();
    const states: string[] = [];
    await using proxy = await startTcpProxy(server.url);
    const answers: string[] = [];
    proxy.lose((text) => {
      const [, status] = text.match(/^HTTP\/1.1 (\d+)/) ?? [];
      if (status) answers.push(status);
      return status === '101' || text.startsWith('\x81'); // a frame of the websocket
    });
    const connection = createConnection({
      ...{ url: proxy.url, tokens: createTokens(() => anna.token), onState: (state) => states.push(state) },
      ...{ deviceId: 'phone', transports: ['websocket', 'polling'], runtime: time },
    });
    try {
      connection.start();
      await eventually(() => answers.length === 1, 'a websocket gets no answer');
      time.advance(20_000);
      expect(states).toEqual(['connecting', 'offline']);
      time.advance(2_000);
      await eventually(() => answers.length > 1, 'something else is tried');
      expect(answers.slice(0, 2)).toEqual(['101', '200']);
      await eventually(() => connection.isOnline(), 'online');
      expect(await connection.emit('sync', { conversations: {} })).toMatchObject({ complete: true });
    } finally {
      connection.stop();
    }
  });

  test('U7 without a token nothing is tried; a token that cannot be had now is asked for again', async () => {
    const anna = await register(server.url, 'anna');
    using nobody = start(server.url, anna, { getToken: () => undefined });
    await until(nobody, ({ connection }) => connection === 'refused', 'refused');
    let tries = 0;
    const getToken = async () => {
      tries += 1;
      if (tries < 4) throw new Error('no network');
      return anna.token;
    };
    using chat = start(server.url, anna, { getToken, runtime: hurried(20) });
    await synced(chat);
  });

  test('U43 after a refresh that has failed it is asked for again, and the old token is used no more', async () => {
    const anna = await register(server.url, 'anna');
    const old = tokenOf(anna, -3600);
    const asked: boolean[] = [];
    const getToken = async ({ refresh }: { refresh: boolean }) => {
      const refreshes = asked.filter(Boolean).length;
      if (refreshes < 3) asked.push(refresh);
      if (refresh && refreshes < 2) throw new Error('no network');
      return refresh || refreshes > 2 ? anna.token : old;
    };
    using chat = start(server.url, anna, { getToken, runtime: hurried(20) });
    await synced(chat);
    expect(asked.slice(asked.indexOf(true))).toEqual([true, true, true]);
  });

  test('U45 looking at the app ends a pause, and cuts no try that is under way', async () => {
    const anna = await register(server.url, 'anna');
    const states: string[] = [];
    await using proxy = await startTcpProxy(server.url);
    const connection = createConnection({
      ...{
        url: proxy.url,
        tokens: createTokens(() => anna.token),
        onState: (state: string) => void states.push(state),
      },
      ...{ deviceId: 'phone', transports: ['websocket'], runtime: createStillTime() },
    });
    try {
      proxy.delay(200);
      connection.start();
      for (const tries of [1, 2]) {
        await eventually(() => proxy.connections() === tries, 'it is tried');
        await eventually(() => {
          connection.wake();
          return connection.isOnline();
        }, 'online');
        expect(proxy.connections()).toBe(tries);
        proxy.cut();
        await eventually(() => states.at(-1) === 'offline', 'cut off');
        connection.wake();
      }
    } finally {
      connection.stop();
    }
  });

  test('U9 a token that comes late is taken by the next try; one that does not come in a minute is asked for again', async () => {
    const anna = await register(server.url, 'anna');
    // In the second try, in the pause before it, not at all, never, and when another one was asked for that never comes.
    const late: [comesAfter: number, asks: number, fails?: true][] = [
      [22_000, 1],
      [20_000, 1],
      [20_000, 2, true],
      [Number.POSITIVE_INFINITY, 2],
      [70_000, 2],
    ];
    for (const [comesAfter, asks, fails] of late) {
      const time = createStillTime();
      const first = Promise.withResolvers<string>();
      let asked = 0;
      const tokens = createTokens(() => {
        asked += 1;
        if (asked === 1) return first.promise;
        return comesAfter === 70_000 ? new Promise<never>(() => {}) : anna.token;
      });
      const connection = createConnection({
        ...{ url: server.url, tokens, onState: () => {}, runtime: time },
        ...{ deviceId: 'phone', transports: ['websocket'] },
      });
      try {
        connection.start();
        time.advance(Math.min(comesAfter, 70_000));
        if (fails) first.reject(new Error('no network'));
        else if (comesAfter <= 70_000) first.resolve(anna.token);
        await new Promise(setImmediate);
        time.advance(2_000);
        await eventually(() => connection.isOnline(), `online, though it comes after ${comesAfter} ms`);
      } finally {
        connection.stop();
      }
      expect(asked).toBe(asks);
    }
  });

  test('U8 a connection that only looks open is noticed when the app is looked at, and made anew', async () => {
    const [anna, ben] = await two();
    await using proxy = await startTcpProxy(server.url);
    using hers = start(proxy.url, anna);
    await synced(hers);
    proxy.freeze();
    using writer = await connect(server.url, ben.token);
    await writer.emitWithAck('send_message', { receiverId: anna.id, content: 'not heard' });
    expect(hers.getState().connection).toBe('online');
    hers.foreground();
    await until(hers, (state) => String(textsWith(state, ben.id)) === 'not heard', 'it is there');
    expect(proxy.connections()).toBeGreaterThan(1);
  });

  test('U8 a request of a chat is given up in the time of its chat', { timeout: 10_000 }, async () => {
    const anna = await register(server.url, 'anna');
    await using proxy = await startTcpProxy(server.url);
    proxy.lose(() => true);
    const time = createStillTime();
    const { api } = createChat({ url: proxy.url, getToken: () => anna.token, runtime: time });
    const asked = expect(api.unreadCount()).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    await eventually(() => proxy.connections() === 1, 'it is asked');
    time.advance(15_000);
    await asked;
  });

  test('U11 a receipt that got lost is told again', async () => {
    const [anna, ben] = await two();
    await using proxy = await startTcpProxy(server.url);
    using hers = start(server.url, anna);
    using his = start(proxy.url, ben);
    await Promise.all([synced(hers), synced(his)]);
    hers.send(ben.id, 'one');
    await shows(his, anna.id, ['one']);
    const state = () => messagesWith(hers.getState(), ben.id)[0]?.state;
    await until(hers, () => state() === 'delivered', 'delivered');
    // What comes after it: the acknowledgement of that has arrived too.
    hers.typing(ben.id);
    await until(his, ({ typing }) => typing[anna.id], 'typing');
    proxy.freeze();
    his.read(anna.id);
    expect(unreadOf(his.getState())).toBe(0);
    await eventually(() => proxy.swallowed() > 0, 'it is told, and lost');
    proxy.cut();
    await until(hers, () => state() === 'read', 'read');
    await synced(his);
    expect(unreadOf(his.getState())).toBe(0);
  });

  test('U9 it comes back by itself, again and again, and sends what was written meanwhile', async () => {
    const [anna, ben] = await two();
    await using proxy = await startTcpProxy(server.url);
    using hers = start(proxy.url, anna, { storage: memoryStorage(), runtime: hurried(5) });
    const texts: string[] = [];
    for (let i = 1; i <= 5; i++) {
      await synced(hers);
      proxy.cut();
      texts.push(`${i}`);
      hers.send(ben.id, `${i}`);
      await shows(hers, ben.id, texts);
    }
    expect(await stored(server.url, ben, anna.id)).toEqual(texts);
  });
});
