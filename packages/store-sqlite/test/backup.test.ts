import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { Worker } from 'node:worker_threads';
import { conversationOf, type Draft, type SessionRecord, type Store, type UserRecord } from '@duet/core';
import { eventually, temporaryFolder } from '@duet/testkit';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { backUp, createSqliteStore, restore } from '../src/index.ts';

const [ALICE, BOB] = ['a'.repeat(24), 'b'.repeat(24)] as const;
const { id: conversation } = conversationOf(ALICE, BOB);

const draft = (n: number): Draft => ({
  conversation,
  sender: ALICE,
  receiver: BOB,
  content: 'x'.repeat(3_000),
  messageType: 'text',
  tempId: `${n}`,
  createdAt: n,
});
const drafts = (count: number): Draft[] => Array.from({ length: count }, (_, n) => draft(n));

describe('backups beside whoever writes', () => {
  let folder: ReturnType<typeof temporaryFolder>;
  let file: string;
  let copy: string;
  beforeEach(() => {
    folder = temporaryFolder();
    file = join(folder.path, 'data', 'duet.db');
    copy = join(folder.path, 'copy.db');
  });
  afterEach(() => folder[Symbol.dispose]());

  async function countOf(path: string): Promise<number> {
    const store = createSqliteStore({ file: path });
    const { messages } = await store.admin.counts();
    await store.close();
    return messages;
  }

  test('Z1 a large database that is written to all the time is copied in one go, as it was at its beginning', async () => {
    // Of more pages than are copied in one step.
    const before = 4_000;
    const store = createSqliteStore({ file });
    await store.messages.append(drafts(before));
    const parts: number[] = [];
    await backUp(file, copy, (part) => {
      if (part <= (parts.at(-1) ?? 0)) throw new Error('it has begun anew');
      parts.push(part);
      void store.messages.append([draft(before + parts.length)]);
    });
    expect(parts.length).toBeGreaterThan(2);
    await store.close();
    expect(await countOf(copy)).toBe(before);
    expect(await countOf(file)).toBe(before + parts.length);
  });

  /** A copy of one message, and a database that has two by now. */
  async function oneCopiedOfTwo(): Promise<void> {
    const store = createSqliteStore({ file });
    await store.messages.append([draft(0)]);
    await backUp(file, copy);
    await store.messages.append([draft(1)]);
    await store.close();
  }

  test('Z2 a restore waits for who is writing', async () => {
    await oneCopiedOfTwo();
    const writer = new Worker(
      `const { DatabaseSync } = require('node:sqlite');
      const { parentPort, workerData } = require('node:worker_threads');
      const db = new DatabaseSync(workerData);
      db.exec('BEGIN IMMEDIATE');
      parentPort.postMessage('writes');
      setTimeout(() => db.close(), 500);`,
      { eval: true, workerData: file },
    );
    await once(writer, 'message');
    await restore(copy, file);
    expect(await countOf(file)).toBe(1);
    await writer.terminate();
  });

  test('Z4 a restore that somebody holds up for too long says so, changes nothing, and can be repeated', async () => {
    await oneCopiedOfTwo();
    const writer = new DatabaseSync(file);
    writer.exec('BEGIN IMMEDIATE');
    await expect(restore(copy, file)).rejects.toThrow(/was not restored: another process holds it/);
    writer.close();
    expect(await countOf(file)).toBe(2);
    await restore(copy, file);
    expect(await countOf(file)).toBe(1);
  });

  test('Z4 what cannot be brought up to date is not restored, and nothing changes', async () => {
    await oneCopiedOfTwo();
    const old = new DatabaseSync(copy);
    // What it needs to be brought up to date is there already.
    old.exec('PRAGMA user_version = 1');
    old.close();
    await expect(restore(copy, file)).rejects.toThrow(
      /copy\.db cannot be restored: duplicate column.*Nothing has changed/,
    );
    expect(await countOf(file)).toBe(2);
    expect(readdirSync(join(folder.path, 'data')).filter((name) => name.includes('restored'))).toEqual([]);
  });

  test('Z4 a damaged database is not written over: a restore says how to make room, and then is done', async () => {
    await oneCopiedOfTwo();
    const damaged = 'not a database any more'.repeat(500);
    writeFileSync(file, damaged);
    await expect(restore(copy, file)).rejects.toThrow(/Nothing was restored: move it, with .*-wal and .*-shm, out of/);
    expect(readFileSync(file, 'utf8')).toBe(damaged);
    renameSync(file, join(folder.path, 'damaged.db'));
    await restore(copy, file);
    expect(await countOf(file)).toBe(1);
  });

  const person = (id: string, tokensAfter = 0): UserRecord => ({
    ...{ id, username: id, usernameKey: id, email: id, emailKey: id, passwordHash: 'of the copy', tokensAfter },
    createdAt: 0,
    lastSeen: 0,
  });
  const session = (user: string, id: string, refreshHash = ''): SessionRecord => ({
    ...{ user, id, refreshHash, device: '', createdAt: 0, lastUsedAt: 0, expiresAt: 1, previousHash: '', rotatedAt: 0 },
  });
  /** Who is signed in, where. */
  const signedIn = async (store: Store, ...users: string[]) =>
    (await Promise.all(users.map(store.sessions.list))).flat().map(({ id, refreshHash }) => id + refreshHash);

  test('Z5 what has ended since the backup stays over, and who is signed in stays so', async () => {
    const store = createSqliteStore({ file });
    for (const id of [ALICE, BOB]) await store.users.create(person(id));
    for (const id of ['stays', 'refreshes', 'ends']) await store.sessions.create(session(ALICE, id));
    await backUp(file, copy);
    await store.users.create(person('newcomer'));
    await store.users.update(BOB, { tokensAfter: 7, passwordHash: 'changed' });
    await store.sessions.replace(session(ALICE, 'refreshes', ' again'), '');
    await store.sessions.create(session(BOB, 'begins'));
    await store.sessions.create(session('newcomer', 'goes'));
    const { cursor } = await store.sessions.ended();
    await store.sessions.end([{ user: ALICE, id: 'ends' }]);

    expect(await restore(copy, file)).toEqual({ unknown: 0 });
    expect(await signedIn(store, ALICE, BOB, 'newcomer')).toEqual(['refreshes again', 'stays', 'begins']);
    expect(await store.users.get([BOB])).toMatchObject([{ tokensAfter: 7, passwordHash: 'of the copy' }]);
    // Nodes that run hear of what they had not asked for yet, and of those who are gone with what was written since.
    const news = await store.sessions.ended(cursor);
    expect(news.sessions).toEqual([
      { user: ALICE, id: 'ends' },
      { user: 'newcomer', id: 'goes' },
    ]);
    await store.sessions.end([{ user: BOB, id: 'begins' }]);
    expect((await store.sessions.ended(news.cursor)).sessions).toEqual([{ user: BOB, id: 'begins' }]);
    await store.close();
  });

  test('Z5 nodes hear of all that ends after a restore, also when no note of what ended before is left', async () => {
    const store = createSqliteStore({ file });
    await store.users.create(person(ALICE));
    await store.sessions.end([{ user: ALICE, id: 'before the copy' }]);
    await backUp(file, copy);
    await store.sessions.end(Array.from({ length: 5 }, (_, i) => ({ user: ALICE, id: `${i}` })));
    const { cursor } = await store.sessions.ended();
    await store.sessions.purge({ expired: 0, ended: Number.MAX_SAFE_INTEGER });
    await restore(copy, file);
    await store.sessions.end(Array.from({ length: 9 }, (_, i) => ({ user: ALICE, id: `after ${i}` })));
    expect((await store.sessions.ended(cursor)).sessions).toHaveLength(9);
    await store.close();
  });

  test('Z5 what ended while the restore waited for somebody who writes stays over', async () => {
    const store = createSqliteStore({ file });
    await store.users.create(person(ALICE));
    for (const id of ['stays', 'ends']) await store.sessions.create(session(ALICE, id));
    await backUp(file, copy);
    const writer = new DatabaseSync(file);
    writer.exec("BEGIN IMMEDIATE; DELETE FROM sessions WHERE id = 'ends'");
    const restoring = restore(copy, file);
    let looks = 0;
    await eventually(() => existsSync(`${file}.restored`) && ++looks > 10, 'it has been refused once');
    writer.exec('COMMIT');
    writer.close();
    await restoring;
    expect(await signedIn(store, ALICE)).toEqual(['stays']);
    await store.close();
  });

  test('Z5 a database that does not know the users of the copy gets their sessions with them', async () => {
    const store = createSqliteStore({ file });
    await store.users.create(person(ALICE, 3));
    await store.sessions.create(session(ALICE, 'of the copy'));
    await backUp(file, copy);
    await store.close();
    const elsewhere = join(folder.path, 'elsewhere', 'duet.db');
    expect(await restore(copy, elsewhere)).toEqual({ unknown: 1 });
    const other = createSqliteStore({ file: elsewhere });
    expect(await signedIn(other, ALICE)).toEqual(['of the copy']);
    expect(await other.users.get([ALICE])).toMatchObject([{ tokensAfter: 3 }]);
    await other.close();
  });
});
