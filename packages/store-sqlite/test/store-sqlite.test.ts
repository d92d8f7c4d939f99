import { once } from 'node:events';
import { chmodSync, closeSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { Worker } from 'node:worker_threads';
import { conversationOf, type Draft } from '@duet/core';
import { storeSuite, storesOn, temporaryFolder } from '@duet/testkit';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { openDatabase } from '../src/database.ts';
import { backUp, createSqliteStore, restore } from '../src/index.ts';
import { migrations } from '../src/migrations.ts';

storeSuite('sqlite', async () => {
  const folder = temporaryFolder();
  const file = join(folder.path, 'duet.db');
  const stores = await storesOn(
    () => createSqliteStore({ file }),
    () => folder[Symbol.dispose](),
  );
  return {
    ...stores,
    async lose({ conversation, seq }) {
      const db = new DatabaseSync(file);
      db.prepare('DELETE FROM messages WHERE conversation = ? AND seq = ?').run(conversation, seq);
      db.close();
    },
    async loseRow({ user, conversation }) {
      const db = new DatabaseSync(file);
      db.prepare('DELETE FROM inbox WHERE user = ? AND conversation = ?').run(user, conversation);
      db.close();
    },
    async forgetShown({ conversation, seq }) {
      const db = new DatabaseSync(file);
      db.prepare('UPDATE messages SET shown = NULL WHERE conversation = ? AND seq >= ?').run(conversation, seq);
      db.close();
    },
  };
});

describe('a file that cannot be trusted', () => {
  let folder: ReturnType<typeof temporaryFolder>;
  let file: string;
  beforeEach(() => {
    folder = temporaryFolder();
    file = join(folder.path, 'data', 'duet.db');
  });
  afterEach(() => folder[Symbol.dispose]());

  const draft = (n: number): Draft => {
    const [sender, receiver] = ['a'.repeat(24), 'b'.repeat(24)] as const;
    return {
      conversation: conversationOf(sender, receiver).id,
      sender,
      receiver,
      content: 'x'.repeat(500),
      messageType: 'text',
      tempId: `${n}`,
      createdAt: n,
    };
  };

  test('D1 the folder is made, commits are synchronous, and that is read back', () => {
    const db = openDatabase(file);
    expect(db.prepare('PRAGMA journal_mode').get()).toEqual({ journal_mode: 'wal' });
    expect(db.prepare('PRAGMA synchronous').get()).toEqual({ synchronous: 2 });
    db.close();
  });

  test('D1 whoever makes the file at the same time is waited for', async () => {
    // One that writes to a file that is not in WAL mode yet, as two do that open a new one together.
    const writer = new Worker(
      `const { DatabaseSync } = require('node:sqlite');
      const { parentPort, workerData } = require('node:worker_threads');
      const db = new DatabaseSync(workerData);
      db.exec('BEGIN IMMEDIATE; CREATE TABLE t (n)');
      parentPort.postMessage('writes');
      setTimeout(() => db.close(), 300);`,
      { eval: true, workerData: join(folder.path, 'duet.db') },
    );
    await once(writer, 'message');
    const db = openDatabase(join(folder.path, 'duet.db'));
    expect(db.prepare('PRAGMA journal_mode').get()).toEqual({ journal_mode: 'wal' });
    db.close();
    await writer.terminate();
  });

  test('D2 a file that is no database is refused in plain words and left as it was', async () => {
    await createSqliteStore({ file }).close();
    writeFileSync(file, 'this is not a database, whatever its name says'.repeat(100));
    const before = readFileSync(file, 'utf8');
    expect(() => createSqliteStore({ file })).toThrow(/cannot be used: the file is not a database, or damaged/);
    expect(readFileSync(file, 'utf8')).toBe(before);
  });

  test('D3 a folder that cannot be written is refused in plain words', () => {
    writeFileSync(join(folder.path, 'data'), 'a file where a folder should be');
    expect(() => createSqliteStore({ file })).toThrow(/cannot be used/);
  });

  test('D4 a database that may only be read is refused in plain words', async () => {
    await createSqliteStore({ file }).close();
    for (const [path, mode] of [
      [folder.path, 0o555],
      [join(folder.path, 'data'), 0o555],
      [file, 0o444],
    ] as const)
      chmodSync(path, mode);
    // Rights do not hold for root: look at it as somebody else.
    const isRoot = process.geteuid?.() === 0;
    if (isRoot) process.seteuid?.(65_534);
    try {
      expect(() => createSqliteStore({ file })).toThrow(
        /cannot be used: (it, or its folder, is read-only|it cannot be opened)/,
      );
    } finally {
      if (isRoot) process.seteuid?.(0);
      for (const path of [folder.path, join(folder.path, 'data')]) chmodSync(path, 0o755);
    }
  });

  test('D12 who empties a long conversation in another process lets nodes write in between', async () => {
    const [node, other] = [createSqliteStore({ file }), createSqliteStore({ file })];
    const drafts = Array.from({ length: 5_000 }, (_, n) => draft(n));
    for (let n = 0; n < drafts.length; n += 500) await node.messages.append(drafts.slice(n, n + 500));
    const { conversation, sender } = draft(0);
    let emptied = 0;
    const erasing = other.admin.erase({ conversation, sender }).then((count) => (emptied = count));
    await new Promise((resolve) => setImmediate(resolve));
    await node.messages.append([draft(5_000)]);
    expect(emptied).toBe(0);
    expect(await erasing).toBe(5_000);
    const page = await node.messages.page({ conversation, limit: 5_001 });
    expect(page.map(({ content }) => content)).toEqual([...drafts.map(() => ''), draft(5_000).content]);
    await Promise.all([node.close(), other.close()]);
  });

  test('D5 a database of a newer version is refused', async () => {
    await createSqliteStore({ file }).close();
    const db = new DatabaseSync(file);
    db.exec('PRAGMA user_version = 999');
    db.close();
    expect(() => createSqliteStore({ file })).toThrow(/newer version of Duet/);
  });

  test('D5 the way back leads by a copy, and only when the newer database is out of the way', async () => {
    const store = createSqliteStore({ file });
    await store.messages.append([draft(0)]);
    const copy = join(folder.path, 'before.db');
    await backUp(file, copy);
    await store.close();
    const upgraded = new DatabaseSync(file);
    upgraded.exec('PRAGMA user_version = 999');
    upgraded.close();
    await expect(restore(copy, file)).rejects.toThrow(/newer version of Duet/);
    for (const end of ['', '-wal', '-shm']) rmSync(file + end, { force: true });
    await restore(copy, file);
    const back = createSqliteStore({ file });
    const { conversation } = draft(0);
    expect(await back.messages.page({ conversation, limit: 10 })).toMatchObject([{ seq: 1 }]);
    await back.close();
  });

  test('D6 a page that was destroyed gives UNAVAILABLE, and no message is acknowledged into it', async () => {
    const store = createSqliteStore({ file });
    for (let n = 0; n < 50; n++) await store.messages.append([draft(n)]);
    await store.close();
    const size = readFileSync(file).length;
    const handle = openSync(file, 'r+');
    writeSync(handle, Buffer.alloc(size - 4096 * 2, 0xff), 0, size - 4096 * 2, 4096);
    closeSync(handle);
    const damaged = createSqliteStore({ file });
    await expect(damaged.messages.append([draft(1_000)])).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    await expect(damaged.messages.page({ conversation: draft(0).conversation, limit: 50 })).rejects.toMatchObject({
      code: 'UNAVAILABLE',
    });
    await damaged.close();
  });

  test('D7 a full disk gives UNAVAILABLE; what was acknowledged stays, and room makes it work again', async () => {
    const db = openDatabase(file);
    const { createMessages } = await import('../src/messages.ts');
    const messages = createMessages(db);
    await messages.append([draft(0)]);
    const { page_count } = db.prepare('PRAGMA page_count').get() as { page_count: number };
    // The limit of the file makes SQLite fail as it does when the disk is full: SQLITE_FULL within the transaction.
    db.exec(`PRAGMA max_page_count = ${page_count + 4}`);
    let stored = 1;
    const fill = async () => {
      for (; stored < 1_000; stored++) await messages.append([draft(stored)]);
    };
    await expect(fill()).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    expect(stored).toBeGreaterThan(1);
    const page = () => messages.page({ conversation: draft(0).conversation, limit: 1_000 });
    expect((await page()).map(({ tempId }) => tempId)).toEqual(Array.from({ length: stored }, (_, n) => `${n}`));
    db.exec('PRAGMA max_page_count = 100000');
    await messages.append([draft(stored)]);
    expect((await page()).map(({ seq }) => seq)).toEqual(Array.from({ length: stored + 1 }, (_, n) => n + 1));
    db.close();
  });

  test('D10 a database of the first version is brought up to date: its watermarks find their place', async () => {
    mkdirSync(dirname(file), { recursive: true });
    const old = new DatabaseSync(file);
    old.exec(migrations[0] as string);
    old.exec('PRAGMA user_version = 1');
    const { conversation, sender: low, receiver: high } = draft(0);
    const insert = old.prepare("INSERT INTO messages VALUES (?, ?, ?, ?, 'text', 'text', ?, ?, ?, ?)");
    // low, high, high, low, high: the second message of `high` stands at 3.
    const senders = [low, high, high, low, high];
    const sent = [0, 0] as [number, number];
    for (const [i, sender] of senders.entries()) {
      sent[sender === low ? 0 : 1] += 1;
      insert.run(conversation, i + 1, sender, sender === low ? high : low, `${i}`, i, ...sent);
    }
    const join = old.prepare('INSERT INTO inbox (user, conversation, peer, readN, readAt) VALUES (?, ?, ?, ?, ?)');
    join.run(low, conversation, high, 2, 77);
    join.run(high, conversation, low, 0, 0);
    old.close();

    const store = createSqliteStore({ file });
    const unmarked = { n: 0, from: 0, seq: 0, at: 0 };
    const rows = await store.conversations.get([low, high].map((user) => ({ user, conversation })));
    expect(rows.find(({ user }) => user === low)).toMatchObject({
      lastSeq: 5,
      peerSent: 3,
      read: { n: 2, from: 0, seq: 3, at: 77 },
      delivered: unmarked,
    });
    expect(rows.find(({ user }) => user === high)).toMatchObject({ peerSent: 2, read: unmarked, delivered: unmarked });
    expect(await store.messages.append([draft(9)])).toMatchObject([{ entry: { seq: 6, sent: [3, 3] } }]);
    await store.close();
  });

  test('D11 while another process writes, however long, a database that is up to date is opened and read', async () => {
    const first = createSqliteStore({ file });
    await first.messages.append([draft(0)]);
    const writer = new DatabaseSync(file);
    writer.exec('BEGIN IMMEDIATE');
    const second = createSqliteStore({ file });
    expect(await second.admin.counts()).toMatchObject({ messages: 1 });
    for (const each of [writer, first, second]) await each.close();
  });

  test('A10 what another process hides while a page is read is not in it', async () => {
    const db = openDatabase(file);
    const other = createSqliteStore({ file });
    const prepare = db.prepare.bind(db);
    /** What happens between the two statements of a page. */
    let meanwhile = () => {};
    db.prepare = (sql) => {
      const statement = prepare(sql);
      if (!sql.includes('AS hides')) return statement;
      const get = statement.get.bind(statement);
      return Object.assign(statement, {
        get(conversation: string) {
          const found = get(conversation);
          meanwhile();
          return found;
        },
      });
    };
    const { createMessages } = await import('../src/messages.ts');
    const messages = createMessages(db);
    const { conversation, sender, receiver } = draft(0);
    await messages.append([draft(0), draft(1)]);
    const seen = async (query: object) =>
      (await messages.page({ conversation, viewer: receiver, limit: 10, ...query })).map(({ tempId }) => tempId);
    const appended: Promise<unknown>[] = [];
    for (const query of [{}, { after: 0 }]) {
      meanwhile = () => appended.push(other.messages.append([{ ...draft(appended.length + 2), hidden: true }]));
      expect(await seen(query)).toEqual(['0', '1']);
      db.prepare('DELETE FROM messages WHERE hidden').run();
    }
    expect(appended).toHaveLength(2);
    await Promise.all(appended);
    meanwhile = () => {};
    await other.messages.append([{ ...draft(4), hidden: true }]);
    for (const viewer of [sender, undefined])
      expect(await messages.page({ conversation, limit: 10, ...(viewer ? { viewer } : {}) })).toHaveLength(3);
    for (const each of [db, other]) await each.close();
  });

  test('D8 every query of the message path uses an index', () => {
    const db = openDatabase(file);
    const plan = (sql: string) =>
      db
        .prepare(`EXPLAIN QUERY PLAN ${sql}`)
        .all()
        .map(({ detail }) => String(detail))
        .join('; ');
    for (const sql of [
      'SELECT seq FROM messages WHERE conversation = ? ORDER BY seq DESC LIMIT 1',
      'SELECT * FROM messages WHERE conversation = ? AND seq < ? AND NOT (hidden AND receiver = ?) ORDER BY seq DESC LIMIT ?',
      'SELECT * FROM messages WHERE tempId = ? AND conversation = ? AND sender = ?',
      'SELECT * FROM inbox_rows WHERE user = ? AND conversation = ?',
      'SELECT sum(peerSent - readN) FROM inbox_rows WHERE user = ?',
      'SELECT * FROM inbox_rows WHERE user = ? AND conversation > ? ORDER BY conversation LIMIT ?',
    ]) {
      expect(plan(sql)).toMatch(/SEARCH/);
      expect(plan(sql)).not.toMatch(/SCAN/);
    }
    db.close();
  });
});
