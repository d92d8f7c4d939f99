import { randomBytes } from 'node:crypto';
import { type Account, createAccounts } from '../accounts.ts';
import { type Driven, drive } from '../drive.ts';
import { median } from '../statistics.ts';
import { startSubject } from '../subject.ts';
import { startMemory } from './databases.ts';
import { type Joined, type NodesOptions, startNodes } from './nodes.ts';
import type { Part, Settings } from './part.ts';

const SOCKETS = 200;
const IN_FLIGHT = 4;
/**
 * As many for each process, so that all code has run as often: to compile it takes a tenth of the CPU until then, and a
 * deployment runs for days.
 */
const WARM_UP = { ms: 2_000, messages: 60_000 };
const MEASURE = { ms: 3_000, messages: 40_000 };

interface Measured {
  perSecond: number;
  /** For each message, in microseconds: all nodes and Redis, and Redis alone. */
  cpu: number;
  redis: number;
  p99: number;
}
type Measurement = Measured & { part: 'cpu'; what: string; round: number };

function closedLoop(accounts: Account[], processes: number) {
  const warmUp = { ...WARM_UP, messages: WARM_UP.messages * processes };
  return { what: 'closed', accounts, inFlight: IN_FLIGHT, warmUp, measure: MEASURE } as const;
}
const rateOf = ({ messages, seconds, p99 }: Driven) => ({ perSecond: messages / seconds, p99 });

/** Partners are 2i and 2i + 1: all combinations of their nodes come up equally often. */
function place(accounts: Account[], urls: string[]): Account[] {
  return accounts.map((account, i) => {
    const pair = i >> 1;
    const node = i % 2 === 0 ? pair : Math.floor(pair / urls.length);
    return { ...account, url: urls[node % urls.length] as string };
  });
}

async function relay(): Promise<Measured> {
  await using subject = await startSubject('relay');
  const driven = await drive(subject, closedLoop(await createAccounts('relay', subject.url, SOCKETS), 1));
  return { ...rateOf(driven), cpu: driven.cpuMicros, redis: 0 };
}

/** As in production, where messages are encrypted in the database. */
const encrypted = () => ({
  ENCRYPTION: 'on',
  KEY_RING_COMMAND: `echo bench:${randomBytes(32).toString('base64')}`,
});

async function joinedBy(joined: Joined, count: number, options: Pick<NodesOptions, 'mongoUrl' | 'settings'>) {
  await using nodes = await startNodes({ joined, count, ...options });
  const urls = nodes.all.map(({ url }) => url);
  let redis = 0;
  const cpuSeconds = () => {
    redis = nodes.redisCpuSeconds() - redis;
    return nodes.cpuSeconds();
  };
  const driven = await drive({ cpuSeconds }, closedLoop(place(await nodes.accounts(SOCKETS), urls), count));
  return { ...rateOf(driven), cpu: driven.cpuMicros, redis: (redis / driven.messages) * 1e6 };
}

/** What a message costs all nodes and Redis together, beside the bare relay in one process. */
export async function cpu({ quick, progress }: Settings): Promise<Part> {
  await using database = await startMemory();
  const { url: mongoUrl } = database;
  const subjects = {
    'bare relay': relay,
    'Duet, 1 node': () => joinedBy('duet', 1, { mongoUrl }),
    'Duet, 2 nodes': () => joinedBy('duet', 2, { mongoUrl }),
    'Duet, 2 nodes, encrypted': () => joinedBy('duet', 2, { mongoUrl, settings: encrypted() }),
    'Duet, 4 nodes': () => joinedBy('duet', 4, { mongoUrl }),
    'relay, classic adapter, 2 nodes': () => joinedBy('classic', 2, { mongoUrl }),
    'relay, sharded adapter, 2 nodes': () => joinedBy('sharded', 2, { mongoUrl }),
  };
  const records: Measurement[] = [];
  for (let round = 1; round <= (quick ? 1 : 3); round++) {
    for (const [what, measure] of Object.entries(subjects)) {
      const measured = await measure();
      records.push({ part: 'cpu', what, round, ...measured });
      progress(`${round} ${what}: ${measured.cpu.toFixed(1)} µs, ${measured.perSecond.toFixed(0)} a second`);
    }
  }
  const of = (what: string, value: keyof Measured) =>
    median(records.filter((record) => record.what === what).map((record) => record[value]));
  const ratio = (what: string) =>
    median(
      records
        .filter((record) => record.what === what)
        .map(
          ({ cpu, round }) => cpu / (records.find((one) => one.what === 'bare relay' && one.round === round)?.cpu ?? 1),
        ),
    );
  const rows = Object.keys(subjects).map((what) => [
    what,
    `${of(what, 'cpu').toFixed(1)} µs`,
    `${of(what, 'redis').toFixed(1)} µs`,
    `${ratio(what).toFixed(2)}x`,
    of(what, 'perSecond').toFixed(0),
    `${of(what, 'p99').toFixed(0)} ms`,
  ]);
  return {
    title: `CPU for each message, ${SOCKETS} sockets, closed loop of ${IN_FLIGHT}; all nodes and Redis, the database left out`,
    rows: [['', 'CPU', 'of it Redis', 'ratio', 'a second', 'ack p99'], ...rows],
    records,
  };
}
