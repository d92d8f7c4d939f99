import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { type IncomingMessage, request } from 'node:http';
import { type AddressInfo, createConnection } from 'node:net';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { Writable } from 'node:stream';
import { json } from 'node:stream/consumers';
import { limits } from '@duet/contract';
import {
  BARE_ENVIRONMENT,
  connect,
  createManualClock,
  eventually,
  next,
  register,
  rest,
  startServer,
  temporaryFolder,
} from '@duet/testkit';
import jwt from 'jsonwebtoken';
import { describe, expect, test } from 'vitest';
import { table } from '../src/admin/text.ts';
import { passwordThreads } from '../src/auth/passwords.ts';
import { createTokens } from '../src/auth/tokens.ts';
import { systemClock } from '../src/clock.ts';
import { ConfigError, readConfig } from '../src/config.ts';
import { createHttpServer } from '../src/http/server.ts';
import { createHealth } from '../src/ops/health.ts';
import { createLog } from '../src/ops/log.ts';
import { createMetrics } from '../src/ops/metrics.ts';
import { createOriginRule } from '../src/origins.ts';
import { HELPER_PRIORITY } from '../src/priority.ts';
import { DUET, duet } from './command-line.ts';
import { allServe, childrenOf } from './processes.ts';
import { MAIN } from './shapes.ts';

const METRICS_PAGE = new URL('../../../docs/metrics.md', import.meta.url);
const NGINX = new URL('../../../nginx.conf', import.meta.url);
const SOCKET = '/socket.io/?EIO=4&transport=websocket';
const JSON_AHEAD = 'Content-Type: application/json\r\nContent-Length: 50\r\n\r\n';
const UPGRADE = 'Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n';
const SECRET = '0123456789abcdef0123456789abcdef';

describe('configuration', () => {
  test('O1 every bad variable is named at once, and no value is repeated', () => {
    const bad = {
      PORT: '99999',
      NODE_ENV: 'prod',
      WORKERS: 'many',
      RATE_LIMITS: 'maybe',
      JWT_EXPIRES_IN: 'SECRET-VALUE',
    };
    const error = (() => {
      try {
        readConfig(bad);
      } catch (thrown) {
        return thrown;
      }
    })() as ConfigError;
    expect(error).toBeInstanceOf(ConfigError);
    for (const name of Object.keys(bad)) expect(error.message).toMatch(new RegExp(`^${name} must be `, 'm'));
    expect(error.message).not.toContain('SECRET-VALUE');
  });

  test('O2 passwords are hashed cheaply for tests alone', () => {
    const costOf = (NODE_ENV: string | undefined) =>
      readConfig({ NODE_ENV, JWT_SECRET: SECRET, ENCRYPTION: 'off' }).passwordCost;
    expect([undefined, 'development', 'production', 'test'].map(costOf)).toEqual([10, 10, 10, 4]);
  });

  test.each([
    [undefined, /JWT_SECRET is required in production/],
    ['short', /JWT_SECRET must have at least 32 bytes/],
    ...[
      'your-super-secret-jwt-key-change-this-in-production',
      'a-string-secret-at-least-256-bits-long',
      'your-256-bit-secret-your-256-bit-secret',
      'this-is-a-secret-key-for-development-only',
      'replace_me_with_a_long_random_secret_value',
      'insecure-secret-insecure-secret-0000',
      'keyboard cat keyboard cat keyboard cat',
      '12345678901234567890123456789012',
      'a'.repeat(36),
    ].map((secret) => [secret, /JWT_SECRET must not be a sample value/]),
  ] as [string | undefined, RegExp][])('O2 production does not start with the secret %j', (JWT_SECRET, message) => {
    using folder = temporaryFolder();
    const production = { NODE_ENV: 'production', DATA_DIR: folder.path };
    expect(() => readConfig({ ...production, JWT_SECRET })).toThrow(message);
    expect(readConfig({ ...production, JWT_SECRET: SECRET }).jwtSecret).toBe(SECRET);
  });

  test.each([
    'jwt-9f86d081884c7d659a2feaa0c55ad015',
    'my-secret-9f86d081884c7d659a2feaa0c55ad015',
    '9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08',
    'n4bQgYhMfWWaL+qgxVrQFaO/TxsrC4Is0V1sFbDwCgg=',
    'plough rattle orbit magnet willow tundra',
  ])('O2 production starts with the secret %j', (JWT_SECRET) => {
    expect(readConfig({ NODE_ENV: 'production', JWT_SECRET, ENCRYPTION: 'off' }).jwtSecret).toBe(JWT_SECRET);
  });

  test('O3 in development a secret is made once and kept beside the data, for its owner alone', () => {
    using folder = temporaryFolder();
    const environment = { DATA_DIR: join(folder.path, 'data') };
    const { jwtSecret } = readConfig(environment);
    expect(jwtSecret).toMatch(/^[0-9a-f]{64}$/);
    expect(readConfig(environment).jwtSecret).toBe(jwtSecret);
    const file = join(folder.path, 'data', 'jwt-secret');
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(readConfig({ NODE_ENV: 'production', ENCRYPTION: 'off', JWT_SECRET_FILE: file }).jwtSecret).toBe(jwtSecret);
    expect(() => readConfig({ JWT_SECRET_FILE: join(folder.path, 'none') })).toThrow(/JWT_SECRET_FILE cannot be read/);
    expect(readdirSync(join(folder.path, 'data'))).toEqual(['jwt-secret']);
  });

  test('O29 the addresses of MongoDB and Redis, with their passwords, may come from files', () => {
    using folder = temporaryFolder();
    const [MONGODB_URI_FILE, REDIS_URL_FILE] = [join(folder.path, 'mongodb'), join(folder.path, 'redis')];
    writeFileSync(MONGODB_URI_FILE, 'mongodb://duet:secret@mongo:27017/duet\n');
    writeFileSync(REDIS_URL_FILE, 'not an address with a secret');
    const files = { DATA_DIR: folder.path, MONGODB_URI_FILE, REDIS_URL_FILE };
    expect(() => readConfig(files)).toThrow(/^REDIS_URL must be a redis:\/\/ address$/);
    writeFileSync(REDIS_URL_FILE, 'redis://duet:secret@redis:6379');
    expect(readConfig(files)).toMatchObject({
      store: { kind: 'mongo', uri: 'mongodb://duet:secret@mongo:27017/duet' },
      cluster: { kind: 'redis', url: 'redis://duet:secret@redis:6379' },
    });
    expect(() => readConfig({ ...files, MONGODB_URI_FILE: folder.path })).toThrow(/^MONGODB_URI_FILE cannot be read/);
  });

  test('O3 a secret that is not whole signs nothing', () => {
    using folder = temporaryFolder();
    const file = join(folder.path, 'jwt-secret');
    writeFileSync(file, '');
    expect(() => readConfig({ DATA_DIR: folder.path })).toThrow(/damaged jwt-secret/);
    expect(() => readConfig({ JWT_SECRET_FILE: file })).toThrow(/JWT_SECRET_FILE is empty/);
  });

  test('O4 check-config says what is wrong and exits with 1, or 0', () => {
    using folder = temporaryFolder();
    const check = (env: Record<string, string>) =>
      spawnSync(process.execPath, [DUET, 'check-config'], {
        env: { DATA_DIR: folder.path, ...env },
        encoding: 'utf8',
      });
    const bad = check({ PORT: 'x', MONGODB_URI: 'http://x' });
    expect(bad).toMatchObject({ status: 1, stderr: expect.stringMatching(/PORT .*\n(.*\n)*.*MONGODB_URI/) });
    const mistyped = join(folder.path, 'mistyped');
    const valid = check({ DATA_DIR: mistyped, NODE_ENV: 'production', JWT_SECRET: SECRET });
    expect(valid).toMatchObject({ status: 0, stdout: expect.stringContaining(`${mistyped} holds no database yet`) });
    expect(check({ DATA_DIR: mistyped })).toMatchObject({ status: 0 });
    // It looks, and makes nothing.
    expect(readdirSync(folder.path)).toEqual([]);
    writeFileSync(join(folder.path, 'jwt-secret'), '');
    expect(check({})).toMatchObject({ status: 1, stderr: expect.stringContaining('damaged jwt-secret') });
  });

  test.each([
    [{ STORE: 'mongo' }, 'MONGODB_URI is required with STORE=mongo'],
    [{ CLUSTER: 'redis' }, 'REDIS_URL is required with CLUSTER=redis'],
    [{ REDIS_URL: 'redis://127.0.0.1', WORKERS: '2' }, 'WORKERS are processes of one machine'],
    [{ MONGODB_URI: 'http://127.0.0.1' }, 'MONGODB_URI must be a mongodb:// address'],
    [{ MONGODB_URI: 'mongodb://' }, 'MONGODB_URI must be a mongodb:// address'],
  ])('O11 %j is refused', (environment, message) => {
    expect(() => readConfig(environment)).toThrow(message);
  });

  test('O11 whether an address of MongoDB names its database is known', () => {
    const isNamed = (MONGODB_URI: string) => readConfig({ MONGODB_URI, JWT_SECRET: SECRET }).store;
    for (const uri of [
      'mongodb://127.0.0.1',
      'mongodb://one,two/?replicaSet=rs0',
      'mongodb+srv://user:pw@cluster.example.org/?w=majority',
    ])
      expect(isNamed(uri)).toMatchObject({ isNamed: false });
    expect(isNamed('mongodb://one,two/duet?replicaSet=rs0')).toMatchObject({ isNamed: true });
  });

  test.each(['readConcernLevel=local', 'w=majority&readconcernlevel=available', 'journal=false', 'j=0&w=majority'])(
    'O11 an address of MongoDB does not weaken what is promised by %s',
    (option) => {
      const MONGODB_URI = `mongodb://one/duet?${option}`;
      expect(() => readConfig({ MONGODB_URI })).toThrow(/^MONGODB_URI must not set readConcernLevel or journal/);
    },
  );

  test.each([
    'mongodb://127.0.0.1/duet',
    'mongodb://user:pass%40word@one:27017,two:27018,[::1]:27019/duet?replicaSet=rs0&w=majority',
    'mongodb://one/duet?readConcernLevel=majority&journal=true',
    'mongodb+srv://user:password@cluster.example.org/duet',
  ])('O11 %s is an address of MongoDB', (MONGODB_URI) => {
    expect(readConfig({ MONGODB_URI, JWT_SECRET: SECRET }).store).toMatchObject({ kind: 'mongo', uri: MONGODB_URI });
  });

  test.each([
    ['https://one.example/, http://two.example:3000', ['https://one.example', 'http://two.example:3000']],
    ['https://App.Example.org:443,http://example.org:80/', ['https://app.example.org', 'http://example.org']],
    ['http://[::1]:3000,https://münchen.example', ['http://[::1]:3000', 'https://xn--mnchen-3ya.example']],
    ['capacitor://localhost, null, *,', ['capacitor://localhost', 'null', '*']],
  ])('X8 the origins %j are compared as browsers name them', (CORS_ORIGIN, named) => {
    expect(readConfig({ CORS_ORIGIN, JWT_SECRET: SECRET }).corsOrigins).toEqual(named);
  });

  test.each([
    'app.example.org',
    'app.example.org:443',
    'localhost:3000',
    'https://*.example.org',
    'https://app.example.org/chat',
    'https://app.example.org/?',
    'https://somebody@app.example.org',
    'https://one.example;https://two.example',
    'https://one.example; ',
    'https://one.example https://two.example',
    'https://one.example, two.example, three.example',
    'file:///',
  ])('X8 a node does not start with the origin %j, which no browser sends', (CORS_ORIGIN) => {
    expect(() => readConfig({ CORS_ORIGIN, JWT_SECRET: SECRET })).toThrow(
      /^CORS_ORIGIN must be \* or origins such as https:\/\/app\.example\.org, separated by commas$/,
    );
  });

  test.each(['1', '2'])('O5 a port that is taken is said in plain words, with %s workers', async (WORKERS) => {
    using folder = temporaryFolder();
    const server = await startServer(MAIN, { DATA_DIR: folder.path });
    const second = spawnSync(process.execPath, [MAIN], {
      env: { DATA_DIR: folder.path, PORT: new URL(server.url).port, WORKERS },
      encoding: 'utf8',
    });
    expect(second).toMatchObject({ status: 1, stderr: expect.stringMatching(/Port \d+ is taken/) });
    await server.kill();
  });

  test('O50 with several workers the schema is brought up to date once, before there are any', async () => {
    using folder = temporaryFolder();
    const environment = { ...BARE_ENVIRONMENT, DATA_DIR: folder.path, PORT: '0', WORKERS: '2' };
    const file = join(folder.path, 'duet.db');
    using db = new DatabaseSync(file);
    db.exec('PRAGMA user_version = 999');
    const { status, stderr } = spawnSync(process.execPath, [MAIN], { env: environment, encoding: 'utf8' });
    expect(status).toBe(1);
    expect(stderr).toMatch(
      /^Duet cannot start: The database .*duet\.db cannot be used: it was written by a newer version.*\n$/,
    );
  });

  test('O34 the database, its log and its backups are for their owner alone', async () => {
    using folder = temporaryFolder();
    const DATA_DIR = join(folder.path, 'data');
    const server = await startServer(MAIN, { DATA_DIR });
    await register(server.url);
    const copy = join(folder.path, 'copy.db');
    expect(await duet({ DATA_DIR }, 'backup', copy)).toMatchObject({ code: 0 });
    const files = ['', 'duet.db', 'duet.db-wal', 'jwt-secret'].map((name) => join(DATA_DIR, name));
    expect([...files, copy].filter((file) => (statSync(file).mode & 0o077) !== 0)).toEqual([]);
    await server.kill();
  });

  test('O38 the event loop of a node, and of each of its workers, comes before the threads that help it', async () => {
    using folder = temporaryFolder();
    const server = await startServer(MAIN, { DATA_DIR: folder.path, WORKERS: '2' });
    await allServe(server);
    const workers = childrenOf(server.pid);
    const prioritiesOf = (pid: number, name: string) =>
      readdirSync(`/proc/${pid}/task`)
        .map((thread) => readFileSync(`/proc/${pid}/task/${thread}/stat`, 'utf8'))
        .filter((stat) => stat.includes(`(${name})`))
        .map((stat) => Number(stat.split(') ')[1]?.split(' ')[16]));
    for (const pid of [server.pid, ...workers]) {
      expect(prioritiesOf(pid, 'node-MainThread')).toEqual([0]);
      expect(new Set(prioritiesOf(pid, 'node-V8Worker'))).toEqual(new Set([HELPER_PRIORITY]));
    }
    expect(workers).toHaveLength(2);
    await server.kill();
  });

  test('O35 what people have called themselves or their devices moves no cursor and begins no row', () => {
    const text = table(['device'], [{ device: '\u001b[2K\u001b[1Agone\nadmin' }, { device: 'é ü 漢' }]);
    expect(text).toBe('device\n\uFFFD[2K\uFFFD[1Agone\uFFFDadmin\né ü 漢');
  });

  test('O5 a folder that cannot be used is said in plain words, with workers too', () => {
    using folder = temporaryFolder();
    writeFileSync(join(folder.path, 'duet.db'), 'this is no database'.repeat(100));
    const { status, stderr } = spawnSync(process.execPath, [MAIN], {
      env: { DATA_DIR: folder.path, PORT: '0', WORKERS: '2' },
      encoding: 'utf8',
    });
    expect({ status, stderr }).toMatchObject({ status: 1, stderr: expect.stringMatching(/not a database/) });
  });
});

describe('building blocks', () => {
  test('O6 logs hold no credentials and no messages', () => {
    const lines: string[] = [];
    const destination = new Writable({ write: (chunk, _, done) => done(void lines.push(String(chunk))) });
    const log = createLog({ level: 'info', pretty: false, destination });
    const secret = 'S3CRET';
    log.info(
      {
        token: secret,
        body: { password: secret, content: secret },
        req: { headers: { authorization: secret, cookie: secret } },
      },
      'x',
    );
    expect(lines).toHaveLength(1);
    expect(lines[0]).not.toContain(secret);
  });

  test('A9 tokens expire, and another secret does not open', async () => {
    const clock = createManualClock();
    const tokens = createTokens({ secret: SECRET, expiresIn: 60, clock });
    const { token, expiresIn } = tokens.issue('user', 'session');
    const claims = { user: 'user', session: 'session', expiresAt: clock.now() + 60_000 };
    expect({ expiresIn, claims: tokens.verify(token) }).toEqual({ expiresIn: 60, claims });
    const other = createTokens({ secret: SECRET.toUpperCase(), expiresIn: 60, clock });
    expect(() => other.verify(token)).toThrow(expect.objectContaining({ code: 'UNAUTHORIZED' }));
    await clock.advance(59_000);
    expect(tokens.verify(token)).toEqual(claims);
    await clock.advance(1_000);
    expect(() => tokens.verify(token)).toThrow(expect.objectContaining({ code: 'TOKEN_EXPIRED' }));
  });

  test.each([
    ['nothing of its own', {}],
    ['no session', { sid: undefined }],
    ['no user', { sub: undefined }],
    ['no end', { exp: undefined }],
    ['another issuer', { iss: 'somebody' }],
    ['another audience', { aud: 'somebody' }],
    ['a time before which it is not good', { nbf: 4_000_000_000 }],
    ['another algorithm', {}, 'HS512'],
  ] as [string, object, jwt.Algorithm?][])(
    'A8 a token that we have signed, with %s, is refused',
    (what, changed, algorithm = 'HS256') => {
      const tokens = createTokens({ secret: SECRET, expiresIn: 60, clock: systemClock });
      const good = { sub: 'user', sid: 'session', iss: 'duet', aud: 'duet', exp: 5_000_000_000 };
      expect(tokens.verify(jwt.sign(good, SECRET))).toMatchObject({ user: 'user' });
      const claims = what === 'nothing of its own' ? {} : JSON.parse(JSON.stringify({ ...good, ...changed }));
      const token = jwt.sign(claims, SECRET, { algorithm });
      expect(() => tokens.verify(token)).toThrow(expect.objectContaining({ code: 'UNAUTHORIZED' }));
    },
  );

  test('I12 two keys are good at once: the new one signs, what the old one signed stays good', () => {
    const of = (secret: string, previousSecret?: string) =>
      createTokens({ secret, previousSecret, expiresIn: 60, clock: systemClock });
    const OTHER = SECRET.toUpperCase();
    const [before, during, after] = [of(SECRET), of(OTHER, SECRET), of(OTHER)];
    const [old, young] = [before, during].map((tokens) => tokens.issue('user', 'session').token) as [string, string];
    for (const token of [old, young]) expect(during.verify(token)).toMatchObject({ user: 'user' });
    expect(after.verify(young)).toMatchObject({ user: 'user' });
    const refused = expect.objectContaining({ code: 'UNAUTHORIZED' });
    expect(() => before.verify(young)).toThrow(refused);
    expect(() => after.verify(old)).toThrow(refused);
    expect(during.successors('a')).toEqual([...after.successors('a'), ...before.successors('a')]);
  });

  test('I12 the old key is read from the environment or a file, and judged like the new one', () => {
    using folder = temporaryFolder();
    const file = join(folder.path, 'old');
    const OTHER = SECRET.toUpperCase();
    writeFileSync(file, `${OTHER}\n`);
    const both = { NODE_ENV: 'production', JWT_SECRET: SECRET };
    expect(readConfig(both).jwtSecretPrevious).toBeUndefined();
    expect(readConfig({ ...both, JWT_SECRET_PREVIOUS: OTHER }).jwtSecretPrevious).toBe(OTHER);
    expect(readConfig({ ...both, JWT_SECRET_PREVIOUS_FILE: file }).jwtSecretPrevious).toBe(OTHER);
    // The same data of a Secret, mounted as the key and passed on as the key before.
    const passed = { ...both, JWT_SECRET: `${SECRET}\n`, JWT_SECRET_PREVIOUS: readFileSync(file, 'utf8') };
    expect(readConfig(passed)).toMatchObject({ jwtSecret: SECRET, jwtSecretPrevious: OTHER });
    expect(() => readConfig({ ...both, JWT_SECRET: ' \n' })).toThrow(/JWT_SECRET is required/);
    // Copied, and not replaced yet: a node that is started by then starts.
    expect(readConfig({ ...both, JWT_SECRET_PREVIOUS: SECRET })).toMatchObject({ jwtSecret: SECRET });
    expect(() => readConfig({ ...both, JWT_SECRET_PREVIOUS: 'short' })).toThrow(/JWT_SECRET_PREVIOUS must have/);
    expect(() => readConfig({ ...both, JWT_SECRET_PREVIOUS_FILE: `${file}er` })).toThrow(
      /PREVIOUS_FILE cannot be read/,
    );
  });

  test.each([
    [{}, 604_800, 2_592_000],
    [{ JWT_EXPIRES_IN: '15m' }, 900, 2_592_000],
    [{ JWT_EXPIRES_IN: '900', REFRESH_EXPIRES_IN: '12h' }, 900, 43_200],
    [{ JWT_EXPIRES_IN: '1y' }, 31_557_600, 31_557_600],
  ])('I3 with %j a token is good for %d s, and a session without use for %d s', (given, token, session) => {
    const { jwtExpiresIn, sessionExpiresIn } = readConfig({ JWT_SECRET: SECRET, ...given });
    expect([jwtExpiresIn, sessionExpiresIn]).toEqual([token, session]);
  });

  test.each(['0', '0d', '500ms', '999 ms'])('I3 a time of %j, in which nobody would be let in, is refused', (none) => {
    for (const name of ['JWT_EXPIRES_IN', 'REFRESH_EXPIRES_IN'])
      expect(() => readConfig({ JWT_SECRET: SECRET, [name]: none })).toThrow(new RegExp(`^${name} must be a time`));
  });

  test.each([
    [undefined, true, undefined, true],
    ['https://chat.example', true, undefined, true],
    ['http://localhost:3000', true, undefined, true],
    ['null', true, undefined, true],
    ['https://evil.example', true, undefined, false],
    ['http://localhost:3000', false, undefined, false],
    ['null', false, undefined, false],
    ['https://app.example', false, ['https://app.example'], true],
    ['https://app.example.evil', false, ['https://app.example'], false],
    ['http://localhost:3000', true, ['https://app.example'], false],
    ['https://anything.example', false, ['*'], true],
  ])('X8 origin %j, development %j, allowed %j: %j', (...[origin, development, allowed, expected]) => {
    expect(createOriginRule({ allowed, development })(origin, 'chat.example')).toBe(expected);
  });
});

describe('a node', () => {
  test('O7 health, readiness and metrics are served, with labels from the contract alone', async () => {
    using folder = temporaryFolder();
    const server = await startServer(MAIN, { DATA_DIR: folder.path });
    const [alice, bob] = await Promise.all([register(server.url), register(server.url)]);
    using a = await connect(server.url, alice.token);
    using b = await connect(server.url, bob.token);
    await eventually(() => [a, b].every((each) => each.io.engine.transport.name === 'websocket'), 'they are upgraded');
    const got = next(b, 'receive_message');
    for (const content of ['counted', 'counted', 'counted otherwise'])
      await a.emitWithAck('send_message', { receiverId: bob.id, content, tempId: 't' });
    await got;
    await b.emitWithAck('sync', {});
    await rest(server.url, `/messages/${alice.id}`, { token: 'wrong' });
    expect(await (await fetch(`${server.url}/health`)).json()).toEqual({ status: 'ok' });
    expect(await (await fetch(`${server.url}/ready`)).json()).toEqual({ status: 'ready' });
    const metrics = await (await fetch(`${server.url}/metrics`)).text();
    for (const line of [
      'duet_messages_accepted_total 1',
      'duet_messages_delivered_total 1',
      'duet_messages_repeated_total 1',
      'duet_messages_synced_total 1',
      'duet_event_seconds_count{event="send_message",outcome="ok"} 2',
      'duet_event_seconds_count{event="send_message",outcome="never"} 1',
      'duet_store_seconds_count{operation="messages.append"} 3',
      'duet_cluster_seconds_count{operation="presence.beat"}',
      'duet_fence_seconds_count 2',
      'duet_polling_sockets 0',
      'duet_commit_messages_count 3',
      'duet_connected_sockets 2',
      'duet_ready 1',
      'duet_presence_changes_total{status="online"} 2',
      'duet_errors_total{code="UNAUTHORIZED"} 1',
      // Not happened yet, and there.
      'duet_errors_total{code="INTERNAL"} 0',
      'duet_event_seconds_count{event="typing_start",outcome="ok"} 0',
      'duet_http_request_seconds_count{route="login"} 0',
    ]) {
      expect(metrics).toContain(line);
    }
    for (const name of ['nodejs_eventloop_lag_p99_seconds', 'nodejs_heap_size_used_bytes'])
      expect(metrics).toContain(name);
    const documented = readFileSync(METRICS_PAGE, 'utf8').matchAll(/^\| `(duet_\w+)`/gm);
    const served = metrics.matchAll(/^# HELP (duet_\w+) ./gm);
    const namesOf = (matches: Iterable<RegExpMatchArray>) => [...matches].map(([, name]) => name).sort();
    expect(namesOf(served)).toEqual(namesOf(documented));
    for (const alias of ['/metrics/', '/METRICS', '//metrics', '/%6Detrics']) {
      const answer = await fetch(server.url + alias);
      expect(await answer.text(), alias).not.toContain('duet_connected_sockets');
    }
    expect(metrics).not.toContain(alice.id);
    expect(metrics).not.toContain(alice.user.username);
    expect(server.output()).toContain('RATE_LIMITS is off');
    await server.kill();
  });

  test('V2 a node of which every worker serves is ready, once', async () => {
    using folder = temporaryFolder();
    const server = await startServer(MAIN, { DATA_DIR: folder.path, WORKERS: '2' });
    await allServe(server);
    await server.kill();
  });

  test.each([
    { what: 'serves', ready: async () => {}, serving: true, expected: 1 },
    { what: 'starts', ready: async () => {}, serving: false, expected: 0 },
    { what: 'waits', ready: () => Promise.reject(new Error('away')), serving: true, expected: 0 },
    { what: 'needs what says nothing', ready: () => new Promise<void>(() => {}), serving: true, expected: 0 },
  ])('V2 a node that $what says so in its metrics', async ({ ready, serving, expected }) => {
    const health = createHealth({
      dependencies: () => [{ name: 'mongo', ready }],
      serving: () => serving,
      metrics: async () => '',
      metricsType: 'text/plain',
    });
    const metrics = createMetrics(() => ({ websocket: 0, polling: 0 }), health.isReady);
    expect(await metrics.text()).toMatch(new RegExp(`^duet_ready ${expected}$`, 'm'));
    health.drain();
    expect(await metrics.text()).toMatch(/^duet_ready 0$/m);
  });

  test('O8 SIGTERM: not ready, clients are told to come back, exit 0, and what was acknowledged is there', async () => {
    using folder = temporaryFolder();
    const environment = { DATA_DIR: folder.path, DRAIN_SECONDS: '1' };
    const server = await startServer(MAIN, environment);
    const [alice, bob] = await Promise.all([register(server.url), register(server.url)]);
    using a = await connect(server.url, alice.token, { transports: ['websocket'] });
    const reason = new Promise<string>((resolve) => a.once('disconnect', resolve));
    const { data } = await a.emitWithAck('send_message', { receiverId: bob.id, content: 'last words' });
    const stopped = server.stop();
    // Not `io server disconnect`: after that a client would stay away.
    expect(await reason).toBe('transport close');
    expect(await stopped).toBe(0);
    const again = await startServer(MAIN, { ...environment, PORT: new URL(server.url).port });
    await eventually(() => a.connected, 'the client is back by itself');
    const { body } = await rest(again.url, `/messages/${alice.id}`, { token: bob.token });
    expect(body.data.messages.map((message: { _id: string }) => message._id)).toEqual([data.message._id]);
    await again.kill();
  });

  const waiting = [
    ['has sent half a request', 'GET / HTTP/1.1\r\nHos'],
    ['has sent no body', `POST /api/auth/login HTTP/1.1\r\nHost: x\r\n${JSON_AHEAD}`],
    ['waits for something else than HTTP', `GET /x HTTP/1.1\r\nHost: x\r\n${UPGRADE}`],
    ['waits for a websocket, and says nothing', `GET ${SOCKET} HTTP/1.1\r\nHost: x\r\n${UPGRADE}`],
    ['keeps an idle connection', 'GET /health HTTP/1.1\r\nHost: x\r\n\r\n'],
    ['polls', `GET ${SOCKET.replace('websocket', 'polling')} HTTP/1.1\r\nHost: x\r\n\r\n`],
  ] as const;
  test.each(waiting.flatMap(([what, bytes]) => [1, 2].map((workers) => ({ what, bytes, workers }))))(
    'O8 SIGTERM ends a node of $workers at which a client $what, with all that it has to tell others',
    async ({ bytes, workers }) => {
      using folder = temporaryFolder();
      const environment = { DATA_DIR: folder.path, DRAIN_SECONDS: '0', LOG_LEVEL: 'info', WORKERS: String(workers) };
      const server = await startServer(MAIN, environment);
      const { hostname, port } = new URL(server.url);
      const client = createConnection({ host: hostname, port: Number(port), allowHalfOpen: true });
      client.on('error', () => {});
      await new Promise<void>((resolve) => client.write(bytes, () => resolve()));
      // What was sent before has been read.
      await allServe(server);
      expect(await server.stop()).toBe(0);
      expect(server.output().split('"stopped"')).toHaveLength(workers + 1);
      client.destroy();
    },
  );

  test.each([1, 2])('O8 SIGTERM lets %s workers answer the request that they have begun', async (WORKERS) => {
    using folder = temporaryFolder();
    const environment = { DATA_DIR: folder.path, DRAIN_SECONDS: '0', LOG_LEVEL: 'info', WORKERS: String(WORKERS) };
    const server = await startServer(MAIN, environment);
    const body = JSON.stringify({ username: 'begun', email: 'begun@example.org', password: 'password123' });
    const headers = { 'content-type': 'application/json', 'content-length': body.length, expect: '100-continue' };
    const begun = request(`${server.url}/api/auth/register`, { method: 'POST', headers });
    const answer = once(begun, 'response') as Promise<[IncomingMessage]>;
    begun.flushHeaders();
    await once(begun, 'continue');
    await allServe(server);
    const stopped = server.stop();
    await eventually(() => server.output().split('"stopping"').length > WORKERS, 'all have heard it');
    begun.end(body);
    const [{ statusCode }] = await answer;
    expect(statusCode).toBe(201);
    expect(await stopped).toBe(0);
  });

  test('O8 SIGTERM gives up passwords that wait to be looked at: their requests are told to come again', async () => {
    using folder = temporaryFolder();
    // Of these one takes as long as in production.
    const server = await startServer(MAIN, { DATA_DIR: folder.path, NODE_ENV: 'development' });
    const body = JSON.stringify({ email: 'nobody@example.org', password: 'password123' });
    const headers = { 'content-type': 'application/json', 'content-length': body.length, expect: '100-continue' };
    // So many that they take seconds, and no more than may wait.
    const length = 120 * passwordThreads(availableParallelism(), 1);
    const begun = Array.from({ length }, () =>
      request(`${server.url}/api/auth/login`, { method: 'POST', headers, agent: false }),
    );
    const answers = begun.map(async (login) => {
      const [answer] = (await once(login, 'response')) as [IncomingMessage];
      return (await json(answer)) as { code: string; retryAfterMs?: number };
    });
    await Promise.all(begun.map((login) => once(login, 'continue')));
    for (const login of begun) login.end(body);
    await Promise.any(answers);
    expect(await server.stop()).toBe(0);
    const codes = (await Promise.all(answers)).map(({ code, retryAfterMs }) => `${code} ${retryAfterMs}`);
    expect(new Set(codes)).toEqual(new Set(['INVALID_CREDENTIALS undefined', 'UNAVAILABLE 1000']));
  });

  test('O8 SIGTERM has the sockets of workers leave one after the other, too', async () => {
    using folder = temporaryFolder();
    const server = await startServer(MAIN, { DATA_DIR: folder.path, DRAIN_SECONDS: '2', WORKERS: '2' });
    const { token } = await register(server.url);
    const all = await Promise.all(
      Array.from({ length: 20 }, () => connect(server.url, token, { transports: ['websocket'], reconnection: false })),
    );
    const gone: number[] = [];
    const ended = all.map(
      (socket) =>
        new Promise<number>((resolve) => socket.once('disconnect', () => resolve(gone.push(performance.now())))),
    );
    const stopped = server.stop();
    await Promise.all(ended);
    expect((gone.at(-1) as number) - (gone[0] as number)).toBeGreaterThan(500);
    expect(await stopped).toBe(0);
  });

  test.each([
    ['0', 60],
    ['1', 600],
  ])('O42 with %s proxies an idle connection is kept for longer than %i s', async (TRUST_PROXY, least) => {
    using folder = temporaryFolder();
    const server = await startServer(MAIN, { DATA_DIR: folder.path, TRUST_PROXY });
    const { hostname, port } = new URL(server.url);
    const client = createConnection({ host: hostname, port: Number(port) }).setEncoding('utf8');
    client.write('GET /health HTTP/1.1\r\nHost: x\r\n\r\n');
    const [answer] = await once(client, 'data');
    const [, seconds] = /^Keep-Alive: timeout=(\d+)\r$/m.exec(answer) ?? [];
    expect(Number(seconds)).toBeGreaterThan(least);
    // And not for ever.
    expect(Number(seconds)).toBeLessThan(least + 60);
    const ours = /keepalive_timeout (\d+)s;/.exec(
      /upstream api \{[^}]*\}/.exec(readFileSync(NGINX, 'utf8'))?.[0] ?? '',
    );
    expect(Number(ours?.[1] ?? 60)).toBeLessThan(Number(seconds));
    client.destroy();
    await server.kill();
  });

  test('O8 a connection that became something else than HTTP ends with the rest, also one that waits to be let in', async () => {
    const { http, end } = createHttpServer();
    const asked = new Promise<void>((resolve) => http.on('upgrade', () => resolve()));
    await once(http.listen(0, '127.0.0.1'), 'listening');
    const client = createConnection((http.address() as AddressInfo).port, '127.0.0.1');
    client.write(`GET ${SOCKET} HTTP/1.1\r\nHost: x\r\n${UPGRADE}`);
    await asked;
    const closed = once(http.close(), 'close');
    end();
    await Promise.all([closed, once(client, 'close')]);
  });

  test('O8 SIGTERM ends a node that still waits for what it needs', async () => {
    const env = { MONGODB_URI: 'mongodb://127.0.0.1:1/nobody', JWT_SECRET: SECRET, PORT: '0' };
    const child = spawn(process.execPath, [MAIN], { env, stdio: ['ignore', 'pipe', 'inherit'] });
    const exited = once(child, 'exit');
    for await (const chunk of child.stdout) {
      if (!String(chunk).includes('waiting for mongo')) continue;
      expect(String(chunk)).toContain('ECONNREFUSED');
      break;
    }
    child.kill('SIGTERM');
    expect(await exited).toEqual([0, null]);
  });

  test('O9 limits refuse with the time to wait, in events and in REST, and name it in a header', async () => {
    using folder = temporaryFolder();
    const server = await startServer(MAIN, { DATA_DIR: folder.path, RATE_LIMITS: 'on' });
    const [alice, bob] = await Promise.all([register(server.url), register(server.url)]);
    using a = await connect(server.url, alice.token);
    const acks = await Promise.all(
      Array.from({ length: limits.typing.limit + 20 }, () => a.emitWithAck('typing_start', { receiverId: bob.id })),
    );
    const refused = acks.filter(({ ok }) => !ok);
    expect(refused.length).toBeGreaterThan(10);
    expect(refused[0]).toMatchObject({ error: { code: 'RATE_LIMITED', retryAfterMs: expect.any(Number) } });
    expect(await a.emitWithAck('send_message', { receiverId: bob.id, content: 'another bucket' })).toMatchObject({
      ok: true,
    });

    const guess = () => rest(server.url, '/auth/login', { body: { email: bob.email, password: 'wrong-guess' } });
    // All at once: those under way count as well.
    const guesses = await Promise.all(Array.from({ length: limits.login_failure.limit + 10 }, guess));
    expect(guesses.filter(({ status }) => status === 401)).toHaveLength(limits.login_failure.limit);
    const throttled = await guess();
    expect(throttled).toMatchObject({ status: 429, body: { code: 'RATE_LIMITED', retryAfterMs: expect.any(Number) } });
    expect(Number(throttled.headers.get('retry-after'))).toBeGreaterThan(0);
    const other = await rest(server.url, '/auth/login', { body: { email: alice.email, password: alice.password } });
    expect(other.status).toBe(200);
    await server.kill();
  });

  test('O6 a node at debug, with a database that fails, says neither what people write nor how they sign in', async () => {
    using folder = temporaryFolder();
    const server = await startServer(MAIN, { DATA_DIR: folder.path, LOG_LEVEL: 'debug' });
    const [alice, bob] = await Promise.all([register(server.url), register(server.url)]);
    using a = await connect(server.url, alice.token);
    const send = (content: string) => a.emitWithAck('send_message', { receiverId: bob.id, content });
    await send('S3CRET one');
    const broken = `{"password": "S3CRET", "content": "S3CRET`;
    const headers = { 'content-type': 'application/json', authorization: 'Bearer S3CRET', cookie: 'S3CRET' };
    expect(await fetch(`${server.url}/api/auth/login`, { method: 'POST', headers, body: broken })).toMatchObject({
      status: 400,
    });
    await rest(server.url, '/auth/login', { body: { email: alice.email, password: 'S3CRET guess' } });
    const db = new DatabaseSync(join(folder.path, 'duet.db'));
    db.exec('ALTER TABLE messages RENAME TO elsewhere');
    db.close();
    expect(await send('S3CRET two')).toMatchObject({ ok: false, error: { code: 'UNAVAILABLE' } });
    expect(await rest(server.url, `/messages/${alice.id}`, { token: bob.token })).toMatchObject({ status: 503 });
    await eventually(() => server.output().includes('no such table'), 'the failure is logged');
    for (const secret of ['S3CRET', alice.password, alice.token, bob.token]) {
      expect({ secret, logged: server.output().includes(secret) }).toEqual({ secret, logged: false });
    }
    await server.kill();
  });

  test('O10 security headers, request ids, and a client that is cached for ever by its name', async () => {
    using folder = temporaryFolder();
    const server = await startServer(MAIN, { DATA_DIR: folder.path });
    const page = await fetch(server.url);
    expect(page.headers.get('content-security-policy')).toContain("default-src 'none'");
    expect(page.headers.get('x-powered-by')).toBeNull();
    const script = /src="(\/assets\/[^"]+\.js)"/.exec(await page.text())?.[1];
    const asset = await fetch(server.url + script);
    expect(asset.headers.get('cache-control')).toContain('immutable');
    expect(page.headers.get('cache-control') ?? '').not.toContain('immutable');
    expect(
      (await fetch(`${server.url}/api/auth/me`, { headers: { 'x-request-id': 'abc-1' } })).headers.get('x-request-id'),
    ).toBe('abc-1');
    expect(
      (await fetch(`${server.url}/api/auth/me`, { headers: { 'x-request-id': 'a b"c' } })).headers.get('x-request-id'),
    ).toMatch(/^[\w-]{36}$/);
    expect(readFileSync(join(folder.path, 'jwt-secret'), 'utf8')).toHaveLength(64);
    await server.kill();
  });

  test('O47 no browser keeps what the API has answered', async () => {
    using folder = temporaryFolder();
    const server = await startServer(MAIN, { DATA_DIR: folder.path });
    const { token, id } = await register(server.url);
    const keeps = async (path: string, headers: Record<string, string> = {}) => {
      const { status, headers: given } = await fetch(server.url + path, { headers });
      return [status, given.get('cache-control')];
    };
    const signedIn = { authorization: `Bearer ${token}` };
    for (const path of ['auth/me', 'auth/users', 'auth/sessions', 'conversations', `messages/${id.replace(/./g, 'f')}`])
      expect(await keeps(`/api/${path}`, signedIn)).toEqual([path.startsWith('messages') ? 404 : 200, 'no-store']);
    expect(await keeps('/api/auth/me')).toEqual([401, 'no-store']);
    expect(await keeps('/assets/nothing.js')).toEqual([404, 'no-store']);
    expect(await keeps('/api/docs/swagger-ui.css')).toEqual([200, 'public, max-age=3600']);
    await server.kill();
  });
});
