import { type Clock, type Cluster, createMemoryLimiter } from '@duet/core';
import { createPresenceTable } from './presence.ts';

export { createPresenceTable } from './presence.ts';
export { type Primary, startPrimary } from './primary.ts';
export { createWorkerCluster, reportReady, type WorkerCluster } from './worker.ts';

/** A cluster of one process: everything in its memory. */
export function createLocalCluster({ clock }: { clock: Clock }): Cluster {
  return {
    socketAdapter: undefined,
    presence: createPresenceTable(clock).forNode('only'),
    limiter: createMemoryLimiter(clock),
    fence: async () => {},
    onGap: () => {},
    onLoss: () => {},
    ready: async () => {},
    close: async () => {},
  };
}
