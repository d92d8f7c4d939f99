import { type LimitName, limits } from '@duet/contract';
import type { Cluster, Limiter, Presence, Store } from '@duet/core';
import type { Metrics, Operation } from './metrics.ts';

type Timer = (operation: Operation, seconds: number) => void;
type Calls = Record<string, (...args: never[]) => unknown>;

/** The same port; each call that waits for somebody tells `timer` how long. */
function timed<P extends object>(name: string, port: P, timer: Timer): P {
  const calls = Object.entries(port as Calls).map(([method, call]) => {
    const operation: Operation = `${name}.${method}`;
    const measured = (...args: never[]) => {
      const start = performance.now();
      const result = call(...args);
      if (!(result instanceof Promise)) return result;
      const ended = () => timer(operation, (performance.now() - start) / 1000);
      result.then(ended, ended);
      return result;
    };
    return [method, measured];
  });
  return Object.fromEntries(calls) as P;
}

/** The store, with the time of every call in the metrics. */
export function measuredStore(store: Store, metrics: Metrics): Store {
  return {
    ...store,
    users: timed('users', store.users, metrics.store),
    sessions: timed('sessions', store.sessions, metrics.store),
    privacy: timed('privacy', store.privacy, metrics.store),
    messages: timed('messages', store.messages, metrics.store),
    conversations: timed('conversations', store.conversations, metrics.store),
    receipts: timed('receipts', store.receipts, metrics.store),
    dataKeys: timed('dataKeys', store.dataKeys, metrics.store),
  };
}

export const measuredPresence = (presence: Cluster['presence'], metrics: Metrics): Presence =>
  timed('presence', presence, metrics.cluster);

/** The limiter, with its refusals in the metrics. A key begins with the name of its limit. */
export function measuredLimiter(limiter: Limiter, metrics: Metrics): Limiter {
  const { take } = timed('limiter', limiter, metrics.cluster);
  return {
    async take(key, rule, cost) {
      const taken = await take(key, rule, cost);
      const name = key.slice(0, key.indexOf(':'));
      if (!taken.ok && Object.hasOwn(limits, name)) metrics.limited(name as LimitName);
      return taken;
    },
  };
}
