import { once } from 'node:events';
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { Worker } from 'node:worker_threads';
import { conversationOf, type Draft } from '@duet/core';
import { temporaryFolder } from '@duet/testkit';
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

  test('Z4 what was restored and cannot be opened then is said to be restored', async () => {
    await oneCopiedOfTwo();
    const old = new DatabaseSync(copy);
    // What it needs to be brought up to date is there already.
    old.exec('PRAGMA user_version = 1');
    old.close();
    await expect(restore(copy, file)).rejects.toThrow(
      /copy\.db was restored, but cannot be looked at\..*duplicate column/,
    );
    const restored = new DatabaseSync(file);
    expect(restored.prepare('SELECT count(*) AS messages FROM messages').get()).toEqual({ messages: 1 });
    restored.close();
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
});
