import type { Clock } from './ports.ts';

/** A bounded map that forgets the oldest entry when full, and every entry after `ttlMs`. */
export interface Cache<V> {
  get(key: string): V | undefined;
  set(key: string, value: V): void;
  delete(key: string): void;
  clear(): void;
}

/** An empty one. The oldest entry is the one that was set first. */
export function createCache<V>(options: { max: number; ttlMs: number; clock: Clock }): Cache<V> {
  const entries = new Map<string, { value: V; until: number }>();
  return {
    get(key) {
      const entry = entries.get(key);
      if (entry === undefined || entry.until <= options.clock.elapsed()) return undefined;
      return entry.value;
    },
    set(key, value) {
      entries.delete(key);
      if (entries.size >= options.max) entries.delete(entries.keys().next().value as string);
      entries.set(key, { value, until: options.clock.elapsed() + options.ttlMs });
    },
    delete(key) {
      entries.delete(key);
    },
    clear() {
      entries.clear();
    },
  };
}
