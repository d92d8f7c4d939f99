import type { Clock, Cluster, Store } from '@duet/core';
import type { Config } from './config.ts';

/** What an adapter may need of its node. */
export interface AdapterContext {
  clock: Clock;
}

/** Stores by the word that STORE takes. Only the one in use is ever read from disk. */
const stores: Record<Config['store']['kind'], (config: Config) => Promise<Store>> = {
  async sqlite({ store }) {
    const { createSqliteStore } = await import('@duet/store-sqlite');
    return createSqliteStore({ file: store.file });
  },
};

/** Clusters by the word that CLUSTER takes. */
const clusters: Record<Config['cluster']['kind'], (context: AdapterContext) => Promise<Cluster>> = {
  async local({ clock }) {
    const { createLocalCluster } = await import('@duet/cluster-local');
    return createLocalCluster({ clock });
  },
};

/** The store that the configuration names. @throws Error with an explanation for people when it can never work */
export const loadStore = (config: Config): Promise<Store> => stores[config.store.kind](config);

/** The cluster that the configuration names. */
export const loadCluster = (config: Config, context: AdapterContext): Promise<Cluster> =>
  clusters[config.cluster.kind](context);

/** What several processes of one node share. */
export const loadWorkers = () => import('@duet/cluster-local');

/** A worker's cluster: the other workers of its node. */
export type WorkerCluster = ReturnType<Awaited<ReturnType<typeof loadWorkers>>['createWorkerCluster']>;
