import {
  connect,
  eventually,
  type HostApp,
  register,
  rest,
  type ServerProcess,
  startHostApp,
  startServer,
  type TestUser,
  temporaryFolder,
} from '@duet/testkit';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { memoryStorage } from '../src/index.ts';
import {
  catchErrors,
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

describe('two people with the SDK', () => {
  let folder: ReturnType<typeof temporaryFolder>;
  let server: ServerProcess;
  let host: HostApp;

  beforeAll(async () => {
    host = await startHostApp();
    folder = temporaryFolder();
    server = await startServer(MAIN, { DATA_DIR: folder.path, ...host.environment });
  });
  afterAll(async () => {
    await server?.kill();
    await host?.[Symbol.asyncDispose]();
    folder?.[Symbol.dispose]();
  });
  const two = () => Promise.all([register(server.url, 'anna'), register(server.url, 'ben')]);

  test('U1 they chat live and in order; a message is sent, delivered and read; the badge comes and goes', async () => {
    const [anna, ben] = await two();
    using hers = start(server.url, anna);
    await synced(hers);
    const stateOfLast = (peer: string) => messagesWith(hers.getState(), peer).at(-1)?.state;

    for (const text of ['one', 'two', 'three']) hers.send(ben.id, text);
    expect(textsWith(hers.getState(), ben.id)).toEqual(['one', 'two', 'three']);
    expect(stateOfLast(ben.id)).toBe('sending');
    await shows(hers, ben.id, ['one', 'two', 'three']);
    expect(stateOfLast(ben.id)).toBe('sent');

    using his = start(server.url, ben);
    await shows(his, anna.id, ['one', 'two', 'three']);
    await until(hers, () => stateOfLast(ben.id) === 'delivered', 'delivered');
    await synced(his);
    expect(his.getState().conversations?.map(({ peer, unreadCount }) => [peer.username, unreadCount])).toEqual([
      [anna.user.username, 3],
    ]);
    his.read(anna.id);
    expect(unreadOf(his.getState())).toBe(0);
    await until(hers, () => stateOfLast(ben.id) === 'read', 'read');
    expect(messagesWith(hers.getState(), ben.id).map(({ state }) => state)).toEqual(['read', 'read', 'read']);

    const heard: string[] = [];
    hers.on('message', ({ message, from }) => heard.push(`${from.username}: ${message.content}`));
    his.send(anna.id, 'four');
    await shows(hers, ben.id, ['one', 'two', 'three', 'four']);
    expect(heard).toEqual([`${ben.user.username}: four`]);
    expect(hers.getState().conversations?.[0]?.unreadCount).toBe(1);
  });

  test('U1 presence and typing come and go', async () => {
    const [anna, ben] = await two();
    using hers = start(server.url, anna);
    using his = start(server.url, ben);
    await Promise.all([synced(hers), synced(his)]);
    hers.send(ben.id, 'hello');
    await until(his, (state) => state.people[anna.id]?.isOnline, 'online');
    his.typing(anna.id);
    await until(hers, (state) => state.typing[ben.id], 'typing');
    his.send(anna.id, 'hi');
    await until(hers, (state) => !state.typing[ben.id] && textsWith(state, ben.id).length === 2, 'not typing');
    his.stop();
    await until(hers, (state) => state.people[ben.id]?.isOnline === false, 'offline');
    expect(hers.getState().people[ben.id]?.lastSeen).toEqual(expect.any(String));
  });

  test('U25 a chat that stops while a peer types, and starts again, does not show him typing for ever', async () => {
    const [anna, ben] = await two();
    using hers = start(server.url, anna);
    using his = start(server.url, ben);
    await Promise.all([synced(hers), synced(his)]);
    his.typing(anna.id);
    await until(hers, (state) => state.typing[ben.id], 'typing');
    hers.stop();
    expect(hers.getState().typing).toEqual({});
    his.stopTyping(anna.id);
    hers.start();
    await synced(hers);
    expect(hers.getState().typing).toEqual({});
  });

  test('U6 reading on one device clears the badge of the other; what one sends stands on both', async () => {
    const [anna, ben] = await two();
    using phone = start(server.url, anna);
    using desk = start(server.url, anna);
    using his = start(server.url, ben);
    await Promise.all([synced(phone), synced(desk), synced(his)]);
    his.send(anna.id, 'one');
    his.send(anna.id, 'two');
    await Promise.all([phone, desk].map((chat) => until(chat, (state) => unreadOf(state) === 2, 'two unread')));
    desk.read(ben.id);
    await until(phone, (state) => unreadOf(state) === 0, 'read elsewhere');
    phone.send(ben.id, 'three');
    await Promise.all([desk, his].map((chat) => shows(chat, chat === his ? anna.id : ben.id, ['one', 'two', 'three'])));
    expect(messagesWith(desk.getState(), ben.id).map(({ mine }) => mine)).toEqual([false, false, true]);
  });

  test('U28 of an own message both `message_sent` and the acknowledgement come: nobody hears twice of it', async () => {
    const [anna, ben] = await two();
    using hers = start(server.url, anna);
    await synced(hers);
    const seen: string[] = [];
    hers.subscribe(() => {
      const { content, state } = messagesWith(hers.getState(), ben.id).at(-1) ?? {};
      seen.push(`${content} ${state}`);
    });
    for (const text of ['one', 'two', 'three']) {
      hers.send(ben.id, text);
      await until(hers, () => seen.at(-1) === `${text} sent`, `${text} is sent`);
    }
    // What else there was to hear of the first two was heard before the third one.
    expect(seen).toEqual(['one sending', 'one sent', 'two sending', 'two sent', 'three sending', 'three sent']);
  });

  test('U5 a long list of unread conversations is known at once, agrees with the server, and pages back to the start', async () => {
    const anna = await register(server.url, 'anna');
    const peers = await Promise.all(Array.from({ length: 3 }, (_, i) => register(server.url, `peer${i}`)));
    for (const [i, peer] of peers.entries()) {
      using socket = await connect(server.url, peer.token);
      for (let n = 1; n <= 30 * (i + 1); n++)
        await socket.emitWithAck('send_message', { receiverId: anna.id, content: `${n}` });
    }
    using hers = start(server.url, anna);
    await synced(hers);
    const { body } = await rest(server.url, '/messages/unread/count', { token: anna.token });
    expect(unreadOf(hers.getState())).toBe(body.data.unreadCount);
    expect(unreadOf(hers.getState())).toBe(180);
    const peer = peers[2]?.id as string;
    expect(hers.getState().conversations?.map(({ peer: { id } }) => id)).toEqual(peers.map(({ id }) => id).reverse());
    await hers.open(peer);
    while (hers.getState().threads[peer]?.hasOlder) await hers.older(peer);
    expect(textsWith(hers.getState(), peer)).toEqual(Array.from({ length: 90 }, (_, i) => `${i + 1}`));
    hers.read(peer);
    await eventually(async () => {
      const answer = await rest(server.url, '/messages/unread/count', { token: anna.token });
      return answer.body.data.unreadCount === 90 && unreadOf(hers.getState()) === 90;
    }, 'both count what is left');
  });

  test('U14 a text larger than a packet may be is refused here: it costs no connection, and holds up nothing', async () => {
    const [anna, ben] = await two();
    const storage = memoryStorage();
    using hers = start(server.url, anna, { storage });
    await synced(hers);
    const connections = new Set<string>();
    hers.subscribe(() => connections.add(hers.getState().connection));
    hers.send(ben.id, 'x'.repeat(70_000));
    hers.send(ben.id, 'after');
    await until(hers, (state) => messagesWith(state, ben.id)[0]?.seq === 1, 'the next one is sent');
    const [first, second] = messagesWith(hers.getState(), ben.id);
    expect([first?.content, second?.state, second?.problem]).toEqual(['after', 'failed', 'The request is too large']);
    expect([...connections]).toEqual(['online']);
    hers.discard(ben.id, second?.key as string);
    expect(textsWith(hers.getState(), ben.id)).toEqual(['after']);
    await eventually(async () => (await storage.list(anna.id)).length === 0, 'nothing is left on the device');
  });

  test('U14 a message that the server does not take says why, also after a new start, and can be sent again or given up', async () => {
    const [anna, ben] = await two();
    const storage = memoryStorage();
    using hers = start(server.url, anna, { storage });
    await synced(hers);
    const failed = new Promise<string>((resolve) => hers.on('failed', ({ message }) => resolve(message.key)));
    hers.send(ben.id, 'x'.repeat(4_001));
    hers.send(ben.id, 'after it');
    const key = await failed;
    await until(hers, (state) => messagesWith(state, ben.id).some(({ seq }) => seq === 1), 'the next one is sent');
    const [first, second] = messagesWith(hers.getState(), ben.id);
    expect([first?.content, second?.state, second?.problem]).toEqual([
      'after it',
      'failed',
      expect.stringContaining('4000'),
    ]);
    const again = new Promise((resolve) => hers.on('failed', resolve));
    hers.retry(ben.id, key);
    expect(messagesWith(hers.getState(), ben.id)[1]?.state).toBe('sending');
    await again;
    hers.stop();
    using later = start(server.url, anna, { storage });
    await until(later, (state) => messagesWith(state, ben.id)[1]?.problem, 'it still says why after a new start');
    later.discard(ben.id, key);
    expect(textsWith(later.getState(), ben.id)).toEqual(['after it']);
    await eventually(async () => (await storage.list(anna.id)).length === 0, 'nothing is left on the device');
  });

  test('U35 a device that does not answer holds up nothing, and the app is told', async () => {
    const [anna, ben] = await two();
    const storage = { ...memoryStorage(), put: () => new Promise<never>(() => {}) };
    using hers = start(server.url, anna, { storage, runtime: hurried(10) });
    const told: unknown[] = [];
    hers.on('notKept', ({ error }) => told.push(error));
    hers.send(ben.id, 'one');
    hers.send(ben.id, 'two');
    await shows(hers, ben.id, ['one', 'two']);
    expect(told.map(String)).toEqual(Array(2).fill('Error: The device does not answer'));
  });

  test('U14 a message that was refused stands for its conversation until something comes after it', async () => {
    const [anna, ben] = await two();
    using hers = start(server.url, anna);
    using his = start(server.url, ben);
    await Promise.all([synced(hers), synced(his)]);
    const last = () => {
      const { content, state } = hers.getState().conversations?.[0]?.lastMessage ?? {};
      return [content, state];
    };
    hers.send(ben.id, 'first');
    await shows(hers, ben.id, ['first']);
    const long = 'x'.repeat(4_001);
    const failed = new Promise((resolve) => hers.on('failed', resolve));
    hers.send(ben.id, long);
    await failed;
    expect(last()).toEqual([long, 'failed']);
    his.send(anna.id, 'after it');
    await until(hers, (state) => textsWith(state, ben.id).includes('after it'), 'an answer comes');
    expect(last()).toEqual(['after it', 'received']);
    expect(textsWith(hers.getState(), ben.id)).toEqual(['first', 'after it', long]);
  });

  test('U22 a user of a host application chats like any other: own messages stand with the peer, on all devices', async () => {
    const ben = await register(server.url, 'ben');
    const ada = { token: host.token('ada', { name: 'Ada' }) };
    using hers = start(server.url, ada);
    using desk = start(server.url, ada);
    using his = start(server.url, ben);
    await Promise.all([synced(hers), synced(desk), synced(his)]);
    const id = hers.getState().me?._id as string;
    hers.send(ben.id, 'one');
    hers.send(ben.id, 'two');
    await Promise.all([hers, desk].map((chat) => shows(chat, ben.id, ['one', 'two'])));
    await shows(his, id, ['one', 'two']);
    his.send(id, 'three');
    await Promise.all([hers, desk].map((chat) => shows(chat, ben.id, ['one', 'two', 'three'])));
    expect(messagesWith(desk.getState(), ben.id).map(({ mine }) => mine)).toEqual([true, true, false]);
    for (const { getState } of [hers, desk]) {
      expect(Object.keys(getState().threads)).toEqual([ben.id]);
      expect(getState().conversations?.map(({ peer, unreadCount }) => [peer.id, unreadCount])).toEqual([[ben.id, 1]]);
      expect(getState().people).not.toHaveProperty(id);
    }
  });

  test('U22 what a user of a host application wrote offline is his alone, and is sent when he is back', async () => {
    const ben = await register(server.url, 'ben');
    const storage = memoryStorage();
    const [ada, bob] = ['ada2', 'bob2'].map((sub) => ({ token: host.token(sub, { name: sub }) })) as [
      { token: string },
      { token: string },
    ];
    {
      using offline = start('http://127.0.0.1:9', ada, { storage });
      offline.send(ben.id, 'one');
      offline.send(ben.id, 'two');
      await eventually(async () => (await storage.list('ada2')).length === 2, 'kept on the device');
    }
    let { token } = bob;
    using other = start(server.url, bob, { storage, getToken: () => token });
    await synced(other);
    other.send(ben.id, 'from bob');
    await shows(other, ben.id, ['from bob']);
    token = ada.token;
    other.background();
    other.foreground();
    await until(other, ({ connection }) => connection === 'refused', 'a chat keeps to its user');
    using hers = start(server.url, ada, { storage });
    await synced(hers);
    const isSent = (seqs: unknown[]) => String(seqs) === '1,2';
    await until(hers, (state) => isSent(messagesWith(state, ben.id).map(({ seq }) => seq)), 'sent, also unopened');
    expect(await stored(server.url, ada, ben.id)).toEqual(['one', 'two']);
  });

  test('U23 what a listener of the app throws the app gets to see; it stops nothing, and hides nothing from others', async () => {
    const [anna, ben] = await two();
    using hers = start(server.url, anna);
    using his = start(server.url, ben);
    await Promise.all([synced(hers), synced(his)]);
    using thrown = catchErrors();
    const fail = () => {
      throw new Error('of the app');
    };
    const heard: string[] = [];
    for (const name of ['message', 'failed'] as const) {
      hers.on(name, fail);
      hers.on(name, ({ message }) => heard.push(message.content));
    }
    const end = hers.subscribe(fail);
    const long = 'x'.repeat(4_001);
    for (const text of [long, 'one', 'two']) hers.send(ben.id, text);
    await shows(his, anna.id, ['one', 'two']);
    // It is told behind the one that throws, whose error has come when this is done.
    const told = new Promise((resolve) => hers.on('message', resolve));
    his.send(anna.id, 'three');
    await told;
    await until(hers, (state) => String(textsWith(state, ben.id)) === `one,two,three,${long}`, 'all is shown');
    end();
    expect(heard).toEqual([long, 'three']);
    expect(new Set(thrown.errors.map(String))).toEqual(new Set(['Error: of the app']));
  });

  test('U24 whoever hears of a message finds it in the state, live or missed before', async () => {
    const [anna, ben] = await two();
    using hers = start(server.url, anna);
    using his = start(server.url, ben);
    await Promise.all([synced(hers), synced(his)]);
    const heard: unknown[] = [];
    hers.on('message', ({ peerId, message, from }) => {
      const { conversations, people } = hers.getState();
      const [{ peer, lastMessage, unreadCount } = {}] = conversations ?? [];
      const isThere =
        messagesWith(hers.getState(), peerId).includes(message) && peer === from && people[peerId] === from;
      heard.push([message.content, isThere, lastMessage?.content, unreadCount]);
    });
    for (const text of ['one', 'two']) {
      his.send(anna.id, text);
      await until(hers, (state) => textsWith(state, ben.id).at(-1) === text, text);
    }
    hers.background();
    for (const text of ['three', 'four']) his.send(anna.id, text);
    await shows(his, anna.id, ['one', 'two', 'three', 'four']);
    hers.foreground();
    await until(hers, (state) => state.synced && unreadOf(state) === 4, 'all are known');
    expect(heard).toEqual([
      ['one', true, 'one', 1],
      ['two', true, 'two', 2],
      ['three', true, 'four', 4],
      ['four', true, 'four', 4],
    ]);
  });

  test('U33 after a gap all are shown as they are, also those far down the list; of others it is not known', async () => {
    const [anna, ben, stranger] = await Promise.all(['anna', 'ben', 'zoe'].map((name) => register(server.url, name)));
    if (!anna || !ben || !stranger) throw new Error('nobody');
    const peers = await Promise.all(
      Array.from({ length: 100 }, async (_, i) => {
        const token = host.token(`peer${i}`, { name: `peer${i}` });
        return (await rest(server.url, '/auth/me', { token })).body.data.user._id as string;
      }),
    );
    {
      using socket = await connect(server.url, anna.token);
      for (const receiverId of [ben.id, ...peers])
        await socket.emitWithAck('send_message', { receiverId, content: 'hello' });
    }
    using hers = start(server.url, anna);
    await synced(hers);
    await until(hers, ({ conversations }) => conversations?.at(-1)?.peer.id === ben.id, 'all are listed');
    const isOnline = ({ id }: TestUser) => hers.getState().people[id]?.isOnline;
    {
      using _ = await connect(server.url, stranger.token);
      await hers.findPeople({ q: stranger.user.username });
      expect([isOnline(ben), isOnline(stranger)]).toEqual([false, true]);
      hers.background();
    }
    using _his = await connect(server.url, ben.token);
    using _theirs = await connect(server.url, stranger.token);
    const told = new Promise<void>((resolve) => hers.on('presence', resolve));
    hers.foreground();
    await until(hers, () => isOnline(ben), 'he is seen');
    await told;
    expect(isOnline(stranger)).toBe(false);
    await hers.findPeople({ q: stranger.user.username });
    expect(isOnline(stranger)).toBe(true);
  });

  test('U40 what was read on another device is no news on this one', async () => {
    const [anna, ben] = await two();
    using phone = start(server.url, anna);
    using desk = start(server.url, anna);
    using his = start(server.url, ben);
    await Promise.all([synced(phone), synced(desk), synced(his)]);
    const heard: string[] = [];
    desk.on('message', ({ message }) => heard.push(message.content));
    desk.background();
    for (const text of ['one', 'two']) his.send(anna.id, text);
    await shows(phone, ben.id, ['one', 'two']);
    phone.read(ben.id);
    await until(his, (state) => messagesWith(state, anna.id).at(-1)?.state === 'read', 'read on the phone');
    his.send(anna.id, 'three');
    await shows(phone, ben.id, ['one', 'two', 'three']);
    desk.foreground();
    await until(desk, (state) => textsWith(state, ben.id).length === 3, 'all are there');
    expect(heard).toEqual(['three']);
  });
});
