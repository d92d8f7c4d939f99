import { hash } from 'node:crypto';
import { chmodSync, chownSync, existsSync, readFileSync, renameSync, statSync } from 'node:fs';
import { type KeyRing, parseKeyRing } from '@duet/sealing';
import { keptFile, writeWhole } from '../kept-file.ts';

/**
 * Puts another key ring in the place of one that may be the only one, for those who could read that one. What was there
 * stays beside it, under a name made of what it holds, so that no later copy is written over an earlier one.
 * @param options.yes also a ring that lacks keys which the one that is there has
 * @returns what was done, in words
 * @throws Error whose message says what is wrong, and holds no key
 */
export function replaceKeyRing(file: string, text: string, { yes }: { yes: boolean }): string {
  const ring = parsed(text);
  // Whoever mistypes the name believes that nodes have the new ring.
  if (!existsSync(file)) throw new Error(`${file} is not there, so no key ring was replaced`);
  const old = readFileSync(file, 'utf8');
  if (old === text) return `${file} is this key ring already`;
  const missing = namesOf(old).filter((name) => !ring.get(name));
  if (missing.length > 0 && !yes)
    throw new Error(
      `It lacks ${missing.join(', ')}, which ${file} has: what needs it could be read no more. --yes takes it all the same`,
    );
  const copy = keep(file, old);
  writeWhole(file, text, { mode: 0o600, place: placeAsBefore });
  return `${file} holds ${ring.names.join(', ')} now; what was there is in ${copy}`;
}

/** Renames, and leaves owner, group and mode as they were: root may do this for a node that runs as somebody else. */
function placeAsBefore(draft: string, file: string): void {
  const { uid, gid, mode } = statSync(file);
  try {
    chownSync(draft, uid, gid);
  } catch (cause) {
    throw new Error(`${file} has another owner or group, which only root can give to the new one`, { cause });
  }
  chmodSync(draft, mode & 0o777);
  renameSync(draft, file);
}

function parsed(text: string): KeyRing {
  try {
    return parseKeyRing(text);
  } catch (cause) {
    throw new Error(`This is no key ring: ${(cause as Error).message}`, { cause });
  }
}

/** Of what is no key ring nobody knows which keys it had; a copy of it stays all the same. */
function namesOf(text: string): string[] {
  try {
    return parseKeyRing(text).names;
  } catch {
    return [];
  }
}

function keep(file: string, text: string): string {
  const copy = `${file}.was-${hash('sha256', text).slice(0, 8)}`;
  if (keptFile(copy, () => text) !== text) throw new Error(`${copy} is there, and is no copy of ${file}`);
  return copy;
}
