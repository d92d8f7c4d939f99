import { hash } from 'node:crypto';
import { existsSync, readFileSync, renameSync } from 'node:fs';
import { type KeyRing, parseKeyRing } from '@duet/sealing';
import { keptFile, writeWhole } from '../kept-file.ts';

/**
 * Puts another key ring in the place of one that may be the only one. What was there stays beside it, under a name made of
 * what it holds, so that no later copy is written over an earlier one.
 * @param options.yes also a ring that lacks keys which the one that is there has
 * @returns what was done, in words
 * @throws Error whose message says what is wrong, and holds no key
 */
export function replaceKeyRing(file: string, text: string, { yes }: { yes: boolean }): string {
  const ring = parsed(text);
  const old = existsSync(file) ? readFileSync(file, 'utf8') : undefined;
  if (old === text) return `${file} is this key ring already`;
  const missing = namesOf(old).filter((name) => !ring.get(name));
  if (missing.length > 0 && !yes)
    throw new Error(
      `It lacks ${missing.join(', ')}, which ${file} has: what needs it could be read no more. --yes takes it all the same`,
    );
  const copy = old === undefined ? undefined : keep(file, old);
  writeWhole(file, text, { mode: 0o400, place: renameSync });
  const said = `${file} holds ${ring.names.join(', ')} now`;
  return copy === undefined ? said : `${said}; what was there is in ${copy}`;
}

function parsed(text: string): KeyRing {
  try {
    return parseKeyRing(text);
  } catch (cause) {
    throw new Error(`This is no key ring: ${(cause as Error).message}`, { cause });
  }
}

/** Of what is no key ring nobody knows which keys it had; a copy of it stays all the same. */
function namesOf(text: string | undefined): string[] {
  try {
    return text === undefined ? [] : parseKeyRing(text).names;
  } catch {
    return [];
  }
}

function keep(file: string, text: string): string {
  const copy = `${file}.was-${hash('sha256', text).slice(0, 8)}`;
  if (keptFile(copy, () => text) !== text) throw new Error(`${copy} is there, and is no copy of ${file}`);
  return copy;
}
