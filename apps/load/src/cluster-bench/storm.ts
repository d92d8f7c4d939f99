import type { Account } from '../accounts.ts';
import { startClients } from './clients.ts';
import { startMemory } from './databases.ts';
import { startNodes } from './nodes.ts';
import type { Part, Settings } from './part.ts';
import type { Sent, Written } from './writers-clients.ts';

const NODES = 3;
const OTHERS = 200;
const PER_SECOND = 200;

/** Acknowledged messages that their receivers neither got live nor find in the history. */
async function countLost(sent: Sent[], received: Set<string>, accounts: Map<string, Account>): Promise<number> {
  let lost = 0;
  for (const { id, sender, receiver } of sent) {
    if (received.has(id)) continue;
    const { url, auth } = accounts.get(receiver) as Account;
    const headers = { authorization: `Bearer ${auth.token}` };
    const response = await fetch(`${url}/api/messages/${sender}?limit=100`, { headers });
    const { data } = (await response.json()) as { data: { messages: { _id: string }[] } };
    if (!data.messages.some((message) => message._id === id)) lost += 1;
  }
  return lost;
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** A node dies; all its clients come to the others at once, whose own clients go on writing. */
export async function storm({ quick, progress }: Settings): Promise<Part> {
  await using database = await startMemory();
  await using nodes = await startNodes({ joined: 'duet', count: NODES, mongoUrl: database.url });
  const size = quick ? 500 : 5_000;
  const accounts = await nodes.accounts(size + OTHERS);
  const [dying, ...living] = nodes.all as [(typeof nodes.all)[0], ...typeof nodes.all];
  const refuges = living.map(({ url }) => url);
  const others = accounts.slice(size).map((account, i) => ({ ...account, url: refuges[i % refuges.length] as string }));
  const doomed = accounts.slice(0, size).map((account) => ({ ...account, url: dying.url }));
  using crowd = startClients({ what: 'crowd', accounts: doomed, refuges });
  await crowd.step();
  progress(`${size} are connected to the node that will die`);
  const receivers = accounts.map(({ id }) => id);
  using writers = startClients({ what: 'writers', accounts: others, receivers, perSecond: PER_SECOND });
  const written = [await writers.step()];
  const take = async () => {
    writers.go();
    const window = await writers.step();
    written.push(window);
    return window;
  };

  await pause(quick ? 4_000 : 12_000);
  const calm = await take();
  progress(`calm: ack p99 ${calm.p99.toFixed(1)} ms`);
  const cpuSeconds = () => living.reduce((sum, node) => sum + node.cpuSeconds(), nodes.redisCpuSeconds());
  const cpuBefore = cpuSeconds();
  await dying.kill();
  crowd.go();
  const { backMs } = await crowd.step();
  const during = await take();
  const cpu = cpuSeconds() - cpuBefore;
  progress(`all back after ${backMs.toFixed(0)} ms; ack p99 ${during.p99.toFixed(1)} ms`);
  // What has just been sent may be under way.
  await pause(2_000);
  await take();
  crowd.go();
  const { received } = await crowd.step();
  const live = new Set(written.flatMap((window) => window.received).concat(received));
  const found = new Map(accounts.map((account) => [account.id, { ...account, url: refuges[0] as string }]));
  // The last ones may still be on their way.
  const lost = await countLost(
    written.slice(0, -1).flatMap(({ sent }) => sent),
    live,
    found,
  );
  return tableOf({ size, backMs, lost, cpu, calm: windowOf(calm), during: windowOf(during) });
}

const windowOf = ({ p50, p99, sent }: Written) => ({ p50, p99, acknowledged: sent.length });

interface Stormed {
  size: number;
  calm: ReturnType<typeof windowOf>;
  during: ReturnType<typeof windowOf>;
  backMs: number;
  lost: number;
  /** Of the nodes that are left, and Redis, from the death to the last one back; in seconds. */
  cpu: number;
}

function tableOf(stormed: Stormed): Part {
  const { size, calm, during, backMs, lost, cpu } = stormed;
  const ms = (value: number) => `${value.toFixed(1)} ms`;
  const ratio = (name: 'p50' | 'p99') => `${(during[name] / calm[name]).toFixed(2)}x`;
  return {
    title: `${size} sockets lose their node, ${NODES - 1} nodes are left; ${OTHERS} people there send ${PER_SECOND} messages a second`,
    rows: [
      ['', 'calm', 'meanwhile', 'ratio'],
      ['ack p50', ms(calm.p50), ms(during.p50), ratio('p50')],
      ['ack p99', ms(calm.p99), ms(during.p99), ratio('p99')],
      ['acknowledged', String(calm.acknowledged), String(during.acknowledged), ''],
      ['all back after', '', `${(backMs / 1000).toFixed(1)} s`, ''],
      ['CPU for each that came back', '', `${((cpu / size) * 1e6).toFixed(0)} µs`, ''],
      ['lost messages', '', String(lost), ''],
    ],
    records: [{ part: 'storm', ...stormed }],
  };
}
