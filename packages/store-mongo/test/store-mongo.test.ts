import { randomUUID } from 'node:crypto';
import { type Appended, conversationOf, type Draft, type InboxRow, nextEntry, type Receipt } from '@duet/core';
import {
  type BackingService,
  databaseOf,
  eventually,
  eventuallyWorks,
  hasMongo,
  startMongo,
  startTcpProxy,
  storeSuite,
  storesOn,
} from '@duet/testkit';
import type { mongo } from 'mongoose';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createAdmin } from '../src/admin.ts';
import { MAJORITY_MS } from '../src/bounds.ts';
import { createConversations, createReceipts } from '../src/conversations.ts';
import { createDataKeys } from '../src/data-keys.ts';
import { createDatabase, type Database } from '../src/database.ts';
import { bumpInbox } from '../src/inbox.ts';
import { createMongoStore } from '../src/index.ts';
import { createMessages } from '../src/messages.ts';
import { createPrivacy } from '../src/privacy.ts';
import type { InboxDocument, PrivacyDocument } from '../src/schemas.ts';
import { createSessions } from '../src/sessions.ts';
import { createUsers } from '../src/users.ts';

const [LOW, HIGH] = ['a'.repeat(24), 'b'.repeat(24)] as const;
const { id: conversation } = conversationOf(LOW, HIGH);

function draft(n: number, sender: string = LOW): Draft {
  const receiver = sender === LOW ? HIGH : LOW;
  const content = `text ${n}`;
  return { conversation, sender, receiver, content, messageType: 'text', tempId: `${sender}-${n}`, createdAt: n };
}

/** What driver 7.8 does to itself when a connection closes under a heartbeat: its next ones are never answered. */
function hangHeartbeats(client: unknown): void {
  const { topology } = client as { topology: { s: { servers: Map<string, { monitor: { connection: object } }> } } };
  for (const { monitor } of topology.s.servers.values()) {
    Object.assign(monitor.connection, { command: () => new Promise(() => {}), exhaustCommand() {} });
    // The closing of the connection must not be noticed either.
    Object.defineProperty(monitor.connection, 'closed', { get: () => false, set() {} });
  }
}

interface Pool {
  checkOut(options: object): Promise<unknown>;
  checkIn(connection: unknown): void;
}

/** Takes a connection out of the driver's pool until the answer is called. */
async function occupyConnection(client: unknown): Promise<() => void> {
  const { topology } = client as { topology: { s: { servers: Map<string, { pool: Pool }> } } };
  const [{ pool }] = [...topology.s.servers.values()] as [{ pool: Pool }];
  const connection = await pool.checkOut({ timeoutContext: { csotEnabled: () => false } });
  return () => pool.checkIn(connection);
}

describe.skipIf(!hasMongo())('MongoDB', () => {
  let server: BackingService;
  beforeAll(async () => {
    server = await startMongo();
  });
  afterAll(() => server[Symbol.asyncDispose]());

  /** A database that nobody else uses. */
  const newUri = () => databaseOf(server.url, `duet-${randomUUID().slice(0, 8)}`);

  storeSuite('mongo', async () => {
    const uri = newUri();
    const stores = await storesOn(async () => {
      const store = createMongoStore({ uri });
      await store.ready();
      return store;
    });
    return {
      ...stores,
      async lose(entry) {
        const database = createDatabase(uri);
        await database.ready();
        await database.collection('messages').deleteOne(entry);
        await database.close();
      },
      async loseRow(row) {
        const database = createDatabase(uri);
        await database.ready();
        await database.collection('inbox').deleteOne({ ...row });
        await database.close();
      },
      async forgetShown({ conversation, seq }) {
        const database = createDatabase(uri);
        await database.ready();
        const above = { conversation, seq: { $gte: seq } };
        await database.collection('messages').updateMany(above, { $unset: { shown: '' } });
        await database.close();
      },
    };
  });

  /** Conversations of `LOW`, in each of which the peer has sent two messages. */
  const conversationsOfLow = (count: number) =>
    Array.from({ length: count }, (_, i) => {
      const sender = (0xb00 + i).toString(16).padStart(24, '0');
      const { id } = conversationOf(LOW, sender);
      const drafts = [1, 2].map((n): Draft => ({ ...draft(n), conversation: id, sender, receiver: LOW }));
      return { id, peer: sender, drafts };
    });

  test('N1 every query of the message path is served by an index; writes wait for the disks of a majority, reads show no less', async () => {
    const database = createDatabase(newUri(), { monitorCommands: true });
    await database.ready();
    const commands: Record<string, unknown>[] = [];
    database.client().on('commandStarted', ({ command }) => commands.push(command));
    const messages = createMessages(database);
    const conversations = createConversations(database);
    const users = createUsers(database);
    await messages.append([draft(1), draft(2), draft(1, HIGH)]);
    await messages.append([draft(1)]);
    await messages.page({ conversation, before: 3, limit: 10 });
    await messages.page({ conversation, after: 1, limit: 10 });
    await messages.get([{ conversation, seq: 2 }]);
    await conversations.get([{ user: LOW, conversation }]);
    await conversations.marks([{ user: LOW, conversation }]);
    await conversations.peers(LOW, 10);
    await conversations.list({ user: LOW, after: { lastAt: 9, conversation }, limit: 10 });
    await conversations.unread(LOW);
    await conversations.walk({ user: LOW, after: '0', limit: 10 });
    await createReceipts(database).advance([{ kind: 'read', user: HIGH, conversation, n: 1, seq: 1, at: 5 }]);
    const many = conversationsOfLow(20);
    await messages.append(many.flatMap(({ drafts }) => drafts));
    await messages.get(many.map(({ id }) => ({ conversation: id, seq: 2 })));
    await conversations.walk({ user: LOW, limit: 100 });
    await conversations.marks(many.map(({ id, peer }) => ({ user: peer, conversation: id })));
    await conversations.get(many.map(({ id }) => ({ user: LOW, conversation: id })));
    await users.get([LOW]);
    await users.byEmail('somebody@example.org');
    await users.seen([{ id: LOW, at: 5 }]);

    const queries = commands.flatMap(({ find, update, filter, sort, updates }) => {
      if (find) return [{ find, filter, ...(sort ? { sort } : {}) }];
      return ((updates ?? []) as { q: object }[]).map(({ q }) => ({ find: update, filter: q }));
    });
    expect(queries.length).toBeGreaterThan(12);
    const db = database.client().db();
    // By itself a server knows no majority, and promises less than what is tested here.
    if (server.process) expect(await db.command({ hello: 1 })).toMatchObject({ setName: 'duet' });
    const aboutMany = /"filter":\{"\$or"|"\$in"/;
    expect(queries.filter((query) => aboutMany.test(JSON.stringify(query))).length).toBeGreaterThanOrEqual(5);
    for (const query of queries) {
      const plan = JSON.stringify(await db.command({ explain: query, verbosity: 'queryPlanner' }));
      // Not each server that stands in for MongoDB has an index for those; theirs is what is asked of each.
      if (aboutMany.test(JSON.stringify(query)) && !plan.includes('"winningPlan"')) continue;
      // MongoDB names its stage, the PostgreSQL behind FerretDB its index.
      expect(plan, JSON.stringify(query)).toMatch(/"IXSCAN"|"IDHACK"|"EXPRESS_IXSCAN"|"Index Name"/);
      expect(plan, JSON.stringify(query)).not.toMatch(/"COLLSCAN"|"Seq Scan"/);
    }
    const writes = commands.filter((command) => ['insert', 'update', 'delete'].some((name) => name in command));
    expect(writes.length).toBeGreaterThan(3);
    for (const write of writes)
      expect(write.writeConcern).toMatchObject({ w: 'majority', j: true, wtimeout: MAJORITY_MS });
    // What a failover may still take back is shown to nobody, and nothing is built on it.
    const reads = commands.filter((command) => 'find' in command);
    for (const read of reads)
      expect(read).toMatchObject({ readConcern: { level: 'majority' }, maxTimeMS: expect.any(Number) });
    await database.close();
  });

  test('N20 what must be sure is read as no primary that was replaced can answer', async () => {
    const database = createDatabase(newUri(), { monitorCommands: true });
    await database.ready();
    const [messages, sessions] = [createMessages(database), createSessions(database)];
    await messages.append([draft(1)]);
    const commands: mongo.Document[] = [];
    database.client().on('commandStarted', ({ command }) => commands.push(command));
    const places = [1, 2].map((seq) => ({ conversation, seq }));
    expect(await messages.get(places, { sure: true })).toMatchObject([{ seq: 1 }]);
    expect(await sessions.get([{ user: LOW, id: HIGH }], { sure: true })).toEqual([]);
    // MongoDB keeps that promise for one document, found by a unique index.
    expect(commands.map(({ filter, limit, readConcern }) => ({ filter, limit, readConcern }))).toEqual(
      [...places, { _id: `${LOW}:${HIGH}`, user: LOW }].map((filter) => ({
        filter,
        limit: 1,
        readConcern: { level: 'linearizable' },
      })),
    );
    await database.close();
  });

  test('N2 what another node has written is noticed, and a remembered tail that is old leaves no hole', async () => {
    const uri = newUri();
    const [one, other] = [createMongoStore({ uri }), createMongoStore({ uri })];
    await Promise.all([one.ready(), other.ready()]);
    for (let n = 1; n <= 10; n++) {
      const [mine] = await (n % 2 ? one : other).messages.append([draft(n)]);
      expect(mine).toMatchObject({ fresh: true, entry: { seq: n, sent: [n, 0] } });
    }
    // Both remember a tail; the one that is older must not be believed.
    const group = [draft(11, HIGH), draft(12, HIGH), draft(1), draft(13, HIGH)];
    const results = await one.messages.append(group);
    expect(results.map(({ entry }) => entry.seq)).toEqual([11, 12, 1, 13]);
    await Promise.all([one.close(), other.close()]);
  });

  test('N10 a page of conversations costs as few reads as one of them, however long it is', async () => {
    const database = createDatabase(newUri(), { monitorCommands: true });
    await database.ready();
    const messages = createMessages(database);
    let commands = 0;
    database.client().on('commandStarted', () => (commands += 1));
    const costOf = async (work: (conversations: ReturnType<typeof createConversations>) => Promise<unknown>) => {
      const before = commands;
      await work(createConversations(database));
      return commands - before;
    };
    let made = 0;
    for (const count of [1, 100]) {
      const all = conversationsOfLow(count).slice(made);
      await messages.append(all.flatMap(({ drafts }) => drafts));
      made = count;
      const query = { user: LOW, limit: 200 };
      const keys = conversationsOfLow(count).map(({ id, peer }) => ({ user: peer, conversation: id }));
      const places = keys.map(({ conversation }) => ({ conversation, seq: 2 }));
      // One finds the rows; the others their logs' ends and their marks, of which one alone has two questions.
      const each = count === 1 ? 1 : 0;
      expect(await costOf(({ list }) => list(query))).toBe(3 + each);
      expect(await costOf(({ walk }) => walk(query))).toBe(3 + each);
      expect(await costOf(({ get }) => get(keys))).toBe(3 + each);
      expect(await costOf(({ marks }) => marks(keys))).toBe(1 + each);
      expect(await costOf(({ unread }) => unread(LOW))).toBe(3);
      expect(await costOf(() => messages.get(places))).toBe(1);
      expect(await createConversations(database).unread(LOW)).toBe(2 * count);
    }
    await database.close();
  });

  test('N10 what is found by one question is what each would have given', async () => {
    const database = createDatabase(newUri());
    await database.ready();
    const messages = createMessages(database);
    const all = conversationsOfLow(40);
    await messages.append(all.flatMap(({ drafts }) => drafts));
    const hides = ([first, last]: Draft[], i: number) =>
      ['end', 'end'].map((end, n) => ({
        ...((n ? last : first) as Draft),
        tempId: `${end} ${n} ${i}`,
        hidden: true as const,
      }));
    await messages.append(all.flatMap(({ drafts }, i) => (i % 4 === 0 ? hides(drafts, i) : [])));
    // Of a version that did not know the place, or of a log that has lost its end.
    const rowsOf = (from: number) => ({
      conversation: { $in: all.flatMap(({ id }, i) => (i % 4 === from ? [id] : [])) },
    });
    const inbox = database.collection<InboxDocument>('inbox');
    await inbox.updateMany(rowsOf(1), { $unset: { lastSeq: '' } });
    await inbox.updateMany(rowsOf(2), { $set: { lastSeq: 1_000 } });
    for (const n of [1, 2])
      await createReceipts(database).advance(
        all.slice(n).map(({ id }): Receipt => ({ kind: 'read', user: LOW, conversation: id, n, seq: n, at: n })),
      );
    const conversations = createConversations(database);
    const keys = all.map(({ id }) => ({ user: LOW, conversation: id }));
    const single = (await Promise.all(keys.map((key) => conversations.get([key])))).flat();
    expect(single.map(({ lastSeq, read }) => [lastSeq, read.n])).toEqual(all.map((_, i) => [2, Math.min(i, 2)]));
    const byId = (rows: InboxRow[]) => rows.toSorted((a, b) => (a.conversation < b.conversation ? -1 : 1));
    const together = createConversations(database);
    expect(await together.walk({ user: LOW, limit: 100 })).toEqual(byId(single));
    expect(byId(await together.get(keys))).toEqual(byId(single));
    expect(await together.marks(keys)).toEqual(single.map(({ read, delivered }) => ({ read, delivered })));
    expect(await together.unread(LOW)).toBe(3);
    await database.close();
  });

  test('N16 receipts for one mark that are committed together cost as much as one', async () => {
    const database = createDatabase(newUri(), { monitorCommands: true });
    await database.ready();
    await createMessages(database).append(Array.from({ length: 100 }, (_, i) => draft(i + 1)));
    let commands = 0;
    database.client().on('commandStarted', () => (commands += 1));
    const receipts = Array.from({ length: 100 }, (_, i): Receipt => {
      // Each second one is older than the one before it.
      const n = i % 2 ? i : i + 2;
      return { kind: 'read', user: HIGH, conversation, n, seq: n, at: i };
    });
    const advanced = await createReceipts(database).advance(receipts);
    expect(advanced.map((each) => each?.moved)).toEqual(receipts.map((_, i) => (i % 2 ? 0 : 2)));
    const read = { n: 100, from: 0, seq: 100, at: 98 };
    expect(advanced.every((each) => each?.row.read.n === 100)).toBe(true);
    expect(await createConversations(database).marks([{ user: HIGH, conversation }])).toMatchObject([{ read }]);
    expect(commands).toBeLessThan(10);
    await database.close();
  });

  test('N16 receipts for many marks are written by one command, also where another node was faster', async () => {
    const database = createDatabase(newUri(), { monitorCommands: true });
    await database.ready();
    const messages = createMessages(database);
    const readers = Array.from({ length: 30 }, (_, i) => (0xb00 + i).toString(16).padStart(24, '0'));
    const drafts = readers.map((receiver) => ({
      ...draft(1),
      conversation: conversationOf(LOW, receiver).id,
      receiver,
    }));
    for (const n of [1, 2]) await messages.append(drafts.map((each) => ({ ...each, tempId: `${n}` })));
    const read = (n: number) =>
      drafts.map(({ receiver, conversation }): Receipt => {
        return { kind: 'read', user: receiver, conversation, n, seq: n, at: n };
      });
    const [one, other] = [createReceipts(database), createReceipts(database)];
    let writes: string[] = [];
    database.client().on('commandStarted', ({ commandName }) => {
      if (['insert', 'delete'].includes(commandName)) writes.push(commandName);
    });
    expect((await one.advance(read(1))).map((each) => each?.moved)).toEqual(readers.map(() => 1));
    await eventually(() => writes.length === 2, 'old steps are gone');
    expect(writes.toSorted()).toEqual(['delete', 'insert']);
    writes = [];
    const moved = (await Promise.all([one.advance(read(2)), other.advance(read(2))])).flat();
    expect(moved.reduce((sum, each) => sum + (each?.moved ?? 0), 0)).toBe(readers.length);
    expect(writes.filter((name) => name === 'insert').length).toBeLessThanOrEqual(3);
    await database.close();
  });

  test('N14 what is hidden is jumped over, and looked at by nobody', async () => {
    const database = createDatabase(newUri(), { monitorCommands: true });
    await database.ready();
    const messages = createMessages(database);
    const conversations = createConversations(database);
    const hidden = Array.from({ length: 200 }, (_, i) => ({ ...draft(i + 10), hidden: true as const }));
    await messages.append([draft(1), ...hidden]);
    await messages.append([draft(2), ...hidden.map((each) => ({ ...each, tempId: `${each.tempId} again` }))]);
    const filters: object[] = [];
    let documents = 0;
    database.client().on('commandStarted', ({ command: { filter } }) => filter && filters.push(filter));
    database.client().on('commandSucceeded', ({ reply }) => {
      documents += (reply as { cursor?: { firstBatch: unknown[] } }).cursor?.firstBatch.length ?? 0;
    });
    const seen = async (query: object) =>
      (await messages.page({ conversation, viewer: HIGH, limit: 10, ...query })).map(({ content }) => content);
    for (const query of [{}, { after: 0 }]) expect(await seen(query)).toEqual(['text 1', 'text 2']);
    expect(await seen({ skip: 1 })).toEqual(['text 1']);
    expect(await conversations.unread(HIGH)).toBe(2);
    expect(await conversations.list({ user: HIGH, limit: 10 })).toMatchObject([{ lastSeq: 202, peerSent: 2 }]);
    expect(documents).toBeGreaterThan(10);
    expect(documents).toBeLessThan(120);
    expect(filters.filter((filter) => '$nor' in filter)).toEqual([]);
    await database.close();
  });

  test('A10 what another node hides while a page is read is not in it', async () => {
    const database = createDatabase(newUri());
    await database.ready();
    await createMessages(database).append([draft(1), draft(2)]);
    const slow: Database = {
      ...database,
      async first(name, query) {
        const found = await database.first<never>(name, query);
        await createMessages(database).append([{ ...draft(3), hidden: true }]);
        return found;
      },
    };
    const query = { conversation, viewer: HIGH, skip: 1, limit: 10, after: 0 };
    const page = await createMessages(slow).page(query);
    expect(page.map(({ seq }) => seq)).toEqual([2]);
    expect(await createMessages(database).page({ ...query, viewer: LOW })).toHaveLength(2);
    await database.close();
  });

  test('N15 what many requests ask of people and keys at once is found by one question', async () => {
    const database = createDatabase(newUri(), { monitorCommands: true });
    await database.ready();
    const ids = Array.from({ length: 20 }, (_, i) => i.toString(16).padStart(24, '0'));
    const [one, other, third] = ids as [string, string, string];
    // More than one answer brings.
    const blocks = [one, other].flatMap((user) =>
      Array.from({ length: 600 }, (_, n) => ({ _id: `${user}:${n}`, user, peer: `${n}`, at: n })),
    );
    await database.collection<PrivacyDocument>('privacy').insertMany(blocks);
    const privacy = createPrivacy(database);
    await privacy.hide(third, ['typing']);
    let commands = 0;
    database.client().on('commandStarted', () => (commands += 1));
    const keys = ids.map((id) => ({ user: id, id }));
    expect(await createUsers(database).get(ids)).toEqual([]);
    expect(await createSessions(database).get(keys)).toEqual([]);
    expect(await createDataKeys(database).get(ids)).toEqual([]);
    expect(await privacy.get(ids.slice(2))).toEqual([{ user: third, hides: ['typing'], blocked: [] }]);
    expect(commands).toBe(4);
    const all = await privacy.get(ids);
    expect(new Map(all.map(({ user, blocked }) => [user, blocked.length]))).toEqual(
      new Map([
        [one, 600],
        [other, 600],
        [third, 0],
      ]),
    );
    await database.close();
  });

  test('N8 a burst that is repeated is found in a few commands, however long it is', async () => {
    const database = createDatabase(newUri(), { monitorCommands: true });
    await database.ready();
    const messages = createMessages(database);
    const burst = Array.from({ length: 40 }, (_, i) => draft(i));
    const stored = await messages.append(burst);
    let commands = 0;
    database.client().on('commandStarted', () => (commands += 1));
    const again = await messages.append([...burst, draft(40)]);
    expect(again.slice(0, 40)).toEqual(stored.map(({ entry }) => ({ entry, fresh: false })));
    expect(again[40]).toMatchObject({ fresh: true, entry: { seq: 41 } });
    expect(commands).toBeLessThan(10);
    await database.close();
  });

  // These wait most of the time, each for a server or a store of its own. An assertion that is not awaited at once must be
  // the test's own, or Vitest takes it for one of whichever test runs.
  test.concurrent('N9 messages are stored while more reads are under way than there are connections', async () => {
    const database = createDatabase(newUri());
    await database.ready();
    const messages = createMessages(database);
    let begun = 0;
    const hang = () => {
      begun += 1;
      return new Promise<void>(() => {});
    };
    for (let i = 0; i < 200; i++) void database.read(hang).catch(() => {});
    const [appended] = await messages.append([draft(1)]);
    expect(appended).toMatchObject({ fresh: true, entry: { seq: 1 } });
    expect(begun).toBeLessThan(50);
    await expect(messages.page({ conversation, limit: 10 })).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    await database.close();
  });

  test.concurrent('N3 a server that is not there yet is UNAVAILABLE, and found when it comes', async () => {
    await using late = await startMongo();
    if (!late.process) return;
    await late.process.stop();
    const store = createMongoStore({ uri: late.url });
    await expect(store.ready()).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    await expect(store.messages.append([draft(1)])).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    await late.process.start();
    await eventuallyWorks(() => store.ready(), 'the store is ready');
    expect(await store.messages.append([draft(1)])).toMatchObject([{ fresh: true }]);
    await store.close();
  });

  test.concurrent('N4 a crash of the server loses nothing that was acknowledged, and the store mends itself', async () => {
    await using fragile = await startMongo();
    if (!fragile.process) return;
    const store = createMongoStore({ uri: fragile.url });
    await store.ready();
    const acknowledged = new Map<string, number>();
    let crashes = Promise.resolve();
    for (let n = 1; n <= 300; n++) {
      if (n % 100 === 50) {
        crashes = crashes.then(async () => {
          await fragile.process?.kill();
          await fragile.process?.start();
        });
      }
      await eventually(async () => {
        const [appended] = await store.messages.append([draft(n)]).catch(() => []);
        if (appended) acknowledged.set(appended.entry.tempId, appended.entry.seq);
        return appended !== undefined;
      }, 'the message is stored');
    }
    await crashes;
    const entries = await store.messages.page({ conversation, limit: 1_000 });
    expect(entries.map(({ seq }) => seq)).toEqual(entries.map((_, i) => i + 1));
    expect(new Map(entries.map(({ tempId, seq }) => [tempId, seq]))).toEqual(acknowledged);
    await store.close();
  });

  test.concurrent('N5 a server that says nothing is UNAVAILABLE in time, not silence', async () => {
    await using silent = await startMongo();
    if (!silent.process) return;
    const store = createMongoStore({ uri: silent.url });
    await store.ready();
    await store.messages.append([draft(1)]);
    silent.process.pause();
    const asked = performance.now();
    await expect(store.messages.append([draft(2)])).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    await expect(store.messages.page({ conversation, limit: 10 })).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    // A client waits 10 s for its acknowledgement; the answers are there before.
    expect(performance.now() - asked).toBeLessThan(20_000);
    silent.process.resume();
    await eventuallyWorks(() => store.ready(), 'it answers again');
    await store.messages.append([draft(2)]);
    expect((await store.messages.page({ conversation, limit: 10 })).map(({ tempId }) => tempId)).toEqual([
      draft(1).tempId,
      draft(2).tempId,
    ]);
    await store.close();
  });

  test.concurrent('N17 what has waited too long for a connection is not begun', async () => {
    const database = createDatabase(newUri(), { maxPoolSize: 1 });
    await database.ready();
    const giveBack = await occupyConnection(database.client());
    const insert = database.answer(() => database.collection<{ _id: string }>('users').insertOne({ _id: LOW }));
    await expect(insert).rejects.toMatchObject({
      code: 'UNAVAILABLE',
      cause: { name: 'MongoWaitQueueTimeoutError' },
    });
    giveBack();
    expect(await createUsers(database).get([LOW])).toEqual([]);
    await database.close();
  });

  test.concurrent('N7 a driver that has gone deaf is replaced', async ({ expect }) => {
    await using fragile = await startMongo();
    if (!fragile.process) return;
    const database = createDatabase(fragile.url);
    await database.ready();
    const messages = createMessages(database);
    await messages.append([draft(1)]);
    hangHeartbeats(database.client());
    // A connection that dies under an operation makes the driver doubt the server, and ask.
    fragile.process.pause();
    const underWay = expect(messages.append([draft(2)])).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    await fragile.process.kill();
    await underWay;
    await fragile.process.start();
    await eventuallyWorks(() => messages.append([draft(2)]), 'it hears again');
    expect((await messages.page({ conversation, limit: 10 })).map(({ seq }) => seq)).toEqual([1, 2]);
    await database.close();
  });

  test.concurrent('N5 a store closes although an operation will never be answered', async ({ expect }) => {
    const database = createDatabase(newUri());
    await database.ready();
    const forever = expect(database.answer(() => new Promise(() => {}))).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    await database.close();
    await forever;
  });

  test('N19 an index that takes long is waited for, and nothing is written before it is there', async () => {
    const uri = new URL(newUri());
    await using proxy = await startTcpProxy(uri.href.replace('mongodb:', 'http:'));
    uri.port = new URL(proxy.url).port;
    uri.search = '?directConnection=true';
    // The server answers that when an index is made.
    proxy.lose((text) => text.includes('numIndexesBefore'));
    const database = createDatabase(uri.href, { socketTimeoutMS: 1_000 });
    await expect(database.ready()).rejects.toMatchObject({
      code: 'UNAVAILABLE',
      cause: { message: 'no answer within 5000 ms' },
    });
    await expect(createMessages(database).append([draft(1)])).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    await database.close();
  });

  test('N17 a read that has run out of time is not made again', async () => {
    await using silent = await startMongo();
    if (!silent.process) return;
    const keys = [LOW, HIGH].map((_id) => ({ _id }));
    const reads = [
      (database: Database) => database.first('users', { filter: { _id: LOW } }),
      (database: Database) => database.all('users', keys.slice(0, 1)),
      (database: Database) => database.all('users', keys),
    ];
    const asked = await Promise.all(
      reads.map(async (read) => {
        const database = createDatabase(silent.url, { monitorCommands: true, socketTimeoutMS: 1_000 });
        await database.ready();
        const finds: unknown[] = [];
        database.client().on('commandStarted', ({ command: { find } }) => find && finds.push(find));
        return { database, finds, read: () => read(database) };
      }),
    );
    silent.process.pause();
    await Promise.all(
      asked.map(({ read }) => expect(read()).rejects.toMatchObject({ name: 'MongoNetworkTimeoutError' })),
    );
    silent.process.resume();
    expect(asked.map(({ finds }) => finds)).toEqual(reads.map(() => ['users']));
    await Promise.all(asked.map(({ database }) => database.close()));
  });

  test('N6 two nodes that make the first entry of a conversation at once leave one row for each side', async () => {
    const uri = newUri();
    const [one, other] = [createMongoStore({ uri }), createMongoStore({ uri })];
    await Promise.all([one.ready(), other.ready()]);
    const results = await Promise.all([one.messages.append([draft(1)]), other.messages.append([draft(1, HIGH)])]);
    expect(
      results
        .flat()
        .map(({ entry }) => entry.seq)
        .sort(),
    ).toEqual([1, 2]);
    for (const [user, peer] of [
      [LOW, HIGH],
      [HIGH, LOW],
    ] as const) {
      expect(await one.conversations.list({ user, limit: 10 })).toMatchObject([
        { user, peer, lastSeq: 2, peerSent: 1 },
      ]);
    }
    await Promise.all([one.close(), other.close()]);
  });

  test('N18 nodes that end a session or repair a row at once do not hinder each other', async () => {
    const uri = newUri();
    const databases = [createDatabase(uri), createDatabase(uri)];
    await Promise.all(databases.map((database) => database.ready()));
    const [one] = databases as [Database];
    await createMessages(one).append([draft(1), draft(2)]);
    const atOnce = (work: (database: Database) => Promise<void>) =>
      Promise.all(Array.from({ length: 10 }, () => databases.map(work)).flat());
    for (let round = 0; round < 5; round++) {
      const id = `${round}`.padStart(24, '0');
      await atOnce((database) => createSessions(database).end([{ user: LOW, id }]));
      await one.collection('inbox').deleteMany({});
      const row = { user: HIGH, conversation, peer: LOW, lastSeq: 2, lastAt: 2, readN: 0, deliveredN: 0 };
      await atOnce((database) => createAdmin(database).repair({ right: [row], gone: [] }));
      expect(await one.collection('inbox').countDocuments()).toBe(1);
    }
    expect(await one.collection('sessionEnds').countDocuments()).toBe(5);
    await Promise.all(databases.map((database) => database.close()));
  });

  test('I2 what ends is told also after a clock of MongoDB was wrong', async () => {
    const database = createDatabase(newUri());
    await database.ready();
    const sessions = createSessions(database);
    const HOUR_MS = 3_600_000;
    const ahead = { _id: 'x', user: LOW, session: '0', at: new Date((await database.now()) + HOUR_MS) };
    await database.collection<typeof ahead>('sessionEnds').insertOne(ahead);
    const { cursor } = await sessions.ended();
    // As a primary gave it whose clock was set back since.
    const cursorAhead = `${Number(cursor) + HOUR_MS}`;
    const ended = { user: LOW, id: 'e'.repeat(24) };
    await sessions.end([ended]);
    for (const given of [cursor, cursorAhead]) {
      const first = await sessions.ended(given);
      expect(first.sessions).toContainEqual(ended);
      expect((await sessions.ended(first.cursor)).sessions).toContainEqual(ended);
    }
    await database.close();
  });

  test('N12 a conversation whose rows were never made gets them with its first receipt', async () => {
    const database = createDatabase(newUri());
    await database.ready();
    await createMessages(database).append([draft(1), draft(2), { ...draft(3), hidden: true }]);
    await database.collection('inbox').deleteMany({});
    const receipts = createReceipts(database);
    const read = { kind: 'read', conversation, n: 2, seq: 2, at: 5 } as const;
    expect(await receipts.advance([{ ...read, user: 'c'.repeat(24) }])).toEqual([undefined]);
    const [advanced] = await receipts.advance([{ ...read, user: HIGH }]);
    expect(advanced).toMatchObject({ moved: 2, row: { peer: LOW, lastSeq: 2, lastAt: 2, read: { n: 2, seq: 2 } } });
    const conversations = createConversations(database);
    expect(await conversations.list({ user: HIGH, limit: 10 })).toEqual([advanced?.row]);
    expect(await conversations.list({ user: LOW, limit: 10 })).toMatchObject([{ peer: HIGH, lastSeq: 3 }]);
    await database.close();
  });

  test('N13 what is stored and read while a row is put together makes its count no less than nothing', async () => {
    const database = createDatabase(newUri());
    await database.ready();
    const messages = createMessages(database);
    await messages.append([draft(1)]);
    // The list and the count have each read theirs.
    const tailsRead = Promise.withResolvers<void>();
    let tails = 0;
    const moved = Promise.withResolvers<void>();
    const slow: Database = {
      ...database,
      async first(name, query) {
        if (name === 'watermarks') await moved.promise;
        const found = await database.first<never>(name, query);
        if (name === 'messages' && ++tails === 2) tailsRead.resolve();
        return found;
      },
    };
    const conversations = createConversations(slow);
    const answers = Promise.all([conversations.list({ user: HIGH, limit: 10 }), conversations.unread(HIGH)]);
    await tailsRead.promise;
    await messages.append([draft(2)]);
    await createReceipts(database).advance([{ kind: 'read', user: HIGH, conversation, n: 2, seq: 2, at: 5 }]);
    moved.resolve();
    const [[row], unread] = await answers;
    expect(row).toMatchObject({ lastSeq: 1, peerSent: 1, read: { n: 1, seq: 1 } });
    expect(unread).toBe(0);
    await database.close();
  });

  test('N11 nodes that begin many conversations at once, some of them the same, leave all rows of all', async () => {
    const uri = newUri();
    const databases = [createDatabase(uri), createDatabase(uri)];
    await Promise.all(databases.map((database) => database.ready()));
    const rows = () => (databases[0] as Database).collection('inbox').countDocuments();
    for (let round = 1; round <= 5; round++) {
      const begun = Array.from({ length: 30 }, (_, i): Appended => {
        const users = [LOW, randomUUID().replaceAll('-', '').slice(0, 24)] as const;
        const [sender, receiver] = users;
        const conversation = conversationOf(...users).id;
        return { entry: nextEntry({ ...draft(i), conversation, sender, receiver }, undefined), fresh: true };
      });
      // The second has a conversation more, behind those that both begin.
      await Promise.all(databases.map((database, i) => bumpInbox(database, begun.slice(0, begun.length - 1 + i))));
      expect(await rows()).toBe(round * begun.length * 2);
    }
    await Promise.all(databases.map((database) => database.close()));
  });
});
