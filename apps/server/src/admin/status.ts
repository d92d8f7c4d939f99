import type { NodeStatus } from '@duet/core';
import type { Config } from '../config.ts';
import { withAdmin, withView } from './open.ts';
import { wordsOf } from './text.ts';

type Asked<T> = { ok: true; value: T } | { ok: false; why: string };

async function ask<T>(work: () => Promise<T>): Promise<Asked<T>> {
  try {
    return { ok: true, value: await work() };
  } catch (error) {
    return { ok: false, why: wordsOf(error) };
  }
}

/** What of a deployment answers, and how much there is. */
export async function statusOf(config: Config) {
  const [store, cluster] = await Promise.all([
    ask(() => withAdmin(config, ({ store }) => store.admin.counts())),
    ask(() => withView(config, (view) => view.nodes())),
  ]);
  const nodes: NodeStatus[] = cluster.ok ? cluster.value : [];
  const alive = nodes.filter((node) => node.alive);
  return {
    ok: store.ok && alive.length > 0,
    store: { kind: config.store.kind, reachable: store.ok, ...(store.ok ? store.value : { why: store.why }) },
    cluster: { kind: config.cluster.kind, reachable: cluster.ok, ...(cluster.ok ? {} : { why: cluster.why }) },
    nodes,
    sockets: alive.reduce((sum, { sockets }) => sum + sockets, 0),
  };
}
export type Status = Awaited<ReturnType<typeof statusOf>>;

/** All that are stored are counted. */
const NAMES: Record<string, string> = { users: 'users (deleted ones too)' };

export function statusText({ ok, store, cluster, nodes, sockets }: Status): string {
  const { kind, reachable, ...rest } = store;
  const counts = Object.entries(rest).map(([name, value]) =>
    name === 'why' ? value : `${value} ${NAMES[name] ?? name}`,
  );
  return [
    `store    ${kind}: ${reachable ? 'answers, ' : 'does not answer: '}${counts.join(', ')}`,
    `cluster  ${cluster.kind}: ${cluster.reachable ? `answers, ${sockets} sockets` : `does not answer: ${cluster.why}`}`,
    ...nodes.map(
      ({ name, alive, sockets: own }) => `node     ${name}: ${alive ? `alive, ${own} sockets` : 'not alive'}`,
    ),
    ok ? 'All is well.' : 'Something is wrong.',
  ].join('\n');
}
