import type { DataKeyStore, WrappedKey } from '@duet/core';
import { createBox } from './box.ts';
import { type KeyRing, rewrap } from './key-ring.ts';

/** Keys that are read and written at once. */
const BATCH = 500;

/** The names of all keys of a ring that wrap something, each found by one step of the index. */
async function namesInUse(store: DataKeyStore): Promise<string[]> {
  const names: string[] = [];
  for (;;) {
    const last = names.at(-1);
    const [next] = await store.list({ limit: 1, ...(last === undefined ? {} : { after: { ringKey: last } }) });
    if (!next) return names;
    names.push(next.ringKey);
  }
}

/**
 * The names of the keys without which stored messages cannot be opened and that this ring does not have.
 * @throws DuetError UNAVAILABLE
 */
export async function missingRingKeys(store: DataKeyStore, ring: KeyRing): Promise<string[]> {
  return (await namesInUse(store)).filter((name) => !ring.get(name));
}

/** What a rotation did. */
export interface Rotated {
  /** Keys of conversations that were wrapped anew, and those that are damaged and stay as they were. */
  rewrapped: number;
  damaged: number;
  /** The names of the ring's other keys that still wrap something: damaged keys, or what a node made meanwhile. */
  needed: string[];
}

/**
 * Wraps the keys of all conversations by the ring's current key; no message is read or written. Nodes go on meanwhile. It
 * may be broken off at any point and run again; what was wrapped anew stays so.
 * @param progress hears how many keys have been wrapped so far
 * @throws Error in plain words when the ring lacks a key; then nothing was changed
 * @throws DuetError UNAVAILABLE
 */
export async function rotateKeys(
  store: DataKeyStore,
  ring: KeyRing,
  progress: (rewrapped: number) => void = () => {},
): Promise<Rotated> {
  const { current } = ring;
  if (!current) throw new Error('The key ring is empty');
  const missing = await missingRingKeys(store, ring);
  if (missing.length > 0) throw new Error(`The key ring lacks ${missing.join(', ')}`);
  const box = createBox();
  const done: Rotated = { rewrapped: 0, damaged: 0, needed: [] };

  async function rewrapAll(keys: WrappedKey[]): Promise<void> {
    const changes = keys.flatMap((over) => {
      const ringKey = ring.get(over.ringKey);
      const key = ringKey && rewrap(ringKey, over, { current: current as NonNullable<KeyRing['current']>, box });
      return key ? [{ key, over }] : [];
    });
    if (changes.length > 0) await store.put(changes);
    done.rewrapped += changes.length;
    done.damaged += keys.length - changes.length;
    progress(done.rewrapped);
  }

  for (const name of await namesInUse(store)) {
    if (name === current.name) continue;
    for (let conversation = ''; ; ) {
      const page = await store.list({ after: { ringKey: name, conversation }, limit: BATCH });
      const keys = page.filter(({ ringKey }) => ringKey === name);
      const last = keys.at(-1);
      if (!last) break;
      await rewrapAll(keys);
      conversation = last.conversation;
    }
  }
  done.needed = (await namesInUse(store)).filter((name) => name !== current.name);
  return done;
}
