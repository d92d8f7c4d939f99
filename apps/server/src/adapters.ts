import type { Clock, Cluster, ClusterView, Store } from '@duet/core';
import type { Config } from './config.ts';
import type { Log } from './ops/log.ts';

/** What an adapter may need of its node. */
export interface AdapterContext {
  clock: Clock;
  log: Log;
}

type Kind<C extends { kind: string }, K> = Extract<C, { kind: K }>;
type Stores = { [K in Config['store']['kind']]: (config: Kind<Config['store'], K>) => Promise<Store> };
type Clusters = {
  [K in Config['cluster']['kind']]: (config: Kind<Config['cluster'], K>, context: AdapterContext) => Promise<Cluster>;
};

/** Stores by the word that STORE takes. Only the one in use is ever read from disk. */
const stores: Stores = {
  async sqlite({ file }) {
    const { createSqliteStore } = await import('@duet/store-sqlite');
    return createSqliteStore({ file });
  },
  async mongo({ uri }) {
    const { createMongoStore } = await import('@duet/store-mongo');
    return createMongoStore({ uri });
  },
};

/** Clusters by the word that CLUSTER takes. */
const clusters: Clusters = {
  async local(_, { clock }) {
    const { createLocalCluster } = await import('@duet/cluster-local');
    return createLocalCluster({ clock });
  },
  async redis({ url, prefix }, { clock, log }) {
    const { createRedisCluster } = await import('@duet/cluster-redis');
    return createRedisCluster({ url, prefix, clock, report: (what, err) => log.warn({ err }, what) });
  },
};

/** The store that the configuration names. @throws Error with an explanation for people when it can never work */
export const loadStore = <K extends Config['store']['kind']>(config: Kind<Config['store'], K>): Promise<Store> =>
  stores[config.kind as K](config);

/** The cluster that the configuration names. */
export const loadCluster = <K extends Config['cluster']['kind']>(
  config: Kind<Config['cluster'], K>,
  context: AdapterContext,
): Promise<Cluster> => clusters[config.kind as K](config, context);

/** The nodes around a Redis, seen from outside. */
export async function loadRedisView(config: Kind<Config['cluster'], 'redis'>): Promise<ClusterView> {
  const { createRedisView } = await import('@duet/cluster-redis');
  return createRedisView(config);
}

/** Copies of the embedded database. */
export const loadBackups = () => import('@duet/store-sqlite');

/** What several processes of one node share. */
export const loadWorkers = () => import('@duet/cluster-local');

/** A worker's cluster: the other workers of its node. */
export type WorkerCluster = ReturnType<Awaited<ReturnType<typeof loadWorkers>>['createWorkerCluster']>;
