import { randomInt } from 'node:crypto';
import { existsSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { dirname } from 'node:path';
import { backup, DatabaseSync } from 'node:sqlite';
import { setTimeout as pause } from 'node:timers/promises';
import { BUSY, explain, isDamaged, openDatabase, primaryCode } from './database.ts';
import { keepSessions } from './kept-sessions.ts';
import { migrations } from './migrations.ts';

/** Pages copied between two looks at the event loop. */
const PAGES_AT_ONCE = 1_000;
/** How long a restore waits for a moment in which nobody writes. */
const HELD_MS = 5_000;
const HELD_PAUSE_MS = 20;

/** Hears how much of the copy is done, from 0 to 1. */
export type Progress = (part: number) => void;

/** @param from a connection of its own, which is closed then */
async function copy(from: DatabaseSync, to: string, progress: Progress): Promise<void> {
  // SQLite begins anew whenever somebody else has written between two steps, unless a read holds the moment.
  from.exec('BEGIN');
  from.prepare('SELECT count(*) FROM sqlite_schema').get();
  await backup(from, to, {
    rate: PAGES_AT_ONCE,
    progress: ({ totalPages, remainingPages }) => progress(1 - remainingPages / totalPages),
  });
}

async function copyFrom(file: string, to: string, progress: Progress): Promise<void> {
  const db = new DatabaseSync(file, { readOnly: true });
  try {
    await copy(db, to, progress);
  } finally {
    db.close();
  }
}

/** @throws Error when the file is not a whole database of Duet, of this version or an earlier one */
function check(file: string): void {
  const db = new DatabaseSync(file, { readOnly: true });
  try {
    const { user_version: version } = db.prepare('PRAGMA user_version').get() as { user_version: number };
    if (version < 1 || version > migrations.length) throw new Error('it is not a database of this version of Duet');
    const found = db.prepare('PRAGMA integrity_check(1)').get() as { integrity_check: string };
    if (found.integrity_check !== 'ok') throw new Error('it is damaged');
  } finally {
    db.close();
  }
}

function alter(file: string, pragma: string): void {
  const db = new DatabaseSync(file);
  try {
    db.exec(pragma);
  } finally {
    db.close();
  }
}

function remove(file: string): void {
  for (const suffix of ['', '-wal', '-shm', '-journal']) rmSync(file + suffix, { force: true });
}

/**
 * Copies the database as it is at one moment, while servers go on writing to it. The copy appears whole or not at all,
 * and has been checked. It is one file, which may be read where nothing can be written.
 * @param file the database, @param to a file that does not exist yet
 * @throws Error in plain words
 */
export async function backUp(file: string, to: string, progress: Progress = () => {}): Promise<void> {
  if (!existsSync(file)) throw new Error(`There is no database ${file}`);
  if (existsSync(to)) throw new Error(`${to} exists already`);
  mkdirSync(dirname(to), { recursive: true });
  const part = `${to}.part`;
  const db = openDatabase(file);
  try {
    await copy(db, part, progress);
    alter(part, 'PRAGMA journal_mode = DELETE');
    check(part);
    renameSync(part, to);
  } finally {
    db.close();
    remove(part);
  }
}

/** Makes the file and its folder if need be. @throws Error that says what is wrong with them, and what helps */
function makeRoom(file: string): void {
  try {
    openDatabase(file).close();
  } catch (error) {
    const { message, cause } = error as Error;
    if (!isDamaged(cause)) throw error;
    const help = `Nothing was restored: move it, with ${file}-wal and ${file}-shm, out of its folder and repeat`;
    throw new Error(`${message}. ${help}`, { cause });
  }
}

/** A copy of an older version is brought up to date. @throws Error when it cannot be; then nothing has changed */
function prepare(staged: string, from: string): void {
  try {
    openDatabase(staged).close();
  } catch (error) {
    const { cause } = error as Error;
    throw new Error(`${from} cannot be restored: ${explain(cause)}. Nothing has changed`, { cause });
  }
  // By this number servers see that it is another database than the one of which they remember keys: see `append`.
  alter(staged, `PRAGMA journal_mode = DELETE; PRAGMA application_id = ${randomInt(1, 2 ** 31)}`);
}

/**
 * All of it as one transaction.
 * @returns how many users of the copy the database did not know
 * @throws Error in plain words; then nothing has changed
 */
async function replace(from: string, file: string, progress: Progress): Promise<number> {
  for (const end = performance.now() + HELD_MS; ; await pause(HELD_PAUSE_MS)) {
    try {
      // Each time anew, and last: what ends from here on until the database is locked would begin again.
      const unknown = keepSessions(from, file);
      await copyFrom(from, file, progress);
      return unknown;
    } catch (cause) {
      // Node has SQLite wait for nobody here, and of a first step that was refused it knows no code.
      const isHeld = [0, BUSY].includes(primaryCode(cause) ?? -1);
      if (isHeld && performance.now() < end) continue;
      const why = isHeld ? 'another process holds it' : explain(cause);
      throw new Error(`The database ${file} was not restored: ${why}`, { cause });
    }
  }
}

/** What a restore could not put together. */
export interface Restored {
  /** Users of the copy whom the database did not know, as where it is a new one: their sessions are those of the copy. */
  unknown: number;
}

/**
 * Puts a copy in the place of the database, as one transaction: servers that run see all of it or nothing. What was
 * written after the copy was made is gone; clients that know more are told so by their next sync. Sessions stay as they
 * are: nobody who was signed out is signed in again, and the other way round.
 * @throws Error in plain words; then the database is as it was
 */
export async function restore(from: string, file: string, progress: Progress = () => {}): Promise<Restored> {
  if (!existsSync(from)) throw new Error(`There is no backup ${from}`);
  try {
    check(from);
  } catch (cause) {
    throw new Error(`${from} cannot be restored: ${(cause as Error).message}`, { cause });
  }
  makeRoom(file);
  const staged = `${file}.restored`;
  try {
    await copyFrom(from, staged, () => {});
    prepare(staged, from);
    return { unknown: await replace(staged, file, progress) };
  } finally {
    remove(staged);
  }
}

/**
 * The names of the keys of a key ring without which messages in this database cannot be read. Nothing is changed.
 * @returns none when there is no such file, or nothing in it is encrypted
 */
export function ringKeysOf(file: string): string[] {
  if (!existsSync(file)) return [];
  const db = new DatabaseSync(file, { readOnly: true });
  try {
    return db
      .prepare('SELECT DISTINCT ringKey FROM dataKeys')
      .all()
      .map(({ ringKey }) => String(ringKey));
  } catch {
    // No database, or one of a version that encrypted nothing: others say so better.
    return [];
  } finally {
    db.close();
  }
}
