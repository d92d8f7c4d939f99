import { DuetError } from '@duet/contract';
import { BEAT_MS, type Clock, type Cluster, perTurn } from '@duet/core';
import { createChannels } from './channels.ts';
import { COMMAND_TIMEOUT_MS, createConnections, type Report } from './connections.ts';
import { createLimiter } from './limiter.ts';
import { createPresence } from './presence.ts';
import { createScripts } from './scripts.ts';
import { createSocketAdapter } from './socket-adapter.ts';

export { createRedisView } from './view.ts';

export interface RedisClusterOptions {
  /** One Redis server of version 7 or newer, `redis://` or `rediss://`. */
  url: string;
  /** Begins every key and channel: deployments that share a Redis have different ones. */
  prefix: string;
  clock: Clock;
  report?: Report;
  /** The cluster's time in milliseconds, for tests; Redis' own without it. */
  now?: () => number;
}

/**
 * Many nodes around one Redis. A room is a channel that only the nodes with a socket in it subscribe to, so a message
 * costs the nodes that hold its users, however many there are. Redis holds nothing that cannot be rebuilt.
 */
export function createRedisCluster({ url, prefix, clock, now, report = () => {} }: RedisClusterOptions): Cluster {
  const connections = createConnections(url, report, clock);
  const { pub, sub, state } = connections;
  const run = createScripts(state, { prefix: `${prefix}:`, now });
  const presence = createPresence(run, clock);
  const channels = createChannels(pub, sub);
  const gapListeners: (() => void)[] = [];
  const lossListeners: ((rooms: string[] | undefined) => void)[] = [];

  /** What was published may have passed this node by. */
  let missed = false;
  function tellGap(): void {
    if (!missed) return;
    missed = false;
    for (const listener of gapListeners) listener();
  }

  const fence = perTurn<never, void>(async () => {
    // Whoever waited would enter one by one; when the connection is back the gap is told to all.
    if (sub.status !== 'ready') throw new DuetError('UNAVAILABLE', { cause: new Error(`it is ${sub.status}`) });
    try {
      await inTime(channels.fence());
    } catch (error) {
      missed = true;
      throw error;
    }
    tellGap();
  });

  let wasReady = false;
  sub.on('ready', () => {
    if (wasReady) {
      missed = true;
      // However long it takes: only then have the subscriptions been made again. What was published meanwhile is lost.
      void channels.fence().then(tellGap, () => {});
    }
    wasReady = true;
  });
  state.on('ready', presence.doubt);
  // A connection to a Redis that has vanished without a word looks fine until it is asked. One that was made and on which
  // nobody says hello, as behind a proxy, is never given up by the driver.
  let isMute = false;
  const stopProbing = clock.every(BEAT_MS, () => {
    const wasMute = isMute;
    isMute = sub.status === 'connect';
    if (sub.status === 'ready') void fence().catch(() => sub.disconnect(true));
    else if (isMute && wasMute) sub.disconnect(true);
  });

  return {
    socketAdapter: createSocketAdapter(channels, {
      prefix,
      onLost: (rooms) => {
        for (const listener of lossListeners) listener(rooms);
      },
    }),
    presence,
    limiter: createLimiter(run, clock),
    fence,
    onGap: (listener) => void gapListeners.push(listener),
    onLoss: (listener) => void lossListeners.push(listener),
    ready: connections.ready,
    async close() {
      stopProbing();
      await presence.resign();
      connections.close();
    },
  };
}

/** @throws DuetError UNAVAILABLE when Redis does not answer in time */
function inTime(answer: Promise<void>): Promise<void> {
  return new Promise((resolve, reject) => {
    const fail = (cause: unknown) => reject(new DuetError('UNAVAILABLE', { cause }));
    const timer = setTimeout(() => fail(new Error('no answer to a ping')), COMMAND_TIMEOUT_MS);
    answer.then(resolve, fail).finally(() => clearTimeout(timer));
  });
}
