import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { conversationOf, createUserAdmin, type Draft, type Entry, type Store, type UserRecord } from '@duet/core';
import { createMongoStore } from '@duet/store-mongo';
import { createSqliteStore } from '@duet/store-sqlite';
import { type BackingService, databaseOf, hasMongo, startMongo, temporaryFolder } from '@duet/testkit';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createSealedStore } from '../src/index.ts';
import { ringOf, watched } from './rings.ts';

const KEY_LIFE_MS = 5 * 60_000;
const [ALICE, BOB, CAROL, DAVE] = ['a'.repeat(24), 'b'.repeat(24), 'c'.repeat(24), 'd'.repeat(24)] as const;
const between = (one: string, other: string) => conversationOf(one, other).id;

const person = (id: string): UserRecord => ({
  id,
  username: id,
  usernameKey: id,
  email: id,
  emailKey: id,
  passwordHash: '',
  createdAt: 0,
  lastSeen: 0,
  tokensAfter: 0,
});

function draft(sender: string, receiver: string, n: number): Draft {
  const content = `secret ${n} of ${sender}`;
  const conversation = between(sender, receiver);
  return { conversation, sender, receiver, content, messageType: 'text', tempId: `t${n}`, createdAt: n };
}
const drafts = [
  ...[draft(ALICE, BOB, 1), draft(BOB, ALICE, 2)],
  ...[draft(ALICE, CAROL, 3), draft(CAROL, ALICE, 4)],
  draft(BOB, CAROL, 5),
];

/**
 * @param database opens one more store on a database of this name, below the sealing
 */
function suite(name: string, database: (name: string) => Store): void {
  describe(name, () => {
    const open: Store[] = [];
    async function raw(of: string): Promise<Store> {
      const store = database(of);
      open.push(store);
      await store.ready();
      return store;
    }
    /** A node, or a command beside it. */
    async function node(of: string) {
      const { said, clock, observe } = watched();
      const store = createSealedStore(await raw(of), { ring: ringOf('a'), seals: true, clock, observe });
      const accounts = { newId: randomUUID, newPassword: randomUUID, hash: async (password: string) => password };
      return { store, said, clock, users: createUserAdmin({ ...accounts, store, clock, pause: async () => {} }) };
    }
    const all = (store: Store, conversation: string) => store.messages.page({ conversation, limit: 100 });
    const contents = (entries: Entry[]) => entries.map(({ content }) => content);
    const texts = (of: string) =>
      drafts.filter(({ conversation }) => conversation === of).map(({ content }) => content);

    /** What somebody reads who kept these rows, and has the key ring and all keys that the database has now. */
    async function readCopy(rows: Entry[], { dataKeys }: Store): Promise<Entry[]> {
      const copy = `copy-${randomUUID().slice(0, 8)}`;
      const thief = await raw(copy);
      await thief.messages.append(rows.map(({ id: _, seq: __, sent: ___, ...row }) => row));
      await thief.dataKeys.put((await dataKeys.list({ limit: 100 })).map((key) => ({ key })));
      return all((await node(copy)).store, rows[0]?.conversation as string);
    }

    async function begin() {
      const of = `shred-${randomUUID().slice(0, 8)}`;
      const on = await node(of);
      for (const id of [ALICE, BOB, CAROL]) await on.store.users.create(person(id));
      await on.store.messages.append(drafts);
      const id = between(ALICE, BOB);
      const rows = await all(await raw(of), id);
      const keys = async (conversation: string) => (await on.store.dataKeys.get([conversation])).length;
      return { ...on, of, id, rows, keys };
    }

    afterAll(async () => {
      for (const store of open) await store.close();
    });

    test('E19 the key of a conversation goes with the second of its people, and with it every copy of a text', async () => {
      const { store, users, of, id, rows, keys, said } = await begin();
      const elsewhere = await node(of);
      expect(contents(await all(elsewhere.store, id))).toEqual(texts(id));
      expect(contents(await readCopy(rows, store))).toEqual(texts(id));

      expect(await users.delete(ALICE, { messages: true })).toMatchObject({ emptied: 2, shredded: 0 });
      expect(contents(await all(store, id))).toEqual(['', texts(id)[1]]);
      expect(contents(await readCopy(rows, store))).toEqual(texts(id));

      expect(await users.delete(BOB, { messages: true })).toMatchObject({ emptied: 2, shredded: 1 });
      expect(await keys(id)).toBe(0);
      const gone = { content: '', unreadable: true };
      expect(await readCopy(rows, store)).toMatchObject([gone, gone]);
      await elsewhere.clock.advance(KEY_LIFE_MS);
      // Nothing was damaged: who reads the conversation finds it empty, nothing is said, and no key is made for it.
      for (const reader of [store, elsewhere.store, (await node(of)).store]) {
        const entries = await all(reader, id);
        expect(entries.map(({ content, unreadable }) => [content, unreadable])).toEqual([
          ['', undefined],
          ['', undefined],
        ]);
      }
      expect([...said.unreadable, ...elsewhere.said.unreadable]).toEqual([]);
      expect(await keys(id)).toBe(0);

      // Carol is there, and has what she wrote; also where that is nothing, her nodes may have the key at hand.
      expect(await keys(between(ALICE, CAROL))).toBe(1);
      expect(await keys(between(BOB, CAROL))).toBe(1);
      expect(contents(await all((await node(of)).store, between(ALICE, CAROL)))).toEqual(['', drafts[3]?.content]);
    });

    test('E19 while anything is left to read the key stays; the deletion can be repeated', async () => {
      const { store, users, id, keys } = await begin();
      expect(await users.delete(BOB, { messages: false })).toMatchObject({ emptied: 0, shredded: 0 });
      expect(await users.delete(ALICE, { messages: true })).toMatchObject({ emptied: 2, shredded: 0 });
      expect(contents(await all(store, id))).toEqual(['', texts(id)[1]]);
      expect(await keys(id)).toBe(1);
      for (let i = 0; i < 2; i++) {
        expect(await users.delete(BOB, { messages: true })).toMatchObject({ emptied: 2, shredded: 1 });
        expect(await keys(id)).toBe(0);
      }
      expect(await users.delete(CAROL, { messages: true })).toMatchObject({ emptied: 1, shredded: 2 });
    });

    test('E19 where the other one has never seen anything, the key goes with who wrote it', async () => {
      const { store, users, of, keys } = await begin();
      const [id, seen] = [between(ALICE, DAVE), between(BOB, DAVE)];
      await store.users.create(person(DAVE));
      const hidden = { ...draft(DAVE, ALICE, 6), hidden: true } as const;
      await store.messages.append([hidden, { ...draft(DAVE, BOB, 7), hidden: true }, draft(DAVE, BOB, 8)]);
      const rows = await all(await raw(of), id);
      expect(contents(await readCopy(rows, store))).toEqual([hidden.content]);
      expect(await users.delete(DAVE, { messages: true })).toMatchObject({ emptied: 3, shredded: 1 });
      expect([await keys(id), await keys(seen)]).toEqual([0, 1]);
      expect(await readCopy(rows, store)).toMatchObject([{ content: '', unreadable: true }]);
    });
  });
}

const folder = temporaryFolder();
afterAll(() => folder[Symbol.dispose]());
suite('keys of deleted conversations on SQLite', (name) => createSqliteStore({ file: join(folder.path, name) }));

describe.skipIf(!hasMongo())('MongoDB', () => {
  let server: BackingService;
  beforeAll(async () => {
    server = await startMongo();
  });
  afterAll(() => server[Symbol.asyncDispose]());

  suite('keys of deleted conversations on MongoDB', (name) => createMongoStore({ uri: databaseOf(server.url, name) }));
});
