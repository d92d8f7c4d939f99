import { mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { DuetError } from '@duet/contract';
import { migrations } from './migrations.ts';

/** How long a statement waits for another process that writes to the same file. */
const BUSY_TIMEOUT_MS = 5_000;
const BUSY_PAUSE_MS = 20;
const CACHE_KIB = 64 * 1024;
const CHECKPOINT_PAGES = 4_000;

/**
 * Opens the database file, makes its folder and brings its schema up to date.
 * @param file a path, or `:memory:`
 * @throws Error that says in plain words what is wrong with the folder or the file
 */
export function openDatabase(file: string): DatabaseSync {
  try {
    if (file !== ':memory:') mkdirSync(dirname(file), { recursive: true });
    const db = new DatabaseSync(file, { timeout: BUSY_TIMEOUT_MS });
    try {
      configure(db, file);
      migrate(db);
      return db;
    } catch (error) {
      db.close();
      throw error;
    }
  } catch (cause) {
    throw new Error(`The database ${file} cannot be used: ${explain(cause)}`, { cause });
  }
}

/** Who makes the file at the same time stands in the way, and for this lock SQLite does not wait by itself. */
function switchToWal(db: DatabaseSync): void {
  const nobody = new Int32Array(new SharedArrayBuffer(4));
  for (const end = performance.now() + BUSY_TIMEOUT_MS; ; Atomics.wait(nobody, 0, 0, BUSY_PAUSE_MS)) {
    try {
      db.exec('PRAGMA journal_mode = WAL');
      return;
    } catch (error) {
      if (primaryCode(error) !== BUSY || performance.now() > end) throw error;
    }
  }
}

function configure(db: DatabaseSync, file: string): void {
  switchToWal(db);
  db.exec(`
    PRAGMA synchronous = FULL;
    PRAGMA cache_size = -${CACHE_KIB};
    PRAGMA wal_autocheckpoint = ${CHECKPOINT_PAGES};
  `);
  // An acknowledgement rests on these two, and a build of SQLite may have other defaults: trust what is read back.
  const { journal_mode } = db.prepare('PRAGMA journal_mode').get() as { journal_mode: string };
  const { synchronous } = db.prepare('PRAGMA synchronous').get() as { synchronous: number };
  const durable = file === ':memory:' || (journal_mode === 'wal' && synchronous === 2);
  if (!durable)
    throw new Error(`it does not keep commits safe (journal_mode ${journal_mode}, synchronous ${synchronous})`);
}

const versionOf = (db: DatabaseSync): number =>
  (db.prepare('PRAGMA user_version').get() as { user_version: number }).user_version;

function migrate(db: DatabaseSync): void {
  // Where there is nothing to do, nobody is waited for who writes for long: a restore, say.
  if (versionOf(db) === migrations.length) return;
  inTransaction(db, () => {
    const version = versionOf(db);
    if (version > migrations.length) throw new Error('it was written by a newer version of Duet');
    if (version === migrations.length) return;
    for (const step of migrations.slice(version)) db.exec(step);
    db.exec(`PRAGMA user_version = ${migrations.length}`);
  });
}

/** Runs `work` as one durable transaction that no other writer can come between; rolls back when it throws. */
export function inTransaction<T>(db: DatabaseSync, work: () => T): T {
  db.exec('BEGIN IMMEDIATE');
  try {
    const result = work();
    db.exec('COMMIT');
    return result;
  } catch (error) {
    // SQLite has rolled back by itself after some errors (disk full, I/O).
    if (db.isTransaction) db.exec('ROLLBACK');
    throw error;
  }
}

/** The result of `work` as a promise; whatever SQLite throws becomes UNAVAILABLE. */
export async function answer<T>(work: () => T): Promise<T> {
  try {
    return work();
  } catch (error) {
    if (error instanceof DuetError) throw error;
    throw new DuetError('UNAVAILABLE', { cause: error });
  }
}

export const BUSY = 5;
const CONSTRAINT = 19;
const CORRUPT = 11;
const NOT_A_DATABASE = 26;
/** Primary result codes of SQLite that people can do something about. */
const explanations: Record<number, string> = {
  [BUSY]: 'another process holds it',
  8: 'it, or its folder, is read-only',
  10: 'the disk reports an error',
  [CORRUPT]: 'the file is damaged',
  13: 'the disk is full',
  14: 'it cannot be opened or created; look at the rights of its folder',
  [NOT_A_DATABASE]: 'the file is not a database, or damaged',
};

export function primaryCode(error: unknown): number | undefined {
  const errcode = (error as { errcode?: number }).errcode;
  return errcode === undefined ? undefined : errcode & 0xff;
}

/** Whether a unique value was taken. */
export const isConstraint = (error: unknown): boolean => primaryCode(error) === CONSTRAINT;

/** Whether nobody can open this file any more. */
export const isDamaged = (error: unknown): boolean => [CORRUPT, NOT_A_DATABASE].includes(primaryCode(error) ?? -1);

/** What people can do something about, in plain words. */
export function explain(error: unknown): string {
  const known = explanations[primaryCode(error) ?? -1];
  return known ?? (error instanceof Error ? error.message : String(error));
}
