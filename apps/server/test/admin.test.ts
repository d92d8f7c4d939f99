import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { connect, eventually, register, rest, startServer, temporaryFolder } from '@duet/testkit';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { beside, duet, embedded, type Shape, shapes } from './command-line.ts';
import { MAIN } from './shapes.ts';

describe.each(shapes)('the command line beside servers on $name', ({ start }) => {
  let on: Shape;
  beforeAll(async () => {
    on = await start();
  });
  afterAll(async () => on?.stop());
  const { run, json, pair, write } = beside(() => on);

  test('O18 status tells what answers: the store and how much is in it, every node with its sockets', async () => {
    const [alice, bob] = await pair();
    await write(alice, bob, 'one');
    using _ = await connect(on.url, bob.token);
    let status = await json('status');
    const alive = () => status.nodes.filter((node: { alive: boolean }) => node.alive).length;
    await eventually(async () => {
      status = await json('status');
      return status.sockets === 1 && alive() === on.nodes;
    }, 'every node has made itself known, and the socket is counted');
    expect(status).toMatchObject({ ok: true, store: { reachable: true }, cluster: { reachable: true } });
    expect(status.store.users).toBeGreaterThanOrEqual(2);
    expect(status.store.messages).toBeGreaterThanOrEqual(1);
    expect((await run('status')).out).toMatch(/\d users \(deleted ones too\).*alive, 1 sockets.*All is well/s);
  });

  test('O19 users are found by id, email and name, and listed by prefix', async () => {
    const [alice, bob] = await pair();
    await write(alice, bob, 'one', 'two');
    for (const who of [bob.id, bob.email, bob.user.username.toUpperCase()]) {
      const expected = { id: bob.id, email: bob.email, state: 'active', conversations: 1, unread: 2 };
      expect(await json('users', 'show', who)).toMatchObject(expected);
    }
    expect(await json('users', 'list', alice.user.username)).toMatchObject([{ id: alice.id }]);
    expect(await json('users', 'list', '--limit', '1')).toHaveLength(1);
    const listed = await run('users', 'list', '--limit', '1000');
    for (const { id } of [alice, bob]) expect(listed.out).toContain(id);
    expect(listed.out).not.toContain('$2');
  });

  test('O21 an export is one JSON document: profile, sessions, conversations and messages, for its owner alone', async () => {
    const [alice, bob] = await pair();
    await write(alice, bob, 'one', '"two"\n');
    await write(bob, alice, 'three');
    using folder = temporaryFolder();
    const file = join(folder.path, 'bob.json');
    await json('users', 'export', bob.id, file);
    const exported = JSON.parse(readFileSync(file, 'utf8'));
    expect(exported).toMatchObject({
      profile: { id: bob.id, email: bob.email },
      conversations: [
        { peer: { _id: alice.id }, messages: ['one', '"two"\n', 'three'].map((content) => ({ content })) },
      ],
    });
    expect(JSON.stringify(exported)).not.toMatch(/passwordHash|\$2/);
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(await run('users', 'export', bob.id, file)).toMatchObject({ code: 1 });
    expect(JSON.parse((await run('users', 'export', bob.id)).out)).toEqual(exported);
  });

  test('O22 statistics count every conversation', async () => {
    const before = await json('conversations', 'stats');
    const [alice, bob] = await pair();
    await write(alice, bob, 'one', 'two');
    const after = await json('conversations', 'stats');
    expect((await run('conversations', 'stats')).out).toMatch(/^mean +\d+\.\d$/m);
    for (const [name, more] of [
      ['conversations', 1],
      ['messages', 2],
      ['oneSided', 1],
      ['activeToday', 1],
    ] as const)
      expect({ name, count: after[name] }).toEqual({ name, count: before[name] + more });
    expect(after.largest.length).toBeGreaterThan(0);
  });

  test('O22 the inbox of a server that writes is found right', async () => {
    const [alice, bob] = await pair();
    using socket = await connect(on.url, alice.token);
    let writing = true;
    const writer = (async () => {
      for (let i = 0; writing; i++) await socket.emitWithAck('send_message', { receiverId: bob.id, content: `${i}` });
    })();
    const { findings, conversations } = await json('inbox', 'check');
    writing = false;
    await writer;
    expect(findings).toEqual([]);
    expect(conversations).toBeGreaterThan(0);
  });
});

describe('the command line', () => {
  test('O23 what it cannot do ends with 1 and says why; what is not well ends with 2', async () => {
    using folder = temporaryFolder();
    const environment = { DATA_DIR: folder.path, PORT: '1' };
    for (const [args, code, why] of [
      [['users', 'show'], 1, /users show USER/],
      [['users', 'dance', 'x'], 1, /users show USER/],
      [['users', 'list', 'a', 'b'], 1, /users show USER/],
      [['users', 'list'], 1, /There is no database/],
      [['users', 'list', '--limit', 'x'], 1, /--limit/],
      [['status'], 2, /There is no database.*\n.*Nothing answers on port 1/],
    ] as const) {
      const said = await duet(environment, ...args);
      expect({ args, code: said.code }).toEqual({ args, code });
      expect(said.out + said.error).toMatch(why);
    }
    const server = await startServer(MAIN, { DATA_DIR: folder.path });
    expect(await duet(environment, 'users', 'show', 'nobody')).toMatchObject({
      code: 1,
      error: 'There is no user nobody\n',
    });
    await server.kill();
    const status = await duet(environment, 'status', '--json');
    expect({ ...JSON.parse(status.out).store, code: status.code }).toMatchObject({ reachable: true, code: 2 });
  });

  test.each([{}, { NODE_ENV: 'production', JWT_SECRET: '0123456789abcdef0123456789abcdef' }])(
    'O23 where there is no database each command says so and makes nothing, with %j',
    async (environment) => {
      using folder = temporaryFolder();
      const mistyped = { ...environment, DATA_DIR: join(folder.path, 'dta'), PORT: '1' };
      for (const args of [['rotate-keys'], ['backup', join(folder.path, 'copy.db')], ['users', 'list'], ['status']]) {
        const { code, out, error } = await duet(mistyped, ...args);
        expect({ args, done: code === 0 }).toEqual({ args, done: false });
        expect(out + error).toMatch(/There is no database .*dta/);
      }
      expect(readdirSync(folder.path)).toEqual([]);
    },
  );

  test('O23 what a database says is said, and never how to sign in to it', async () => {
    const address = 'mongodb://admin:not-for-you@127.0.0.1:1/duet';
    const { code, error } = await duet({ MONGODB_URI: address, REDIS_URL: 'redis://127.0.0.1:1' }, 'users', 'list');
    expect(code).toBe(1);
    expect(error).toMatch(/^The service is not available.*ECONNREFUSED 127\.0\.0\.1:1\)\n$/);
    expect(error).not.toContain('not-for-you');
  });

  test('O20 a deletion that breaks off has said the id by which it is repeated, and why it did', async () => {
    const on = await embedded();
    try {
      const alice = await register(on.url, 'alice');
      const db = new DatabaseSync(join(on.environment.DATA_DIR as string, 'duet.db'));
      db.exec("CREATE TRIGGER full BEFORE INSERT ON sessionEnds BEGIN SELECT RAISE(ABORT, 'no room for it'); END");
      const remove = (who: string) => duet(on.environment, 'users', 'delete', who, '--yes');
      const { code, error } = await remove(alice.email);
      const said = [`Deleting ${alice.id}\\..*\\n`, `The deletion of ${alice.id} is not finished.*no room for it`];
      expect({ code, error }).toMatchObject({ code: 1, error: expect.stringMatching(new RegExp(said.join(''))) });
      db.exec('DROP TRIGGER full');
      db.close();
      expect(await remove(alice.email)).toMatchObject({ code: 1, error: `There is no user ${alice.email}\n` });
      expect(await remove(alice.id)).toMatchObject({ code: 0 });
      expect(await duet(on.environment, 'sessions', 'list', alice.id, '--json')).toMatchObject({ out: '[]\n' });
    } finally {
      await on.stop();
    }
  });

  test('O36 a new password that could not be given all the way says which one is good, and is repeated', async () => {
    const on = await embedded();
    try {
      const bob = await register(on.url, 'bob');
      const db = new DatabaseSync(join(on.environment.DATA_DIR as string, 'duet.db'));
      const users = db.prepare('SELECT passwordHash FROM users WHERE id = ?');
      const hash = () => users.get(bob.id)?.passwordHash;
      const give = (...args: string[]) => duet(on.environment, 'users', 'password', bob.email, ...args);
      const before = hash();
      for (const [when, why, hasOld] of [
        ['true', /has the password from before\. Repeat it .*no room/, true],
        [`(SELECT passwordHash FROM users) <> '${before}'`, /may have a password by now that nobody knows/, false],
      ] as const) {
        db.exec(
          `CREATE TRIGGER full BEFORE INSERT ON sessionEnds WHEN ${when} BEGIN SELECT RAISE(ABORT, 'no room'); END`,
        );
        expect(await give()).toMatchObject({ code: 1, out: '', error: expect.stringMatching(why) });
        expect(hash() === before).toBe(hasOld);
        db.exec('DROP TRIGGER full');
      }
      db.close();
      const { password } = JSON.parse((await give('--json')).out);
      const { status } = await rest(on.url, '/auth/login', { body: { email: bob.email, password } });
      expect(status).toBe(200);
    } finally {
      await on.stop();
    }
  });

  test('O22 a row that is missing or marked too far is found, and repaired', async () => {
    const on = await embedded();
    try {
      const [alice, bob] = await Promise.all([register(on.url), register(on.url)]);
      using a = await connect(on.url, alice.token);
      await a.emitWithAck('send_message', { receiverId: bob.id, content: 'hello' });
      const db = new DatabaseSync(join(on.environment.DATA_DIR as string, 'duet.db'));
      db.prepare('DELETE FROM inbox WHERE user = ?').run(alice.id);
      db.prepare('UPDATE inbox SET readN = 7 WHERE user = ?').run(bob.id);
      db.close();
      const check = await duet(on.environment, 'inbox', 'check');
      expect(check.code).toBe(2);
      expect(check.out).toMatch(new RegExp(`row missing: user ${alice.id}`));
      expect(check.out).toMatch(new RegExp(`marked too far: user ${bob.id}`));
      expect(await duet(on.environment, 'inbox', 'repair')).toMatchObject({ code: 0 });
      expect(await duet(on.environment, 'inbox', 'check')).toMatchObject({ code: 0 });
      for (const { token } of [alice, bob]) {
        const { body } = await rest(on.url, '/conversations', { token });
        expect(body.data.conversations).toHaveLength(1);
      }
      const { body } = await rest(on.url, '/messages/unread/count', { token: bob.token });
      expect(body.data.unreadCount).toBe(0);
    } finally {
      await on.stop();
    }
  });
});
