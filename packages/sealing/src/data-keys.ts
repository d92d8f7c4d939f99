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

  /** Adds what can be opened of `found` to `keys`. @returns those whose key the ring lacks */
  function open(found: WrappedKey[], keys: DataKeys): WrappedKey[] {
    const locked: WrappedKey[] = [];
    for (const wrapped of found) {
      const ringKey = ring.get(wrapped.ringKey);
      if (!ringKey) {
        locked.push(wrapped);
        continue;
      }
      const key = openDataKey(ringKey, wrapped);
      if (!key) {
        damaged(wrapped);
        continue;
      }
      cache.set(wrapped.conversation, key);
      keys.set(wrapped.conversation, key);
    }
    return locked;
  }

  const missing = (conversations: string[], keys: DataKeys) => conversations.filter((id) => !keys.has(id));

  async function look(conversations: string[], keys: DataKeys): Promise<DataKeys> {
    const [locked] = open(await store.get(missing(conversations, keys)), keys);
    // What cannot be opened here is not lost: nobody may be told that it is.
    if (locked) throw unavailable(`the key ring has no key ${locked.ringKey}`);
    return keys;
  }

  async function lookOrMake(conversations: string[], keys: DataKeys): Promise<DataKeys> {
    const found = await store.get(missing(conversations, keys));
    const locked = new Set(open(found, keys).map(({ conversation }) => conversation));
    const lacking = missing(conversations, keys).filter((conversation) => !locked.has(conversation));
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
    return keys;
  }

  return {
    /** Those that there are. @throws DuetError UNAVAILABLE when the store does not answer or the ring lacks a key */
    get(conversations: string[]): DataKeys | Promise<DataKeys> {
      const keys = remembered(conversations);
      return keys.size === conversations.length ? keys : look(conversations, keys);
    },
    /**
     * Made and stored where there was none. Those are missing that the ring cannot open, and that somebody else has just
     * replaced or deleted.
     * @throws DuetError UNAVAILABLE when the store does not answer or the ring has no key to seal with
     */
    ensure(conversations: string[]): DataKeys | Promise<DataKeys> {
      const keys = remembered(conversations);
      return keys.size === conversations.length ? keys : lookOrMake(conversations, keys);
    },
    forget: (conversation: string) => cache.delete(conversation),
    forgetAll: () => cache.clear(),
  };
}

const unavailable = (why: string) => new DuetError('UNAVAILABLE', { cause: new Error(why) });
