import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';

/** The first of these programs that stands on the PATH. */
export function findProgram(...names: string[]): string | undefined {
  const folders = (process.env.PATH ?? '').split(delimiter);
  return names.flatMap((name) => folders.map((folder) => join(folder, name))).find((path) => existsSync(path));
}

/**
 * Whether tests that need a service can run. Where it is missing they are skipped loudly; in CI that is a failure.
 * @throws Error in CI when it is missing
 */
export function available(name: string, found: unknown, how: string): boolean {
  if (found) return true;
  const text = `${name} is missing: ${how}`;
  if (process.env.CI === 'true') throw new Error(text);
  console.warn(`\n  SKIPPED: ${text}\n`);
  return false;
}
