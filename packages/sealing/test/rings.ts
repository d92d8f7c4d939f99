import type { WrappedKey } from '@duet/core';
import { createManualClock } from '@duet/testkit';
import { type KeyRing, newKeyLine, parseKeyRing, type Unreadable } from '../src/index.ts';

const lines = new Map<string, string>();

/** The line of a key ring with this id: always the same key. */
export function lineOf(id: string): string {
  const line = lines.get(id) ?? newKeyLine(id);
  lines.set(id, line);
  return line;
}

/** A ring of keys with these ids, the first of them current. */
export const ringOf = (...ids: string[]): KeyRing => parseKeyRing(ids.map(lineOf).join('\n'));

/** A clock that is moved by hand, and what a sealed store said. */
export function watched() {
  const said: { unreadable: Unreadable[]; damaged: WrappedKey[] } = { unreadable: [], damaged: [] };
  return {
    clock: createManualClock(),
    said,
    observe: {
      unreadable: (messages: Unreadable[]) => said.unreadable.push(...messages),
      damagedKey: (key: WrappedKey) => said.damaged.push(key),
    },
  };
}
