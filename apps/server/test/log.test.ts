import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { Writable } from 'node:stream';
import { createRedisCluster } from '@duet/cluster-redis';
import { DuetError } from '@duet/contract';
import { createManualClock, eventually } from '@duet/testkit';
import { describe, expect, test } from 'vitest';
import { loadCluster } from '../src/adapters.ts';
import { createLog } from '../src/ops/log.ts';

const SECRET = 'S3CRET';

/** A log, and its lines. */
function logged() {
  const lines: string[] = [];
  const destination = new Writable({ write: (chunk, _, done) => done(void lines.push(String(chunk))) });
  return { lines, log: createLog({ level: 'info', pretty: false, destination }) };
}

/** Answers the first thing that is said to it with this line, and hangs up. */
async function refusing(line: string): Promise<AsyncDisposable & { url: string }> {
  const server = createServer((socket) => {
    socket.on('error', () => {}); // 'close' follows
    socket.once('data', () => socket.end(`${line}\r\n`));
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `redis://duet:${SECRET}@127.0.0.1:${(server.address() as AddressInfo).port}`,
    [Symbol.asyncDispose]: async () => void server.close(),
  };
}

describe('what the log says of drivers', () => {
  test.each(['-ERR max number of clients reached', '-WRONGPASS invalid username-password pair or user is disabled.'])(
    'O43 a Redis that answers %s is said to be lost, and why, without the password',
    async (line) => {
      await using redis = await refusing(line);
      const { log, lines } = logged();
      const config = { kind: 'redis', url: redis.url, prefix: 'duet' } as const;
      const cluster = await loadCluster(config, { clock: createManualClock(), log });
      await eventually(() => lines.length > 0, 'it is said to be lost');
      await cluster.close();
      expect(lines[0]).toContain('redis lost');
      expect(lines[0]).toContain(line.slice(1, 20));
      expect(lines.join('')).not.toContain(SECRET);
    },
  );

  test('O43 whoever else is told that Redis is lost is not told the password either', async () => {
    await using redis = await refusing('-ERR max number of clients reached');
    const told: (Error | undefined)[] = [];
    const report = (_: string, error?: Error) => void told.push(error);
    const cluster = createRedisCluster({ url: redis.url, prefix: 'duet', clock: createManualClock(), report });
    await eventually(() => told.length > 0, 'it is said to be lost');
    await cluster.close();
    expect(told[0]?.message).toContain('max number of clients');
    expect(Object.keys(told[0] as Error)).toEqual([]);
  });

  test.each([
    ['the command', { command: { name: 'hello', args: ['3', 'AUTH', 'duet', SECRET] } }],
    ['the document', { writeErrors: [{ err: { op: { title: SECRET } } }], keyValue: { emailKey: SECRET } }],
    ['both, in one of several', { errors: [Object.assign(new Error('one'), { command: { args: [SECRET] } })] }],
  ])('O43 an error to which a driver has added %s is logged without', (_, added) => {
    const { log, lines } = logged();
    const err = Object.assign(new Error('it failed', { cause: new Error('the cause') }), { code: 'ECONNRESET' }, added);
    log.warn({ err }, 'x');
    log.error(err);
    log.error({ err: new DuetError('INTERNAL', { cause: err }) }, 'x');
    expect(lines).toHaveLength(3);
    expect(JSON.parse(lines[0] ?? '').err).toMatchObject({ message: 'it failed: the cause', code: 'ECONNRESET' });
    expect(lines.join('')).not.toContain(SECRET);
  });

  test('O43 of an error that stands for several each is told', () => {
    const { log, lines } = logged();
    log.warn({ err: new AggregateError([new Error('by IPv6'), new Error('by IPv4')]) }, 'x');
    expect(JSON.parse(lines[0] ?? '')).toMatchObject({
      err: { type: 'AggregateError', errors: ['Error: by IPv6', 'Error: by IPv4'] },
    });
  });
});
