import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { conversationOf, createGroupCommit, type Draft, type Entry, type Store } from '@duet/core';
import { createSqliteStore } from '@duet/store-sqlite';
import { temporaryFolder } from '@duet/testkit';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { createSealedStore, type KeyRing, missingRingKeys, parseKeyRing, rotateKeys } from '../src/index.ts';
import { lineOf, ringOf, watched } from './rings.ts';

const [LOW, HIGH, OTHER] = ['a'.repeat(24), 'b'.repeat(24), 'c'.repeat(24)] as const;
const KEY_LIFE_MS = 5 * 60_000;

function draft(n: number, receiver: string = HIGH, content = `this is secret number ${n}`): Draft {
  const conversation = conversationOf(LOW, receiver).id;
  return { conversation, sender: LOW, receiver, content, messageType: 'text', tempId: `t${n}`, createdAt: n };
}
const { conversation } = draft(0);
const contents = (entries: Entry[]) => entries.map(({ content }) => content);

describe('encryption at rest', () => {
  let folder: ReturnType<typeof temporaryFolder>;
  let file: string;
  const open: Store[] = [];
  beforeEach(() => {
    folder = temporaryFolder();
    file = join(folder.path, 'duet.db');
  });
  afterEach(async () => {
    for (const store of open.splice(0)) await store.close();
    folder[Symbol.dispose]();
  });

  /** The database as it is, without the keys. */
  function below(): Store {
    const store = createSqliteStore({ file });
    open.push(store);
    return store;
  }
  /** A node's store on the same database. */
  function node(ring: KeyRing = ringOf('a'), seals = true, sealedOnly = false) {
    const { said, clock, observe } = watched();
    return { store: createSealedStore(below(), { ring, seals, sealedOnly, clock, observe }), said, clock };
  }
  const all = (store: Store, of = conversation) => store.messages.page({ conversation: of, limit: 1_000 });
  /** Somebody who writes to the file. */
  function tamper(sql: string, ...values: (string | number)[]): void {
    const db = new DatabaseSync(file);
    expect(db.prepare(sql).run(...values).changes).toBeGreaterThan(0);
    db.close();
  }
  const stored = (seq: number) => {
    const db = new DatabaseSync(file);
    const row = db.prepare('SELECT content FROM messages WHERE conversation = ? AND seq = ?').get(conversation, seq);
    db.close();
    return (row as { content: string }).content;
  };

  test('E11 neither the database nor its log holds a text, and equal texts look different', async () => {
    const { store } = node();
    const texts = ['do not read this', 'do not read this', '👩‍👩‍👧‍👦 '.repeat(40)];
    await store.messages.append(texts.map((text, i) => draft(i, HIGH, text)));
    await store.messages.append([draft(9, OTHER, 'do not read this')]);
    const written = ['', '-wal']
      .map((suffix) => readFileSync(file + suffix))
      .map(String)
      .join('');
    expect(written).toContain('t9');
    for (const text of texts) {
      expect(written).not.toContain(text.slice(0, 10));
      expect(written).not.toContain(Buffer.from(text).toString('base64').slice(0, 12));
    }
    expect(stored(1)).not.toBe(stored(2));
    expect(contents(await all(store))).toEqual(texts);
  });

  test('E11 what a sealed row holds is bound to its conversation, people, kind, time and tempId', async () => {
    const { store } = node();
    await store.messages.append([draft(1), draft(2)]);
    for (const [column, value] of [
      ['sender', OTHER],
      ['receiver', OTHER],
      ['messageType', 'file'],
      ['createdAt', 77],
      ['tempId', 'another'],
    ] as const) {
      const [before] = await store.messages.get([{ conversation, seq: 1 }]);
      tamper(`UPDATE messages SET ${column} = ? WHERE seq = 1`, value);
      const [row, next] = await all(store);
      expect({ column, ...row }).toMatchObject({ column, content: '', unreadable: true });
      expect(next).toMatchObject({ content: draft(2).content });
      tamper(`UPDATE messages SET ${column} = ? WHERE seq = 1`, before?.[column] as string);
    }
    expect(contents(await all(store))).toEqual([draft(1).content, draft(2).content]);
  });

  test('E11 texts of any length and alphabet come back as they were, however they follow each other', async () => {
    const { store } = node();
    // Up to the memory in which a box is put together, and beyond it.
    const lengths = [0, 1, 1_017, 1_018, 4_067, 4_068, 4_069, 5_000, 1, 341];
    const texts = lengths.flatMap((length) => ['x', 'é', '文', '👋'].map((sign) => sign.repeat(length)));
    await store.messages.append(texts.map((text, i) => draft(i, HIGH, text)));
    expect(contents(await all(store))).toEqual(texts);
    expect(contents(await all(below()))).not.toContain(texts.at(-1));
  });

  test('E12 what was stored before stays readable, and what was sealed stays so when it is switched off', async () => {
    const odd = ['\u0001', '\u0001\u0001 two', `\u00011${'0'.repeat(8)}AAAA`, '\u0001x'];
    const plain = node(ringOf('a'), false);
    await plain.store.messages.append(odd.map((text, i) => draft(i, HIGH, text)));
    const sealing = node();
    await sealing.store.messages.append(odd.map((text, i) => draft(10 + i, HIGH, text)));
    await plain.store.messages.append([draft(20, HIGH, 'off again')]);
    for (const { store, said } of [plain, sealing, node(ringOf('a'), false)]) {
      expect(contents(await all(store))).toEqual([...odd, ...odd, 'off again']);
      expect(said.unreadable).toEqual([]);
    }
    expect(stored(1)).toBe(`\u0001${odd[0]}`);
    expect(stored(5).slice(0, 2)).toBe('\u00011');
    expect(stored(5).slice(2)).toMatch(/^[0-9a-f]{8}[\w+/=]+$/);
  });

  test('E11 no nonce comes twice, on one node or several', async () => {
    const nodes = [node(), node()];
    for (let group = 0; group < 8; group++) {
      const drafts = Array.from({ length: 100 }, (_, i) => draft(100 * group + i, HIGH, 'the same'));
      await nodes[group % 2]?.store.messages.append(drafts);
    }
    const rows = await all(below());
    const nonces = rows.map(({ content }) => content.slice(10, 26));
    expect(nonces).toHaveLength(800);
    expect(new Set(nonces).size).toBe(800);
  });

  test('E12 a key and a row that were sealed by an earlier version are opened', async () => {
    const ring = parseKeyRing(`old:${Buffer.from(Array.from({ length: 32 }, (_, i) => i)).toString('base64')}`);
    const wrapped = 'uzjRPQhU0xG3+3HjGysZfBPehIexLJfO2hYZgGgY9B0RskK4CQVsL2nDSBUJ2YFGsvkppLwoyET8T+c/';
    const row = '\u0001143ec9229R6x8XInmoZJxzpt4miizREiESNo9hrH4ZoLkkMBcR2inO092pU9jq3zlJ1UGdtaGwyzWi7hOzQ==';
    const under = below();
    await under.dataKeys.put([{ key: { conversation, id: '43ec9229', ringKey: 'old.630dcd29', wrapped } }]);
    await under.messages.append([draft(1, HIGH, row)]);
    const { store, said } = node(ring);
    await store.messages.append([draft(2)]);
    expect(contents(await all(store))).toEqual(['written before, näher 👍', draft(2).content]);
    expect(said).toEqual({ unreadable: [], damaged: [] });
    expect(await store.dataKeys.get([conversation])).toMatchObject([{ wrapped }]);
  });

  test('E12 rows of a database from before sealing are read as they are', async () => {
    const before = createSqliteStore({ file });
    await before.messages.append([draft(1), draft(2)]);
    await before.close();
    const { store } = node();
    await store.messages.append([draft(3)]);
    expect(contents(await all(store))).toEqual([1, 2, 3].map((n) => draft(n).content));
    expect(await store.messages.append([draft(1)])).toMatchObject([
      { fresh: false, entry: { content: draft(1).content } },
    ]);
  });

  test.each([
    ['one bit is flipped', (text: string) => `${text.slice(0, 40)}${text[40] === 'A' ? 'B' : 'A'}${text.slice(41)}`],
    ['its tag is cut off', (text: string) => text.slice(0, -20)],
    ['nothing is left but the mark', (text: string) => text.slice(0, 2)],
    ['it names another key', (text: string) => `${text.slice(0, 2)}ffffffff${text.slice(10)}`],
    ['a newer version wrote it', (text: string) => `\u00012${text.slice(2)}`],
    ['it is no base64', (text: string) => `${text.slice(0, 10)}!!!${text.slice(13)}`],
  ])('E13 a row hurts only itself when %s', async (_, change) => {
    const { store, said } = node();
    const drafts = [1, 2, 3].map((n) => draft(n));
    await store.messages.append(drafts);
    tamper('UPDATE messages SET content = ? WHERE seq = 2', change(stored(2)));
    const entries = await all(store);
    expect(contents(entries)).toEqual([draft(1).content, '', draft(3).content]);
    expect(entries.map(({ unreadable }) => unreadable)).toEqual([undefined, true, undefined]);
    expect(said.unreadable).toEqual([{ conversation, seq: 2, why: expect.any(String) }]);
    expect(await store.messages.append(drafts)).toMatchObject([
      { fresh: false, entry: { content: draft(1).content } },
      { fresh: false, entry: { content: '', unreadable: true } },
      { fresh: false, entry: { content: draft(3).content } },
    ]);
    expect(await store.messages.append([draft(4)])).toMatchObject([{ fresh: true, entry: { seq: 4 } }]);
  });

  test('E20 where all is encrypted nobody makes up a message who can write to the database and has no key', async () => {
    await node(ringOf('a'), false).store.messages.append([draft(1)]);
    await node().store.messages.append([2, 3].map((n) => draft(n)));
    tamper("UPDATE messages SET content = 'pay to another account' WHERE seq = 2");
    tamper("UPDATE messages SET content = '' WHERE seq = 3");
    expect(contents(await all(node().store))).toEqual([draft(1).content, 'pay to another account', '']);
    const { store, said } = node(ringOf('a'), true, true);
    expect((await all(store)).map(({ content, unreadable }) => [content, unreadable])).toEqual([
      ['', true],
      ['', true],
      ['', undefined],
    ]);
    expect(said.unreadable.map(({ seq }) => seq)).toEqual([1, 2]);
    expect(await store.messages.append([draft(4)])).toMatchObject([
      { fresh: true, entry: { content: draft(4).content } },
    ]);
  });

  test('E13 two rows whose contents were exchanged are both unreadable', async () => {
    const { store } = node();
    await store.messages.append([1, 2, 3].map((n) => draft(n)));
    const [first, second] = [stored(1), stored(2)];
    tamper('UPDATE messages SET content = ? WHERE seq = 1', second);
    tamper('UPDATE messages SET content = ? WHERE seq = 2', first);
    expect((await all(store)).map(({ unreadable, content }) => [unreadable, content])).toEqual([
      [true, ''],
      [true, ''],
      [undefined, draft(3).content],
    ]);
  });

  test('E13 a damaged key of a conversation costs what it sealed, and the conversation goes on', async () => {
    await node().store.messages.append([draft(1), draft(1, OTHER)]);
    tamper("UPDATE dataKeys SET wrapped = 'AAAA' WHERE conversation = ?", conversation);
    const { store, said } = node();
    expect(await all(store)).toMatchObject([{ content: '', unreadable: true }]);
    // The group holds both conversations.
    const [appended] = await store.messages.append([draft(2), draft(2, OTHER)]);
    expect(appended).toMatchObject({ fresh: true, entry: { content: draft(2).content } });
    expect(said.damaged).toMatchObject([{ conversation }, { conversation }]);
    expect(contents(await all(node().store))).toEqual(['', draft(2).content]);
    expect(contents(await all(store, draft(1, OTHER).conversation))).toEqual([1, 2].map((n) => draft(n).content));
  });

  test('E14 nodes that begin a conversation at once agree on its key, and read each other', async () => {
    const nodes = [node(), node(), node()];
    const appends = Array.from({ length: 30 }, (_, n) => nodes[n % 3]?.store.messages.append([draft(n)]));
    await Promise.all(appends);
    for (const { store, said } of nodes) {
      expect(contents(await all(store)).toSorted()).toEqual(
        Array.from({ length: 30 }, (_, n) => draft(n).content).toSorted(),
      );
      expect(said.unreadable).toEqual([]);
    }
    expect(await nodes[0]?.store.dataKeys.get([conversation])).toHaveLength(1);
  });

  test('E15 keys are rotated while nodes write; no message changes, and the old key may go', async () => {
    const old = node(ringOf('a'));
    const others = Array.from({ length: 40 }, (_, i) => i.toString(16).padStart(24, 'd'));
    await old.store.messages.append(others.map((peer, n) => draft(n, peer)));
    await old.store.messages.append([draft(1)]);
    const before = stored(1);
    // Step by step, as the page on encryption says: first every node can open, then the new key is first.
    const both = node(ringOf('b', 'a'));
    let writing = true;
    let n = 1;
    const writes = (async () => {
      for (; writing; n++) await old.store.messages.append([draft(n + 1)]);
    })();
    const seen: number[] = [];
    const rotated = await rotateKeys(both.store.dataKeys, ringOf('b', 'a'), (count) => seen.push(count));
    writing = false;
    await writes;
    expect(rotated).toEqual({ rewrapped: 41, damaged: 0, needed: [] });
    expect(seen.at(-1)).toBe(41);
    expect(stored(1)).toBe(before);
    const fresh = node(ringOf('b'));
    expect(await missingRingKeys(fresh.store.dataKeys, ringOf('b'))).toEqual([]);
    expect(contents(await all(fresh.store))).toEqual(Array.from({ length: n }, (_, i) => draft(i + 1).content));
    for (const [i, peer] of others.entries())
      expect(contents(await all(fresh.store, draft(i, peer).conversation))).toEqual([draft(i).content]);
    expect(fresh.said.unreadable).toEqual([]);
    expect(await rotateKeys(both.store.dataKeys, ringOf('b', 'a'))).toEqual({ rewrapped: 0, damaged: 0, needed: [] });
  });

  test('E15 a rotation that was broken off is finished by the next, and leaves a damaged key as it is', async () => {
    const { store } = node(ringOf('a'));
    const peers = Array.from({ length: 9 }, (_, i) => i.toString(16).padStart(24, 'e'));
    await store.messages.append(peers.map((peer, n) => draft(n, peer)));
    const keys = await store.dataKeys.list({ limit: 9 });
    tamper("UPDATE dataKeys SET wrapped = 'AAAA' WHERE conversation = ?", keys[4]?.conversation as string);
    let put = 0;
    const breaking = {
      ...store.dataKeys,
      put: async (changes: Parameters<Store['dataKeys']['put']>[0]) => {
        await store.dataKeys.put(changes.slice(0, 3));
        put += 1;
        throw new Error('killed');
      },
    };
    await expect(rotateKeys(breaking, ringOf('b', 'a'))).rejects.toThrow('killed');
    expect(put).toBe(1);
    const names = async () => (await store.dataKeys.list({ limit: 9 })).map(({ ringKey }) => ringKey.split('.')[0]);
    expect((await names()).join('')).toBe('aaaaaabbb');
    const needed = ringOf('a').names;
    expect(await rotateKeys(store.dataKeys, ringOf('b', 'a'))).toEqual({ rewrapped: 5, damaged: 1, needed });
    expect((await names()).join('')).toBe('abbbbbbbb');
    expect(await missingRingKeys(store.dataKeys, ringOf('b'))).toEqual(needed);
  });

  test('E16 a node that remembers the key of a database whose place a backup has taken reads by the one that there is', async () => {
    const [reader, writer] = [node(), node()];
    await writer.store.messages.append([draft(1)]);
    expect(contents(await all(reader.store))).toEqual([draft(1).content]);
    // As after a restore, when the first one who writes has made another key.
    tamper('DELETE FROM dataKeys');
    tamper('DELETE FROM messages');
    await node().store.messages.append([draft(2)]);
    expect(contents(await all(reader.store))).toEqual([draft(2).content]);
    expect(reader.said.unreadable).toEqual([]);
  });

  test('E16 keys that a ring lacks are named, also one with the same id and other bytes', async () => {
    await node(ringOf('a')).store.messages.append([draft(1)]);
    const { store } = node(ringOf('b'));
    await store.messages.append([draft(1, OTHER)]);
    const [a] = ringOf('a').names;
    expect(await missingRingKeys(store.dataKeys, ringOf('b', 'c'))).toEqual([a]);
    const impostor = parseKeyRing(`a:${lineOf('z').slice(2)}`);
    expect(await missingRingKeys(store.dataKeys, impostor)).toEqual([a, ...ringOf('b').names]);
    await expect(rotateKeys(store.dataKeys, ringOf('b'))).rejects.toThrow(`The key ring lacks ${a}`);
    // A node that runs without a key that others use says so, and does not call what it cannot open lost.
    await expect(all(store)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    expect(contents(await all(store, draft(1, OTHER).conversation))).toEqual([draft(1).content]);
  });

  test('E21 a conversation whose key the ring lacks fails alone, whatever is committed together with it', async () => {
    await node(ringOf('a')).store.messages.append([draft(1)]);
    const { store, said, clock } = node(ringOf('b'));
    const group: number[] = [];
    const commit = createGroupCommit(store.messages.append, { clock, committed: (size) => group.push(size) });
    const results = await Promise.allSettled(
      [draft(1, OTHER), draft(2), draft(2, OTHER), draft(3)].map((each) => commit.add(each)),
    );
    expect(results).toMatchObject([
      { value: { fresh: true, entry: { seq: 1 } } },
      { reason: { code: 'UNAVAILABLE' } },
      { value: { fresh: true, entry: { seq: 2 } } },
      { reason: { code: 'UNAVAILABLE' } },
    ]);
    expect(group).toEqual([2]);
    expect(contents(await all(store, draft(1, OTHER).conversation))).toEqual([1, 2].map((n) => draft(n).content));
    // Its key was neither replaced nor called damaged: what it sealed can be read by whoever has it.
    expect(said).toEqual({ unreadable: [], damaged: [] });
    const both = node(ringOf('b', 'a')).store;
    expect(await both.messages.append([draft(2)])).toMatchObject([{ fresh: true, entry: { seq: 2 } }]);
    expect(contents(await all(both))).toEqual([1, 2].map((n) => draft(n).content));
  });

  test('E17 without its key a conversation cannot be opened: here at once, elsewhere within 5 minutes', async () => {
    const [here, elsewhere] = [node(), node()];
    await here.store.messages.append([draft(1), draft(1, OTHER)]);
    expect(contents(await all(elsewhere.store))).toEqual([draft(1).content]);
    await here.store.dataKeys.remove(conversation);
    const gone = [{ content: '', unreadable: true }];
    expect(await all(here.store)).toMatchObject(gone);
    await elsewhere.clock.advance(KEY_LIFE_MS);
    expect(await all(elsewhere.store)).toMatchObject(gone);
    expect(await all(node().store)).toMatchObject(gone);
    expect(here.said.unreadable).toEqual([{ conversation, seq: 1, why: 'its key is gone' }]);
    // What comes later has a key of its own, which opens nothing of before.
    await here.store.messages.append([draft(2)]);
    expect(contents(await all(node().store))).toEqual(['', draft(2).content]);
    expect(contents(await all(node().store, draft(1, OTHER).conversation))).toEqual([draft(1).content]);
  });

  test.each([
    ['', 'it holds no key'],
    ['# nothing but words', 'it holds no key'],
    ['a:tooshort', 'line 1 is not ID:KEY'],
    [`${'A'.repeat(43)}=`, 'line 1 is not ID:KEY'],
    [`a b:${'A'.repeat(43)}=`, 'line 1 is not ID:KEY'],
  ])('E18 a key ring of %j is refused, without a word of it', (text, why) => {
    const error = (() => {
      try {
        parseKeyRing(text);
      } catch (thrown) {
        return thrown as Error;
      }
    })();
    expect(error?.message).toContain(why);
    expect(error?.message).not.toMatch(/tooshort|A{8}/);
  });

  test('E18 a key ring may have comments, blank lines and line ends of any kind; its first key is current', () => {
    const ring = parseKeyRing(`# new\r\n${lineOf('b')}\r\n\r\n  ${lineOf('a')}  \r\n`);
    expect(ring.names).toEqual(ringOf('b', 'a').names);
    expect(ring.current?.name).toBe(ringOf('b').names[0]);
    expect(() => parseKeyRing(`${lineOf('a')}\n${lineOf('a')}`)).toThrow('line 2 has an id that an earlier line has');
  });
});
