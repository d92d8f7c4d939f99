import { spawnSync } from 'node:child_process';
import { randomBytes, randomUUID } from 'node:crypto';
import { readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { fileURLToPath } from 'node:url';
import { BARE_ENVIRONMENT, connect, eventually, register, rest, startServer, temporaryFolder } from '@duet/testkit';
import { describe, expect, test } from 'vitest';
import { type ConfigError, readConfig } from '../src/config.ts';
import { duet } from './command-line.ts';
import { MAIN } from './shapes.ts';
import { history } from './traffic.ts';

const DUET = fileURLToPath(new URL('../src/duet.ts', import.meta.url));
const JWT_SECRET = '0123456789abcdef0123456789abcdef';
const line = (id: string) => `${id}:${randomBytes(32).toString('base64')}`;
const contents = (messages: { content: string }[]) => messages.map(({ content }) => content);

function run(main: string, args: string[], environment: Record<string, string>) {
  const env = { ...BARE_ENVIRONMENT, PORT: '0', LOG_LEVEL: 'warn', ...environment };
  const { status, stdout, stderr } = spawnSync(process.execPath, [main, ...args], { env, encoding: 'utf8' });
  return { status, said: stdout + stderr };
}

function tamper(folder: string, sql: string, ...values: string[]): void {
  const db = new DatabaseSync(join(folder, 'duet.db'));
  expect(db.prepare(sql).run(...values).changes).toBeGreaterThan(0);
  db.close();
}

function rows(folder: string, sql: string) {
  const db = new DatabaseSync(join(folder, 'duet.db'), { readOnly: true });
  const found = db.prepare(sql).all();
  db.close();
  return found as Record<string, string>[];
}

/** Two people on a node that encrypts, and how to send from one to the other. */
async function start(environment: Record<string, string>) {
  const server = await startServer(MAIN, { ENCRYPTION: 'on', ...environment });
  const [alice, bob] = await Promise.all([register(server.url), register(server.url)]);
  const socket = await connect(server.url, alice.token);
  const send = (content: string, tempId: string = randomUUID()) =>
    socket.emitWithAck('send_message', { receiverId: bob.id, content, tempId });
  const stop = () => {
    socket.close();
    return server.kill();
  };
  return { server, alice, bob, send, stop };
}

describe('encryption at rest, as it is run', () => {
  test('E18 in production it is on, with a key ring that is made once, for its owner alone', () => {
    using folder = temporaryFolder();
    const DATA_DIR = join(folder.path, 'data');
    const { encryption } = readConfig({ NODE_ENV: 'production', JWT_SECRET, DATA_DIR });
    expect(encryption.seals).toBe(true);
    expect(encryption.ring.names).toEqual([encryption.ring.current?.name]);
    const file = join(DATA_DIR, 'key-ring');
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(readFileSync(file, 'utf8')).toMatch(/^first:[\w+/]{43}=\n$/);
    const again = readConfig({ NODE_ENV: 'production', JWT_SECRET, DATA_DIR });
    expect(again.encryption.ring.names).toEqual(encryption.ring.names);
    const only = readConfig({ JWT_SECRET, DATA_DIR, ENCRYPTION: 'only' }).encryption;
    expect([encryption, only].map(({ seals, sealedOnly }) => [seals, sealedOnly])).toEqual([
      [true, false],
      [true, true],
    ]);
    // Switched off, what was encrypted can still be read.
    const off = readConfig({ JWT_SECRET, DATA_DIR, ENCRYPTION: 'off' }).encryption;
    expect(off).toMatchObject({ seals: false, ring: { names: encryption.ring.names } });
    expect(readConfig({ JWT_SECRET, DATA_DIR: join(folder.path, 'dev') }).encryption).toMatchObject({
      seals: false,
      ring: { names: [] },
    });
  });

  test('E18 a key ring comes from a file or a command; what is wrong with it is said without a word of it', () => {
    using folder = temporaryFolder();
    const file = join(folder.path, 'ring');
    writeFileSync(file, `${line('new')}\n${line('old')}\n`);
    const base = { JWT_SECRET, DATA_DIR: folder.path, ENCRYPTION: 'on', MONGODB_URI: 'mongodb://db/duet' };
    const names = (environment: Record<string, string>) =>
      readConfig({ ...base, ...environment }).encryption.ring.names;
    expect(names({ KEY_RING_FILE: file }).map((name) => name.split('.')[0])).toEqual(['new', 'old']);
    expect(names({ KEY_RING_COMMAND: `cat '${file}'` })).toEqual(names({ KEY_RING_FILE: file }));
    const bad = join(folder.path, 'bad');
    writeFileSync(bad, 'id:SECRET-KEY');
    for (const [environment, why] of [
      [{}, /^KEY_RING_FILE or KEY_RING_COMMAND is required to encrypt/],
      [{ KEY_RING_FILE: file, KEY_RING_COMMAND: 'true' }, /^KEY_RING_COMMAND cannot be set beside KEY_RING_FILE$/],
      [{ KEY_RING_FILE: join(folder.path, 'none') }, /^KEY_RING_FILE cannot be read \(ENOENT\)$/],
      [{ KEY_RING_FILE: bad }, /^KEY_RING_FILE: line 1 is not ID:KEY/],
      [{ KEY_RING_COMMAND: `cat '${bad}'; exit 3` }, /^KEY_RING_COMMAND ended with 3$/],
      [{ KEY_RING_COMMAND: 'true' }, /^KEY_RING_COMMAND: it holds no key$/],
    ] as const) {
      let error: ConfigError | undefined;
      try {
        names(environment);
      } catch (thrown) {
        error = thrown as ConfigError;
      }
      expect(error?.message).toMatch(why);
      expect(String(error?.stack) + String((error?.cause as Error)?.stack)).not.toContain('SECRET-KEY');
    }
    expect(names({ ENCRYPTION: 'off' })).toEqual([]);
  });

  test('E11 what people write stands in no file of a node, and comes back over REST, sync and the list', async () => {
    using folder = temporaryFolder();
    const { alice, bob, send, server, stop } = await start({ DATA_DIR: folder.path });
    for (let i = 0; i < 3; i++) expect(await send(`a well kept secret ${i}`, `temp ${i}`)).toMatchObject({ ok: true });
    const texts = ['0', '1', '2'].map((i) => `a well kept secret ${i}`);
    expect(contents(await history(server.url, bob, alice))).toEqual(texts);
    const { body } = await rest(server.url, '/sync', { token: bob.token, body: { conversations: {} } });
    expect(contents(body.data.conversations[0].messages)).toEqual(texts);
    const list = await rest(server.url, '/conversations', { token: bob.token });
    expect(list.body.data.conversations[0].lastMessage.content).toBe(texts[2]);
    expect(await send(texts[0] as string, 'temp 0')).toMatchObject({
      ok: true,
      data: { message: { seq: 1, content: texts[0] } },
    });
    expect(await send('another text', 'temp 0')).toMatchObject({ ok: false, error: { code: 'IDEMPOTENCY_CONFLICT' } });
    const files = ['duet.db', 'duet.db-wal'].map((name) => readFileSync(join(folder.path, name), 'latin1')).join('');
    expect([alice.id, 'temp 2', 'well kept'].map((text) => files.includes(text))).toEqual([true, true, false]);
    await stop();
  });

  test('E13 a damaged row reaches clients as unreadable, is counted and logged, and hurts no other', async () => {
    using folder = temporaryFolder();
    const { alice, bob, send, server, stop } = await start({ DATA_DIR: folder.path });
    for (const text of ['one', 'two', 'three']) await send(text, text);
    tamper(
      folder.path,
      "UPDATE messages SET content = substr(content, 1, 30) || 'AAAA' || substr(content, 35) WHERE seq = 2",
    );
    const messages = await history(server.url, bob, alice);
    expect(contents(messages)).toEqual(['one', '', 'three']);
    expect(messages).toMatchObject([{}, { seq: 2, unreadable: true }, {}]);
    expect(messages[0]).not.toHaveProperty('unreadable');
    // A repeat of it is answered, whatever it says, rather than refused for ever.
    expect(await send('two', 'two')).toMatchObject({
      ok: true,
      data: { message: { seq: 2, content: '', unreadable: true } },
    });
    expect(await send('four')).toMatchObject({ ok: true, data: { message: { seq: 4, content: 'four' } } });
    expect(await (await fetch(`${server.url}/metrics`)).text()).toMatch(/^duet_unreadable_total 2$/m);
    // A line of the log arrives later than an answer.
    const isLogged = () => /"seq":2,"why":"it is damaged".*messages cannot be opened/.test(server.output());
    await eventually(isLogged, 'it is logged');
    await stop();
  });

  test.each(['1', '2'])(
    'E16 a node with %s workers does not start without a key that stored messages need',
    async (WORKERS) => {
      using folder = temporaryFolder();
      const environment = { DATA_DIR: folder.path, WORKERS };
      const { send, stop } = await start(environment);
      await send('sealed');
      await stop();
      const name = /^first\.[0-9a-f]{8}$/;
      const [lost] = readConfig(environment).encryption.ring.names as [string];
      expect(lost).toMatch(name);
      rmSync(join(folder.path, 'key-ring'));
      for (const ENCRYPTION of ['on', 'off']) {
        const { status, said } = run(MAIN, [], { ...environment, ENCRYPTION });
        expect({ status, said }).toMatchObject({
          status: 1,
          said: expect.stringContaining(`the key ring lacks ${lost}`),
        });
      }
      expect(run(DUET, ['check-config'], environment)).toMatchObject({
        status: 1,
        said: expect.stringContaining(`The key ring lacks ${lost}`),
      });
    },
  );

  test('E16 a backup holds no key, and is not restored where its keys are missing', async () => {
    using folder = temporaryFolder();
    const environment = { DATA_DIR: folder.path };
    const { alice, bob, send, stop } = await start(environment);
    await send('backed up');
    const copy = join(folder.path, 'copy.db');
    expect(run(DUET, ['backup', copy], environment)).toMatchObject({
      status: 0,
      said: expect.stringMatching(/key ring/),
    });
    await stop();
    const ring = readFileSync(join(folder.path, 'key-ring'), 'utf8');
    expect(readFileSync(copy, 'latin1')).not.toContain(ring.slice('first:'.length).trim());

    const elsewhere = { DATA_DIR: join(folder.path, 'elsewhere') };
    const refused = run(DUET, ['restore', copy], elsewhere);
    expect(refused).toMatchObject({ status: 1, said: expect.stringMatching(/The key ring lacks first\.\w{8}/) });
    const KEY_RING_FILE = join(folder.path, 'key-ring');
    expect(run(DUET, ['restore', copy], { ...elsewhere, KEY_RING_FILE })).toMatchObject({ status: 0 });
    const secret = readFileSync(join(folder.path, 'jwt-secret'), 'utf8');
    const server = await startServer(MAIN, { ...elsewhere, KEY_RING_FILE, JWT_SECRET: secret });
    expect(contents(await history(server.url, bob, alice))).toEqual(['backed up']);
    await server.kill();
  });

  test('E16 what is sent after a restore under a running node is sealed by a key that stays', async () => {
    using folder = temporaryFolder();
    const environment = { DATA_DIR: folder.path };
    const { server, alice, bob, send, stop } = await start(environment);
    const copy = join(folder.path, 'copy.db');
    expect(run(DUET, ['backup', copy], environment)).toMatchObject({ status: 0 });
    await send('gone');
    expect(run(DUET, ['restore', copy], environment)).toMatchObject({ status: 0 });
    expect(await send('kept')).toMatchObject({ ok: true, data: { message: { seq: 1 } } });
    expect(contents(await history(server.url, bob, alice))).toEqual(['kept']);
    await stop();
    const again = await startServer(MAIN, { ...environment, ENCRYPTION: 'on' });
    expect(contents(await history(again.url, bob, alice))).toEqual(['kept']);
    await again.kill();
    expect(readdirSync(folder.path).filter((name) => name.startsWith('copy') || name.includes('restored'))).toEqual([
      'copy.db',
    ]);
  });

  test('E15 rotate-keys while the node runs: nothing is lost, and the old key may go', async () => {
    using folder = temporaryFolder();
    const file = join(folder.path, 'ring');
    const [old, young] = [line('old'), line('young')];
    writeFileSync(file, old);
    const environment = { DATA_DIR: folder.path, KEY_RING_FILE: file };
    const { alice, bob, send, stop } = await start(environment);
    await send('before');
    expect(run(DUET, ['rotate-keys'], environment)).toMatchObject({
      status: 0,
      said: expect.stringMatching(/^0 keys/),
    });
    const oldName = rows(folder.path, 'SELECT ringKey FROM dataKeys')[0]?.ringKey as string;
    writeFileSync(file, `${young}\n${old}`);
    expect(run(DUET, ['rotate-keys'], environment)).toMatchObject({
      status: 0,
      said: expect.stringMatching(/^1 keys in .*duet\.db were wrapped anew, by young\.\w{8}\n$/),
    });
    expect(await send('after')).toMatchObject({ ok: true });
    tamper(folder.path, "INSERT INTO dataKeys SELECT 'damaged', id, ?, 'AAAA' FROM dataKeys", oldName);
    expect(run(DUET, ['rotate-keys'], environment)).toMatchObject({
      status: 2,
      said: expect.stringMatching(/1 are damaged and stay as they were.*nodes do not start without: old\.\w{8}\n$/),
    });
    tamper(folder.path, "DELETE FROM dataKeys WHERE wrapped = 'AAAA'");
    await stop();
    writeFileSync(file, young);
    const server = await startServer(MAIN, { ...environment, ENCRYPTION: 'on' });
    expect(contents(await history(server.url, bob, alice))).toEqual(['before', 'after']);
    await server.kill();
    writeFileSync(file, old);
    expect(run(DUET, ['rotate-keys'], environment)).toMatchObject({
      status: 1,
      said: expect.stringMatching(/The key ring lacks young/),
    });
  });

  test('E19 two people are deleted with what they wrote: what somebody kept of it stays closed, and nodes go on', async () => {
    using folder = temporaryFolder();
    const environment = { DATA_DIR: folder.path };
    const { alice, bob, send, server, stop } = await start(environment);
    await send('sealed');
    using socket = await connect(server.url, bob.token);
    await socket.emitWithAck('send_message', { receiverId: alice.id, content: 'answered' });
    const [kept] = rows(folder.path, 'SELECT content FROM messages WHERE seq = 1');
    const [key] = rows(folder.path, 'SELECT wrapped FROM dataKeys');
    const remove = (id: string) => duet(environment, 'users', 'delete', id, '--yes', '--with-messages', '--json');
    for (const { code, out } of await Promise.all([remove(alice.id), remove(bob.id)]))
      expect({ code, ...JSON.parse(out) }).toMatchObject({ code: 0, emptied: 1 });
    expect(rows(folder.path, 'SELECT * FROM dataKeys')).toEqual([]);
    await stop();

    const again = await startServer(MAIN, { ENCRYPTION: 'on', ...environment });
    const exported = async () => JSON.parse((await duet(environment, 'users', 'export', alice.id)).out);
    expect((await exported()).conversations).toMatchObject([{ messages: [{ content: '' }, { content: '' }] }]);
    tamper(folder.path, 'UPDATE messages SET content = ? WHERE seq = 1', kept?.content as string);
    const { conversations } = await exported();
    expect(conversations).toMatchObject([{ messages: [{ seq: 1, content: '', unreadable: true }, { seq: 2 }] }]);
    expect(conversations[0].messages[1]).not.toHaveProperty('unreadable');
    expect((await fetch(`${again.url}/ready`)).status).toBe(200);
    // Who closes the database last puts SQLite's log into the file.
    expect(await again.stop()).toBe(0);
    expect(rows(folder.path, 'SELECT * FROM dataKeys')).toEqual([]);
    const file = readFileSync(join(folder.path, 'duet.db'), 'latin1');
    expect([file.includes(alice.id), file.includes(key?.wrapped as string)]).toEqual([true, false]);
  });
});
