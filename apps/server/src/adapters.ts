import type { Clock, Cluster, Store } from '@duet/core';
import type { Config } from './config.ts';
import type { Log } from './ops/log.ts';

/** What an adapter may need of its node. */
export interface AdapterContext {
  clock: Clock;
  log: Log;
}

/** Loads the store that the configuration names; only that one's driver is ever read from disk. */
export async function loadStore({ store }: Config, { log }: AdapterContext): Promise<Store> {
  switch (store.kind) {
    case 'sqlite': {
      const { createSqliteStore } = await import('@duet/store-sqlite');
      return createSqliteStore({ file: store.file });
    }
    case 'mongo': {
      const { createMongoStore } = await import('@duet/store-mongo');
      return createMongoStore({ url: store.url, warn: (text: string) => log.warn(text) });
    }
  }
}

/** Loads the cluster that the configuration names. `worker`: this process is one of several of a node. */
export async function loadCluster({ cluster }: Config, { clock, log }: AdapterContext): Promise<Cluster> {
  switch (cluster.kind) {
    case 'local': {
      const { createLocalCluster } = await import('@duet/cluster-local');
      return createLocalCluster({ clock });
    }
    case 'redis': {
      const { createRedisCluster } = await import('@duet/cluster-redis');
      return createRedisCluster({ url: cluster.url, clock, warn: (text: string) => log.warn(text) });
    }
  }
}

/** Loads what several processes of one node share. */
export const loadWorkers = () => import('@duet/cluster-local');

/** A worker's cluster: the other workers of its node. */
export type WorkerCluster = ReturnType<Awaited<ReturnType<typeof loadWorkers>>['createWorkerCluster']>;
