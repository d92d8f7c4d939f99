import { mean } from '../statistics.ts';
import { startClients } from './clients.ts';
import { startMemory } from './databases.ts';
import { type Joined, startNodes } from './nodes.ts';
import type { Part, Settings } from './part.ts';

const PEOPLE = 200;
const NODES = [1, 2, 4, 8];
const QUIET_MS = 1_000;

interface Counted {
  part: 'routing';
  joined: Joined;
  nodes: number;
  messages: number;
  /** What each node received from Redis for them. */
  received: number[];
  /** What all nodes together received for as many messages to people who are connected nowhere. */
  toNobody: number;
}

async function count(joined: Joined, nodes: number, { mongoUrl, messages }: { mongoUrl: string; messages: number }) {
  await using running = await startNodes({ joined, count: nodes, mongoUrl, taps: true });
  const people = await running.accounts(2 * PEOPLE);
  const [here, away] = [people.slice(0, PEOPLE), people.slice(PEOPLE)];
  const receivers = [here, away].map((some) => ({ ids: some.map(({ id }) => id), connected: some === here }));
  using clients = startClients({ what: 'scatter', accounts: here, receivers, messages });
  const measured: number[][] = [];
  await clients.step();
  for (let step = 0; step <= receivers.length; step++) {
    // News of who has come, and what nobody waits for, is not to be counted.
    await new Promise((resolve) => setTimeout(resolve, QUIET_MS));
    measured.push(running.received());
    if (step === receivers.length) break;
    clients.go();
    await clients.step();
  }
  const [before, afterHere, afterAway] = measured as [number[], number[], number[]];
  const received = afterHere.map((total, i) => total - (before[i] as number));
  const toNobody = afterAway.reduce((sum, total, i) => sum + total - (afterHere[i] as number), 0);
  return { part: 'routing', joined, nodes, messages, received, toNobody } satisfies Counted;
}

const range = (values: number[]) => `${Math.min(...values)}–${Math.max(...values)}`;

/** What each node receives from Redis when the same load is spread over more of them. */
export async function routing({ quick, progress }: Settings): Promise<Part> {
  await using database = await startMemory();
  const messages = quick ? 2_000 : 20_000;
  const records: Counted[] = [];
  for (const nodes of NODES) {
    for (const joined of ['duet', 'classic'] as const) {
      const counted = await count(joined, nodes, { mongoUrl: database.url, messages });
      progress(`${joined}, ${nodes} nodes: ${counted.received.join(' ')}; for messages to nobody ${counted.toNobody}`);
      records.push(counted);
    }
  }
  const of = (joined: Joined, nodes: number) =>
    records.find((one) => one.joined === joined && one.nodes === nodes) as Counted;
  const one = mean(of('duet', 1).received);
  const rows = NODES.map((nodes) => {
    const [ours, classic] = [of('duet', nodes), of('classic', nodes)];
    const each = mean(ours.received);
    return [
      String(nodes),
      each.toFixed(0),
      range(ours.received),
      (one / nodes).toFixed(0),
      `${(((each * nodes) / one - 1) * 100).toFixed(1)} %`,
      ((each * nodes) / messages).toFixed(2),
      (ours.toNobody / messages).toFixed(2),
      mean(classic.received).toFixed(0),
      ((mean(classic.received) * nodes) / messages).toFixed(2),
      (classic.toNobody / messages).toFixed(2),
    ];
  });
  const header = ['nodes', 'each receives', 'range', '1/N', 'off', 'a message', 'to nobody'];
  return {
    title: `Messages received from Redis for ${messages} messages between random pairs of ${PEOPLE} people; then the classic adapter`,
    rows: [[...header, 'classic: each', 'a message', 'to nobody'], ...rows],
    records,
  };
}
