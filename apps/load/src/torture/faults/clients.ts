import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { DeployedNode } from '@duet/testkit/cluster';
import type { Device } from '../device.ts';
import { atMost, pause } from '../random.ts';
import { CLUSTER, type Fault, metric, proof, type Stage, service, until } from './stage.ts';

const MIB = 1024 ** 2;
/** What the packets that may wait for a socket take, and room for the rest of the work. */
const MOST_MIB = 300;
/** Who has no answer by then is for the judge. */
const WRITING_ENDS_MS = 120_000;
const CROWD = fileURLToPath(new URL('./crowd.ts', import.meta.url));

const slow: Fault = {
  name: 'slow-clients',
  expect:
    'Some clients have a narrow line (256 kbit/s) that loses every thirtieth packet. They are late, others are not, and nobody misses anything.',
  shapes: CLUSTER,
  network: true,
  async turn({ network, short, note }) {
    if (!network) throw new Error('no network namespaces');
    const loss = ['-i', 'narrow', '-m', 'statistic', '--mode', 'random', '--probability', '0.033', '-j', 'DROP'];
    note('narrow line');
    await using _ = await network.narrow('256kbit');
    await using rule = await network.rule('nginx', ['INPUT', ...loss]);
    await pause(short ? 4_000 : 20_000);
    // Few packets go by in a short turn, so that chance may spare all of them.
    const lost = await until('packets are lost', async () => (await rule.packets()) || undefined);
    return `${lost} packets lost on a line of 256 kbit/s`;
  },
};

/** Longer than it takes both sides to notice: a ping each 20 s, and 15 s for its answer. */
const HALF_OPEN_MS = 40_000;
const NOTICED = ['ping timeout', 'transport close'];

/** Counts how many of these clients find out that their connection is dead. */
function watchDeath(devices: Device[]): { count(): number } & Disposable {
  const dead = new Set<string>();
  const watched = devices.map(({ name, socket }) => {
    const onDisconnect = (reason: string) => void (NOTICED.includes(reason) && dead.add(name));
    socket.on('disconnect', onDisconnect);
    return () => socket.off('disconnect', onDisconnect);
  });
  return {
    count: () => dead.size,
    [Symbol.dispose]() {
      for (const forget of watched) forget();
    },
  };
}

export const halfOpen: Fault = {
  name: 'half-open',
  expect:
    'Some clients vanish without a word: nothing reaches them and nothing comes from them. Their sockets end after the ping timeout on both sides, and they come back as if from a tunnel.',
  shapes: CLUSTER,
  network: true,
  async turn({ network, load, short, note }) {
    if (!network) throw new Error('no network namespaces');
    const cut = load.devices.filter(({ url }) => new URL(url).hostname === network.slowAddress);
    await until(
      'clients are connected by the narrow line',
      () => cut.length > 0 && cut.every(({ socket }) => socket.connected),
    );
    note('the narrow line is cut');
    await using incoming = await network.rule('nginx', ['INPUT', '-i', 'narrow', '-j', 'DROP']);
    await using _ = await network.rule('nginx', ['OUTPUT', '-o', 'narrow', '-j', 'DROP']);
    // Not before the line is cut: what the clients themselves close by then is no proof.
    using deaths = watchDeath(cut);
    await pause(short ? HALF_OPEN_MS : HALF_OPEN_MS + 10_000);
    const packets = await incoming.packets();
    return proof(
      packets > 0 && deaths.count() > 0,
      `${packets} packets went nowhere, ${deaths.count()} of ${cut.length} clients noticed that their connection is dead`,
    );
  },
};

/** A client that is connected and does not read. */
function stopReading(device: Device): () => void {
  // biome-ignore lint/suspicious/noExplicitAny: the TCP socket of the stock client has no public way to it
  const tcp = (device.socket.io.engine.transport as any).ws?._socket;
  if (!tcp) throw new Error('the reader is not on a websocket');
  tcp.pause();
  return () => tcp.resume();
}

const closedForSlowness = (node: DeployedNode) => metric(node.url, 'duet_slow_consumers_total');

const slowConsumer: Fault = {
  name: 'slow-consumer',
  expect:
    'A client that stopped reading is sent thousands of messages. Its node closes it when too many wait, its memory stays flat, and the client catches up by sync.',
  shapes: [...CLUSTER, 'disk'],
  async turn(stage) {
    const { load, random, note } = stage;
    const node = random.pick(stage.on.nodes);
    const reader = await load.extra('slow', node.url);
    const writers = load.devices.filter(
      (device, i) => device.person.index % 4 === 0 && load.devices.findIndex((d) => d.person === device.person) === i,
    );
    for (const { person } of writers) load.acquaint(person, reader.person);
    const before = await closedForSlowness(node);
    const memory = await metric(node.url, 'process_resident_memory_bytes');
    const goOn = stopReading(reader);
    note(`person ${reader.person.index} stops reading`);
    const sent = { count: 0 };
    let closed = false;
    const write = async (device: Device) => {
      while (!closed && sent.count < 20_000) {
        sent.count += 10;
        await Promise.all(Array.from({ length: 10 }, () => device.send(reader.person, 3_900)));
      }
    };
    const writing = Promise.all(writers.map(write));
    await until('the slow reader is closed', async () => (await closedForSlowness(node)) > before).finally(() => {
      closed = true;
      goOn();
    });
    await atMost(WRITING_ENDS_MS, writing);
    const grown = ((await metric(node.url, 'process_resident_memory_bytes')) - memory) / MIB;
    return proof(
      grown < MOST_MIB,
      `${sent.count} messages sent to it, then closed; memory ${grown.toFixed(0)} MiB more`,
    );
  },
};

/** Sockets of a process of their own. */
async function crowdOf(stage: Stage, size: number) {
  const people = await Promise.all(Array.from({ length: 10 }, () => stage.load.register(stage.on.url)));
  const child = fork(CROWD);
  let connected = 0;
  child.on('message', (count: number) => (connected = count));
  child.send({ url: stage.on.url, tokens: people.map(({ token }) => token), size });
  return { connected: () => connected, [Symbol.dispose]: () => void child.kill('SIGKILL') };
}

const herd: Fault = {
  name: 'herd',
  expect:
    'Five thousand clients lose their connection at the same moment and come back, spread by their jitter. Those who were writing go on within 30 s.',
  shapes: CLUSTER,
  async turn(stage) {
    const size = stage.short ? 400 : 5_000;
    using crowd = await crowdOf(stage, size);
    await until('the crowd is there', () => crowd.connected() === size);
    const nginx = service(stage, 'nginx');
    stage.note(`${size} lose their connection`);
    await nginx.kill();
    await until('the crowd is gone', () => crowd.connected() === 0);
    await nginx.start();
    const begin = performance.now();
    await until('the crowd is back', () => crowd.connected() === size);
    return `${size} connections lost at once, all back after ${Math.round(performance.now() - begin)} ms`;
  },
};

export const clients = [slow, halfOpen, slowConsumer, herd];
