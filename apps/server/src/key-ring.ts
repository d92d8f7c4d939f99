import { execSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { emptyKeyRing, type KeyRing, newKeyLine, parseKeyRing } from '@duet/sealing';
import { keptFile } from './kept-file.ts';

const COMMAND_WITHIN_MS = 30_000;
const KEPT = 'key-ring';

/** Where the key ring comes from; at most one of file and command. */
export interface KeyRingSource {
  file?: string | undefined;
  command?: string | undefined;
  /** The folder of an embedded database, where a ring lies when none is given. */
  dataDir?: string | undefined;
  /** Whether one is made there. */
  makes: boolean;
}

/**
 * The key ring of this deployment: what a file or the output of a command holds, else one that was made at the first start
 * beside the embedded database.
 * @throws Error whose message says what is wrong, beginning with the name of the variable; it holds no key
 */
export function readKeyRing({ file, command, dataDir, makes }: KeyRingSource): KeyRing {
  if (file !== undefined) return parsed('KEY_RING_FILE', () => readFileSync(file, 'utf8'));
  if (command !== undefined) return parsed('KEY_RING_COMMAND', () => outputOf(command));
  if (dataDir === undefined) return emptyKeyRing();
  const kept = join(dataDir, KEPT);
  // Switched off, what was sealed before is still to be opened.
  if (!makes && !existsSync(kept)) return emptyKeyRing();
  return parsed(`DATA_DIR (${KEPT})`, () => keptFile(kept, () => `${newKeyLine('first')}\n`));
}

function outputOf(command: string): string {
  return execSync(command, { encoding: 'utf8', timeout: COMMAND_WITHIN_MS, stdio: ['ignore', 'pipe', 'inherit'] });
}

function parsed(name: string, read: () => string): KeyRing {
  let text: string;
  try {
    text = read();
  } catch (error) {
    const { code, status } = error as NodeJS.ErrnoException & { status?: number | null };
    const why = typeof status === 'number' ? `ended with ${status}` : `cannot be read (${code})`;
    // Without a cause: that of a command would hold what it printed.
    throw new Error(`${name} ${why}`);
  }
  try {
    return parseKeyRing(text);
  } catch (error) {
    throw new Error(`${name}: ${(error as Error).message}`, { cause: error });
  }
}
