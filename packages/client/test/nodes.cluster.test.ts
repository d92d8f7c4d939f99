import { connect } from 'node:net';
import {
  type DeployedNode,
  type Deployment,
  eventually,
  hasMongo,
  hasNginx,
  hasRedis,
  register,
  startCluster,
  startTcpProxy,
} from '@duet/testkit';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { hurried, loseLists, MAIN, messagesWith, start, stored, synced, textsWith, unreadOf, until } from './people.ts';

const EACH = 45;

describe.skipIf(!(hasMongo() && hasRedis() && hasNginx()))('the SDK on a cluster', () => {
  let on: Deployment;
  beforeAll(async () => {
    on = await startCluster({ main: MAIN, mongo: true, redis: true, nginx: true });
  });
  afterAll(() => on?.[Symbol.asyncDispose]());

  test('U20 two people write to each other while one node after the other dies: all devices show all, once and in one order', async () => {
    const [anna, ben] = await Promise.all([register(on.url, 'anna'), register(on.url, 'ben')]);
    const [one, two, three] = on.nodes as [DeployedNode, DeployedNode, DeployedNode];
    // Two by nginx, which leads them to another node when theirs dies, and two that wait for theirs.
    using hers = start(on.url, anna);
    using his = start(on.url, ben);
    using herOther = start(three.url, anna);
    using hisOther = start(two.url, ben);
    await Promise.all([hers, his, herOther, hisOther].map(synced));
    for (const chat of [hers, herOther]) await chat.open(ben.id);
    for (const chat of [his, hisOther]) await chat.open(anna.id);

    const places = Array.from({ length: 2 * EACH }, (_, i) => i + 1);
    type State = ReturnType<typeof hers.getState>;
    const storedOf = (state: State, peer: string) => messagesWith(state, peer).filter(({ seq }) => seq !== undefined);
    let sent = 0;
    const write = () => {
      for (const end = sent + EACH / 3; sent < end; sent++) {
        hers.send(ben.id, `a${sent}`);
        his.send(anna.id, `b${sent}`);
      }
    };
    for (const node of [one, two, three]) {
      const before = 2 * sent;
      write();
      // In the middle of them.
      await until(hers, (state) => storedOf(state, ben.id).length > before + 3, 'some are stored');
      await node.process.kill();
      await until(his, (state) => storedOf(state, anna.id).length === 2 * sent, 'the nodes that are left store all');
      await node.start();
    }

    const isWhole = (peer: string) => (state: State) =>
      state.synced && String(storedOf(state, peer).map(({ seq }) => seq)) === String(places);
    for (const chat of [hers, herOther]) await until(chat, isWhole(ben.id), 'hers shows all');
    for (const chat of [his, hisOther]) await until(chat, isWhole(anna.id), 'his shows all');
    const order = textsWith(hers.getState(), ben.id);
    for (const part of ['a', 'b'])
      expect(order.filter((text) => text.startsWith(part))).toEqual(
        Array.from({ length: EACH }, (_, i) => `${part}${i}`),
      );
    expect(textsWith(herOther.getState(), ben.id)).toEqual(order);
    for (const chat of [his, hisOther]) expect(textsWith(chat.getState(), anna.id)).toEqual(order);
    expect(await stored(on.url, anna, ben.id)).toEqual(order);

    hers.read(ben.id);
    his.read(anna.id);
    for (const chat of [hers, his, herOther, hisOther])
      await until(chat, (state) => state.synced && unreadOf(state) === 0, 'what is read on one device is read on all');
  });

  test('U33 who has gone in a gap of live events is seen to have gone when it is over', async () => {
    const [anna, ben] = await Promise.all([register(on.url, 'anna'), register(on.url, 'ben')]);
    const [one, two] = on.nodes as [DeployedNode, DeployedNode];
    await using proxy = await startTcpProxy(one.url);
    using hers = start(proxy.url, anna, { runtime: hurried(20) });
    await synced(hers);
    const seen = (isOnline: boolean) => (state: ReturnType<typeof hers.getState>) =>
      state.conversations?.some(({ peer }) => peer.id === ben.id && peer.isOnline === isOnline);
    {
      using his = start(two.url, ben);
      await synced(his);
      his.send(anna.id, 'hello');
      await until(hers, seen(true), 'he is here');
    }
    let isTold = false;
    proxy.lose((text) => {
      const isLost = text.includes('"user_status"') && text.includes(ben.id);
      isTold ||= isLost;
      return isLost;
    });
    await eventually(() => isTold, 'she does not hear that he has gone');
    // A load balancer may give REST back later than live events come again.
    const lost = loseLists(proxy, 2);
    // The nodes' subscriptions alone are lost: nobody comes or goes with them.
    const { hostname, port } = new URL(on.redis?.url as string);
    connect(Number(port), hostname).end('CLIENT KILL TYPE pubsub\r\n').resume();
    await until(hers, seen(false), 'he has gone');
    expect(lost()).toBe(2);
  });
});
