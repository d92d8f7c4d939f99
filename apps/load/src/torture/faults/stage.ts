import { readFileSync } from 'node:fs';
import { createConnection } from 'node:net';
import type { DeployedNode, Deployment, ServiceProcess } from '@duet/testkit/cluster';
import type { Load } from '../load.ts';
import type { Network } from '../network.ts';
import { pause, type Random } from '../random.ts';
import type { Tally } from '../tally.ts';

/** What a fault may break, and what it may look at. */
export interface Stage {
  on: Deployment;
  /** undefined where this machine gives none. */
  network: Network | undefined;
  /** Where the embedded store's files are. */
  disk: string | undefined;
  load: Load;
  tally: Tally;
  random: Random;
  /** Short turns, for a run of seconds. */
  short: boolean;
  /** Writes a step of a fault into the history. */
  note(what: string): void;
}

/** Three nodes behind nginx with Redis and MongoDB; those with clocks that can be moved; or one node on a small disk. */
export type FaultShape = 'cluster' | 'clocks' | 'disk';

/** A cluster is one as well when its clocks can be moved. */
export const CLUSTER: readonly FaultShape[] = ['cluster', 'clocks'];

export interface Fault {
  name: string;
  /** Written before it was first run: what the system does, and what its clients notice. */
  expect: string;
  /** What it can break, as it is by itself first. */
  shapes: readonly FaultShape[];
  /** It cuts hosts off, so it needs network namespaces. */
  network?: true;
  /**
   * Breaks something and mends it again.
   * @returns what proves that it happened
   * @throws Error when nothing does
   */
  turn(stage: Stage): Promise<string>;
}

/** Long: machines are slow, and whoever finds what he waits for does not wait. */
const WAIT_MS = 180_000;

/** Asks until there is an answer. @throws Error when there is none in time */
export async function until<T>(what: string, look: () => Promise<T | undefined> | T | undefined): Promise<T> {
  for (const end = performance.now() + WAIT_MS; performance.now() < end; await pause(100)) {
    const found = await look();
    if (found !== undefined && found !== false) return found;
  }
  throw new Error(`no trace: ${what}`);
}

/** A proof that was needed. @throws Error without it */
export function proof(is: boolean, what: string): string {
  if (!is) throw new Error(`no trace: not ${what}`);
  return what;
}

export function service(stage: Stage, name: 'mongo' | 'redis' | 'nginx'): ServiceProcess {
  const found = name === 'nginx' ? stage.on.nginx : stage.on[name]?.process;
  if (!found) throw new Error(`${name} is not this run's own to break`);
  return found;
}

export const nodeName = (stage: Stage, node: DeployedNode): string => `node${stage.on.nodes.indexOf(node)}`;

/** Whether a node serves. */
export async function isReady(node: DeployedNode): Promise<boolean> {
  const answer = await fetch(`${node.url}/ready`, { signal: AbortSignal.timeout(1_000) }).catch(() => undefined);
  return answer?.ok ?? false;
}

export const allReady = (stage: Stage): Promise<unknown> =>
  until('all nodes are ready', async () => (await Promise.all(stage.on.nodes.map(isReady))).every(Boolean));

/** One number of the metrics of a node. */
export async function metric(url: string, name: string): Promise<number> {
  const answer = await fetch(`${url}/metrics`, { signal: AbortSignal.timeout(5_000) });
  return Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(await answer.text())?.[1] ?? Number.NaN);
}

/**
 * Remembers how often these nodes have told their clients to sync.
 * @returns what resolves when each of them has told it since
 */
export async function watchGaps(stage: Stage, nodes: DeployedNode[]): Promise<() => Promise<void>> {
  const told = ({ url }: DeployedNode) => metric(url, 'duet_resyncs_total');
  const before = await Promise.all(nodes.map(told));
  return async () => {
    for (const [i, node] of nodes.entries())
      await until(
        `${nodeName(stage, node)} tells its clients to sync`,
        async () => (await told(node).catch(() => Number.NaN)) > (before[i] as number),
      );
  };
}

/** The children of a process, by id. */
export function childrenOf(pid: number): string {
  return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim();
}

/** One command to Redis, and what it answers. */
export function redisCommand(stage: Stage, line: string): Promise<string> {
  const { port } = service(stage, 'redis');
  const host = new URL(stage.on.redis?.url ?? '').hostname;
  return new Promise((resolve, reject) => {
    const socket = createConnection({ port, host });
    socket.once('error', reject);
    socket.once('data', (data) => {
      socket.destroy();
      resolve(String(data));
    });
    socket.write(`${line}\r\n`);
  });
}
