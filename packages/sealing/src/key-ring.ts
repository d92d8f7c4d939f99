import { createSecretKey, hash, type KeyObject, randomBytes } from 'node:crypto';
import type { WrappedKey } from '@duet/core';
import { type Box, openBox } from './box.ts';

const KEY_BYTES = 32;
const ID_BYTES = 4;
/** A line of a key ring; base64 with or without its padding. */
const LINE = /^([\w.-]{1,64}):([A-Za-z0-9+/]{43}=?)$/;

/** Keys that wrap the keys of conversations. They live outside of the database, and are what a thief of it lacks. */
export interface KeyRing {
  /** What wraps from now on; the others only open. Undefined where nothing is to be sealed. */
  current: { name: string; key: KeyObject } | undefined;
  /** A key by its name: the id of its line, and the beginning of its hash, so that another key of that id is another name. */
  get(name: string): KeyObject | undefined;
  names: string[];
}

/** A conversation's key, opened. */
export interface DataKey {
  id: string;
  key: KeyObject;
}

/**
 * Reads a key ring: `id:key` in each line, the key 32 bytes in base64; empty lines and those that begin with # count for
 * nothing. The first key is the current one.
 * @throws Error that names the bad line by its number, never a key
 */
export function parseKeyRing(text: string): KeyRing {
  const keys = new Map<string, KeyObject>();
  const ids = new Set<string>();
  for (const [i, line] of text.split('\n').entries()) {
    const found = line.trim();
    if (found === '' || found.startsWith('#')) continue;
    const [, id = '', base64 = ''] = LINE.exec(found) ?? [];
    if (id === '') throw new Error(`line ${i + 1} is not ID:KEY with a key of ${KEY_BYTES} bytes in base64`);
    if (ids.has(id)) throw new Error(`line ${i + 1} has an id that an earlier line has`);
    ids.add(id);
    const bytes = Buffer.from(base64, 'base64');
    keys.set(`${id}.${hash('sha256', bytes).slice(0, 8)}`, createSecretKey(bytes));
  }
  const [first] = keys;
  if (!first) throw new Error('it holds no key');
  return ringOf(keys, { name: first[0], key: first[1] });
}

const ringOf = (keys: Map<string, KeyObject>, current: KeyRing['current']): KeyRing => ({
  current,
  get: (name) => keys.get(name),
  names: [...keys.keys()],
});

/** For deployments that seal nothing, and never have. */
export const emptyKeyRing = (): KeyRing => ringOf(new Map(), undefined);

/** A line for a key ring with a new key. */
export const newKeyLine = (id: string): string => `${id}:${randomBytes(KEY_BYTES).toString('base64')}`;

const boundOf = ({ conversation, id }: Pick<WrappedKey, 'conversation' | 'id'>) => `key 1 ${conversation} ${id}`;

/** A new key for a conversation, wrapped by the ring's current one. */
export function newDataKey(current: NonNullable<KeyRing['current']>, box: Box, conversation: string): WrappedKey {
  const id = randomBytes(ID_BYTES).toString('hex');
  const wrapped = box(current.key, randomBytes(KEY_BYTES), boundOf({ conversation, id }));
  return { conversation, id, ringKey: current.name, wrapped };
}

/** The bytes of a wrapped key; undefined when it is damaged. */
function unwrap(ringKey: KeyObject, key: WrappedKey): Buffer | undefined {
  return openBox(ringKey, key.wrapped, boundOf(key));
}

/** Opens a key with the ring's key that wrapped it. @returns undefined when it is damaged */
export function openDataKey(ringKey: KeyObject, key: WrappedKey): DataKey | undefined {
  const bytes = unwrap(ringKey, key);
  return bytes && { id: key.id, key: createSecretKey(bytes) };
}

/** The same key, wrapped by the ring's current one. @returns undefined when it is damaged */
export function rewrap(
  ringKey: KeyObject,
  key: WrappedKey,
  { current, box }: { current: NonNullable<KeyRing['current']>; box: Box },
): WrappedKey | undefined {
  const bytes = unwrap(ringKey, key);
  return bytes && { ...key, ringKey: current.name, wrapped: box(current.key, bytes, boundOf(key)) };
}
