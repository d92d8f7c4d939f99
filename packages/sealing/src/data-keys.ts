import { DuetError } from '@duet/contract';
import { type Clock, createCache, type DataKeyStore, type WrappedKey } from '@duet/core';
import type { Box } from './box.ts';
import { type DataKey, type KeyRing, newDataKey, openDataKey } from './key-ring.ts';

/** Keys that are remembered; a conversation that is not among them costs one look-up. */
const MAX_KEYS = 20_000;
/** So long can a node still open a conversation whose key was deleted elsewhere. */
export const KEY_LIFE_MS = 5 * 60_000;

export interface DataKeysDeps {
  store: DataKeyStore;
  ring: KeyRing;
  box: Box;
  clock: Clock;
  /** Hears of a key that no longer opens. */
  damaged: (key: WrappedKey) => void;
}

/** Opened keys by conversation. */
export type DataKeys = Map<string, DataKey>;

/** The keys of conversations, remembered for a while. Where all are remembered, nobody waits. */
export function createDataKeys({ store, ring, box, clock, damaged }: DataKeysDeps) {
  const cache = createCache<DataKey>({ max: MAX_KEYS, ttlMs: KEY_LIFE_MS, clock });

  function remembered(conversations: string[]): DataKeys {
    const keys: DataKeys = new Map();
    for (const conversation of conversations) {
      const key = cache.get(conversation);
      if (key) keys.set(conversation, key);
    }
    return keys;
  }

  /** Adds what can be opened of `found` to `keys`. */
  function open(found: WrappedKey[], keys: DataKeys): void {
    for (const wrapped of found) {
      const ringKey = ring.get(wrapped.ringKey);
      if (!ringKey) throw unavailable(`the key ring has no key ${wrapped.ringKey}`);
      const key = openDataKey(ringKey, wrapped);
      if (!key) {
        damaged(wrapped);
        continue;
      }
      cache.set(wrapped.conversation, key);
      keys.set(wrapped.conversation, key);
    }
  }

  const missing = (conversations: string[], keys: DataKeys) => conversations.filter((id) => !keys.has(id));

  async function look(conversations: string[], keys: DataKeys): Promise<DataKeys> {
    open(await store.get(missing(conversations, keys)), keys);
    return keys;
  }

  async function lookOrMake(conversations: string[], keys: DataKeys): Promise<DataKeys> {
    const found = await store.get(missing(conversations, keys));
    open(found, keys);
    const lacking = missing(conversations, keys);
    if (lacking.length === 0) return keys;
    const { current } = ring;
    if (!current) throw unavailable('the key ring has no key to seal with');
    // What a damaged key sealed is lost either way; a new one lets the conversation go on.
    const made = lacking.map((conversation) => {
      const key = newDataKey(current, box, conversation);
      const over = found.find((old) => old.conversation === conversation);
      return over ? { key, over } : { key };
    });
    open(await store.put(made), keys);
    if (keys.size < conversations.length) throw unavailable('the key of a conversation was just replaced or deleted');
    return keys;
  }

  return {
    /** Those that there are. @throws DuetError UNAVAILABLE when the store does not answer or the ring lacks a key */
    get(conversations: string[]): DataKeys | Promise<DataKeys> {
      const keys = remembered(conversations);
      return keys.size === conversations.length ? keys : look(conversations, keys);
    },
    /** All of them, made and stored where there was none. @throws DuetError UNAVAILABLE, as above */
    ensure(conversations: string[]): DataKeys | Promise<DataKeys> {
      const keys = remembered(conversations);
      return keys.size === conversations.length ? keys : lookOrMake(conversations, keys);
    },
    forget: (conversation: string) => cache.delete(conversation),
    forgetAll: () => cache.clear(),
  };
}

const unavailable = (why: string) => new DuetError('UNAVAILABLE', { cause: new Error(why) });
