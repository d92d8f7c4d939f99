import type { ClusterView } from '@duet/core';
import { Redis } from 'ioredis';
import { answer, COMMAND_TIMEOUT_MS } from './connections.ts';

/** Who has a lease in Redis, asked from outside: joins nothing, writes nothing. */
export function createRedisView({ url, prefix }: { url: string; prefix: string }): ClusterView {
  const redis = new Redis(url, {
    lazyConnect: true,
    disableClientInfo: true,
    maxRetriesPerRequest: 0,
    retryStrategy: () => null,
    connectTimeout: COMMAND_TIMEOUT_MS,
    commandTimeout: COMMAND_TIMEOUT_MS,
  });
  // Whoever asks hears of it.
  redis.on('error', () => {});

  return {
    nodes: () =>
      answer(async () => {
        if (redis.status === 'wait') await redis.connect();
        const [seconds, micros] = await redis.time();
        const now = Number(seconds) * 1_000 + Number(micros) / 1_000;
        const leases = await redis.zrange(`${prefix}:nodes`, '0', '-1', 'WITHSCORES');
        const names = leases.filter((_, i) => i % 2 === 0);
        return Promise.all(
          names.map(async (name, i) => ({
            name,
            alive: Number(leases[2 * i + 1]) > now,
            sockets: await redis.scard(`${prefix}:node:${name}`),
          })),
        );
      }),
    async close() {
      redis.disconnect();
    },
  };
}
