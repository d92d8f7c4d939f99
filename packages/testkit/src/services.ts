import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';

/** The first of these programs that stands on the PATH. */
export function findProgram(...names: string[]): string | undefined {
  const folders = (process.env.PATH ?? '').split(delimiter);
  return names.flatMap((name) => folders.map((folder) => join(folder, name))).find((path) => existsSync(path));
}

/** What to tell somebody on whose machine a service is not to be found; nothing where it is. */
export const lackOf = (name: string, found: unknown, how: string): string | undefined =>
  found ? undefined : `${name} is missing: ${how}`;

/**
 * Whether tests that need a service can run. Where it is missing they are skipped loudly; in CI that is a failure.
 * @throws Error in CI when it is missing
 */
export function available(lack: string | undefined): boolean {
  if (lack === undefined) return true;
  if (process.env.CI === 'true') throw new Error(lack);
  console.warn(`\n  SKIPPED: ${lack}\n`);
  return false;
}
