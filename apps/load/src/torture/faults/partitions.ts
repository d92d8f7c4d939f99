import type { HostName } from '@duet/testkit/cluster';
import type { Network, Rule } from '../network.ts';
import { pause } from '../random.ts';
import { allReady, type Fault, proof, type Stage } from './stage.ts';

type Backing = 'redis' | 'mongo';
const DROP = ['-j', 'DROP'];
const REJECT = ['-p', 'tcp', '-j', 'REJECT', '--reject-with', 'tcp-reset'];

const networkOf = ({ network }: Stage): Network => {
  if (!network) throw new Error('no network namespaces');
  return network;
};

/** Keeps a host from hearing another one. */
const deafen = (network: Network, ears: HostName, { mouth, how }: { mouth: HostName; how: string[] }): Promise<Rule> =>
  network.rule(ears, ['INPUT', '-s', network.host(mouth).address, ...how]);

/** Cuts some nodes off, for a while. */
async function cut(
  stage: Stage,
  what: string,
  rulesOf: (network: Network, node: HostName) => Promise<Rule>[],
): Promise<string> {
  const { random, on } = stage;
  const network = networkOf(stage);
  const all = on.nodes.map((_, i): HostName => `node${i}`);
  const nodes = random.chance(0.5) ? all : [random.pick(all)];
  await using rules = new AsyncDisposableStack();
  stage.note(`${what}: ${nodes}`);
  const made = (await Promise.all(nodes.flatMap((node) => rulesOf(network, node)))).map((rule) => rules.use(rule));
  await pause(stage.short ? 4_000 : 12_000);
  const packets = (await Promise.all(made.map((rule) => rule.packets()))).reduce((a, b) => a + b, 0);
  await rules.disposeAsync();
  await allReady(stage);
  return proof(packets > 0, `${nodes}: ${packets} packets met the firewall`);
}

function partitionsOf(backing: Backing, meanwhile: string): Fault[] {
  const name = backing === 'mongo' ? 'db' : 'redis';
  const title = backing === 'mongo' ? 'MongoDB' : 'Redis';
  const common = { shape: 'cluster', network: true } as const;
  return [
    {
      ...common,
      name: `${name}-silent`,
      expect: `One node or all hear nothing of ${title}, and it nothing of them: packets vanish. ${meanwhile}`,
      turn: (stage) =>
        cut(stage, `${backing} vanishes`, (network, node) => [
          deafen(network, backing, { mouth: node, how: DROP }),
          deafen(network, node, { mouth: backing, how: DROP }),
        ]),
    },
    {
      ...common,
      name: `${name}-loud`,
      expect: `${title} refuses the connections of one node or all. ${meanwhile}`,
      turn: (stage) =>
        cut(stage, `${backing} refuses`, (network, node) => [deafen(network, backing, { mouth: node, how: REJECT })]),
    },
    {
      ...common,
      name: `${name}-oneway`,
      expect: `Packets vanish on the way to ${title}, or on the way back, so that what was asked may have been done. ${meanwhile}`,
      turn: (stage) => {
        const toBacking = stage.random.chance(0.5);
        return cut(stage, `${backing} ${toBacking ? 'hears nothing' : 'is not heard'}`, (network, node) => [
          toBacking
            ? deafen(network, backing, { mouth: node, how: DROP })
            : deafen(network, node, { mouth: backing, how: DROP }),
        ]);
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
