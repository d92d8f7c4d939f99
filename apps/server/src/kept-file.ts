import { randomUUID } from 'node:crypto';
import { existsSync, linkSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';

/**
 * The text of a file that only its owner may read; it is made when it is not there yet. Of several processes that start
 * at once one makes it, and all read that one: it appears whole or not at all.
 * @param make gives the text of a new one
 * @throws NodeJS.ErrnoException when the file or its folder cannot be used
 */
export function keptFile(file: string, make: () => string): string {
  mkdirSync(dirname(file), { recursive: true });
  if (!existsSync(file)) write(file, make());
  return readFileSync(file, 'utf8');
}

function write(file: string, text: string): void {
  try {
    writeWhole(file, text, { mode: 0o600, place: linkSync });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
}

/**
 * Writes a file whole or not at all.
 * @param options.place puts what is written in its place: `renameSync` over what is there, `linkSync` where nothing is
 */
export function writeWhole(
  file: string,
  text: string,
  { mode, place }: { mode: number; place: (draft: string, file: string) => void },
): void {
  const draft = `${file}.${randomUUID()}`;
  try {
    writeFileSync(draft, text, { mode, flush: true });
    place(draft, file);
  } finally {
    rmSync(draft, { force: true });
  }
}
