import type { HostName } from '@duet/testkit/cluster';
import type { Network, Rule } from '../network.ts';
import { pause } from '../random.ts';
import { allReady, CLUSTER, type Fault, type Stage, until, watchGaps } from './stage.ts';

type Backing = 'redis' | 'mongo';
const DROP = ['-j', 'DROP'];
/** A node asks Redis every 5 s whether it is there, and gives it 1 s: no node misses a cut of this length. */
const SHORT_MS = { redis: 8_000, mongo: 4_000 };
const LONG_MS = 12_000;
const REJECT = ['-p', 'tcp', '-j', 'REJECT', '--reject-with', 'tcp-reset'];

const networkOf = ({ network }: Stage): Network => {
  if (!network) throw new Error('no network namespaces');
  return network;
};

/** Keeps a host from hearing another one. */
interface Deafness {
  ears: HostName;
  mouth: HostName;
  how: string[];
}

const packetsOf = async (rules: Rule[]): Promise<number> =>
  (await Promise.all(rules.map((rule) => rule.packets()))).reduce((a, b) => a + b, 0);

interface Cut {
  backing: Backing;
  what: string;
  deafnessOf: (node: HostName) => Deafness[];
}

/** Cuts some nodes off, for a while. */
async function cut(stage: Stage, { backing, what, deafnessOf }: Cut): Promise<string> {
  const { random, on } = stage;
  const network = networkOf(stage);
  const all = on.nodes.map((_, i): HostName => `node${i}`);
  const nodes = random.chance(0.5) ? all : [random.pick(all)];
  const deaf = on.nodes.filter((_, i) => nodes.includes(`node${i}`));
  // Live events go by Redis alone.
  const gapsTold = backing === 'redis' ? await watchGaps(stage, deaf) : async () => {};
  await using rules = new AsyncDisposableStack();
  stage.note(`${what}: ${nodes}`);
  const made = new Map<HostName, Rule[]>(nodes.map((node) => [node, []]));
  for (const [node, its] of made) {
    // Each as it is made, so that none stays when the next one fails.
    for (const { ears, mouth, how } of deafnessOf(node))
      its.push(rules.use(await network.rule(ears, ['INPUT', '-s', network.host(mouth).address, ...how])));
  }
  await pause(stage.short ? SHORT_MS[backing] : LONG_MS);
  const met: string[] = [];
  // A node that has little to say gets the time for it.
  for (const [node, its] of made)
    met.push(
      `${node} ${await until(`packets of ${node} met the firewall`, async () => (await packetsOf(its)) || undefined)}`,
    );
  await rules.disposeAsync();
  await gapsTold();
  await allReady(stage);
  return `packets that met the firewall: ${met.join(', ')}`;
}

function partitionsOf(backing: Backing, meanwhile: string): Fault[] {
  const name = backing === 'mongo' ? 'db' : 'redis';
  const title = backing === 'mongo' ? 'MongoDB' : 'Redis';
  const common = { shapes: CLUSTER, network: true } as const;
  return [
    {
      ...common,
      name: `${name}-silent`,
      expect: `One node or all hear nothing of ${title}, and it nothing of them: packets vanish. ${meanwhile}`,
      turn: (stage) =>
        cut(stage, {
          backing,
          what: `${backing} vanishes`,
          deafnessOf: (node) => [
            { ears: backing, mouth: node, how: DROP },
            { ears: node, mouth: backing, how: DROP },
          ],
        }),
    },
    {
      ...common,
      name: `${name}-loud`,
      expect: `${title} refuses the connections of one node or all. ${meanwhile}`,
      turn: (stage) =>
        cut(stage, {
          backing,
          what: `${backing} refuses`,
          deafnessOf: (node) => [{ ears: backing, mouth: node, how: REJECT }],
        }),
    },
    {
      ...common,
      name: `${name}-oneway`,
      expect: `Packets vanish on the way to ${title}, or on the way back, so that what was asked may have been done. ${meanwhile}`,
      turn: (stage) => {
        const toBacking = stage.random.chance(0.5);
        return cut(stage, {
          backing,
          what: `${backing} ${toBacking ? 'hears nothing' : 'is not heard'}`,
          deafnessOf: (node) => [
            toBacking ? { ears: backing, mouth: node, how: DROP } : { ears: node, mouth: backing, how: DROP },
          ],
        });
      },
    },
  ];
}

export const partitions = [
  ...partitionsOf(
    'redis',
    'Sends are acknowledged within their deadline, live events get lost, and the gap is told when it is over.',
  ),
  ...partitionsOf(
    'mongo',
    'Requests end within a deadline with a retryable answer; what is repeated is stored once; readiness is false.',
  ),
];
