import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import {
  connect,
  type DeployedNode,
  eventually,
  hasMongo,
  hasNginx,
  hasRedis,
  next,
  register,
  startCluster,
  startNginx,
  startServer,
  type TestUser,
  temporaryFolder,
} from '@duet/testkit';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type PreviousVersion, previousVersion } from './previous-version.ts';
import { MAIN } from './shapes.ts';
import { history, startTraffic } from './traffic.ts';

const PACE = { pairs: 6, paceMs: 60 };

let before: PreviousVersion;
beforeAll(() => {
  before = previousVersion();
});
afterAll(() => before?.[Symbol.dispose]());

/** A message from a device of one node to one of another: it comes live. */
async function reaches(from: { node: DeployedNode; user: TestUser }, to: { node: DeployedNode; user: TestUser }) {
  using sender = await connect(from.node.url, from.user.token);
  using receiver = await connect(to.node.url, to.user.token);
  const content = `from ${from.node.url} to ${to.node.url}`;
  const got = next(receiver, 'receive_message', ({ message }) => message.content === content);
  const ack = await sender.emitWithAck('send_message', { receiverId: to.user.id, content });
  expect(ack).toMatchObject({ ok: true });
  expect((await got).message._id).toBe(ack.data.message._id);
}

describe.skipIf(!(hasMongo() && hasRedis() && hasNginx()))('a rolling upgrade', () => {
  test('O25 nodes of the version before are replaced one by one under load, and one goes back', async () => {
    await using on = await startCluster({ main: before.main, mongo: true, redis: true, nginx: true });
    const [first, , last] = on.nodes as [DeployedNode, DeployedNode, DeployedNode];
    const replace = async (node: DeployedNode, main: string) => {
      expect(await node.process.stop()).toBe(0);
      await node.start(main);
      await eventually(async () => (await fetch(`${node.url}/ready`)).ok, 'it is ready');
    };
    const [alice, bob] = await Promise.all([register(first.url), register(last.url)]);
    using traffic = await startTraffic((i) => `${on.url}/?k=device-${i}`, PACE);
    await traffic.flows();
    for (const node of on.nodes) {
      await replace(node, MAIN);
      await traffic.flows();
      await reaches({ node: first, user: alice }, { node: last, user: bob });
      await reaches({ node: last, user: bob }, { node: first, user: alice });
    }
    await replace(last, before.main);
    await reaches({ node: first, user: alice }, { node: last, user: bob });
    await traffic.flows();
    await traffic.finish();
  });
});

describe('an upgrade of the embedded store', () => {
  test('O25 meanwhile the web client of either version is there whole, whoever is asked', async () => {
    await using stack = new AsyncDisposableStack();
    const versions = await Promise.all(
      ['old', 'new'].map(async (version) => {
        const node = createServer(({ url = '' }, response) => {
          response.writeHead(url.startsWith(`/assets/${version}`) ? 200 : 404).end();
        });
        stack.defer(() => void node.close());
        await once(node.listen(0, '127.0.0.1'), 'listening');
        return `127.0.0.1:${(node.address() as AddressInfo).port}`;
      }),
    );
    const nginx = stack.use(await startNginx(versions));
    const get = (path: string) => fetch(`http://127.0.0.1:${nginx.port}${path}`);
    // By another name each time: what was found once is kept.
    const files = Array.from({ length: 10 }, (_, i) => [`/assets/old-${i}.js`, `/assets/new-${i}.js`]).flat();
    for (const file of files) expect((await get(file)).status).toBe(200);
    expect((await get('/assets/no-such-file.js')).status).toBe(404);
  });

  test('O26 the file of the version before is brought up to date under it, and both go on with it', async () => {
    using folder = temporaryFolder();
    const environment = { DATA_DIR: folder.path };
    await using stack = new AsyncDisposableStack();
    const start = async (main: string) => {
      const server = await startServer(main, environment);
      stack.defer(() => server.kill());
      return server;
    };
    const old = await start(before.main);
    using earlier = await startTraffic(() => old.url, PACE);
    await earlier.flows();
    const young = await start(MAIN);
    using both = await startTraffic((i) => [old.url, young.url][i % 2] as string, PACE);
    await both.flows();
    await earlier.flows();
    const [one, two] = await Promise.all([register(old.url), register(young.url)]);
    using socket = await connect(old.url, one.token);
    await socket.emitWithAck('send_message', { receiverId: two.id, content: 'across' });
    expect((await history(young.url, two, one)).map(({ content }) => content)).toEqual(['across']);
    await earlier.finish();
    await both.finish();
    expect(await old.stop()).toBe(0);
    expect((await history(young.url, two, one)).map(({ content }) => content)).toEqual(['across']);
  });
});
