import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { startServer, temporaryFolder } from '@duet/testkit';
import { Server } from 'socket.io';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { areKept, bracketOf, nextRate, type Tried } from '../src/maximum.ts';
import { FIELDS, prepare } from '../src/prepare.ts';
import { counts, type LoadResult, latencies, page } from '../src/report.ts';
import * as steps from '../src/virtual-user.ts';

const SERVER = fileURLToPath(new URL('../../server/src/main.ts', import.meta.url));
const FOLDER = fileURLToPath(new URL('../artillery', import.meta.url));
const files = readdirSync(FOLDER).filter((file) => file.endsWith('.yml'));

/** Keeps what steps report. */
function createMeter() {
  const histograms: Record<string, number[]> = {};
  const counters: Record<string, number> = {};
  return {
    histograms,
    counters,
    emit(kind: 'histogram' | 'counter', name: string, value: number) {
      if (kind === 'histogram') histograms[name] = [...(histograms[name] ?? []), value];
      else counters[name] = (counters[name] ?? 0) + value;
    },
  };
}

/** The rows of a file of accounts, as Artillery hands them to virtual users. */
function usersOf(file: string, target: string): steps.VirtualUser[] {
  const [head, ...rows] = readFileSync(file, 'utf8').trim().split('\n');
  expect(head?.split(',')).toEqual(FIELDS);
  return rows.map((row) => {
    const values = row.split(',');
    const vars = Object.fromEntries(FIELDS.map((field, i) => [field, values[i]]));
    return { vars: { target, ...vars } } as unknown as steps.VirtualUser;
  });
}

/** Every value of a key, wherever it stands. */
function valuesOf(key: string, tree: unknown): unknown[] {
  if (typeof tree !== 'object' || tree === null) return [];
  return Object.entries(tree).flatMap(([name, value]) => (name === key ? [value] : valuesOf(key, value)));
}

describe('virtual users', () => {
  test('J1 a pair connects, writes, loses its connections and comes back; all of it is measured', async () => {
    using folder = temporaryFolder();
    const server = await startServer(SERVER, { DATA_DIR: folder.path });
    const file = join(folder.path, 'accounts.csv');
    await prepare({ url: server.url, pairs: 2, messages: 3, file });
    const [user, other] = usersOf(file, server.url) as [steps.VirtualUser, steps.VirtualUser];
    const { token, peerId } = other.vars;
    const headers = { authorization: `Bearer ${token}` };
    const history = await (await fetch(`${server.url}/api/messages/${peerId}`, { headers })).json();
    expect(history).toMatchObject({ data: { count: 3 } });

    const meter = createMeter();
    await steps.connect(user, meter);
    await steps.send(user, meter);
    await steps.drop(user, meter);
    await steps.send(user, meter);
    await steps.leave(user, meter);
    const measured = Object.entries(meter.histograms).map(([name, values]) => [name, values.length]);
    expect(Object.fromEntries(measured)).toEqual({
      'duet.connect_ms': 2,
      'duet.ack_ms': 2,
      'duet.e2e_ms': 2,
      'duet.reconnect_ms': 2,
    });
    expect(meter.counters).toEqual({
      'duet.sent': 2,
      'duet.unanswered': 0,
      'duet.refused': 0,
      'duet.undelivered': 0,
      'duet.disconnected': 0,
    });
    user.vars.token = 'wrong';
    await expect(steps.connect(user, meter)).rejects.toThrow('connect UNAUTHORIZED');
    await server.kill();
  });

  test('J1 an acknowledgement that does not come is counted and holds nobody up', async () => {
    const http = createServer().listen(0, '127.0.0.1');
    const silent = new Server(http);
    await once(http, 'listening');
    const target = `http://127.0.0.1:${(http.address() as AddressInfo).port}`;
    const user = { vars: { target, token: 'a', id: 'a', peerToken: 'b', peerId: 'b' } };
    const meter = createMeter();
    await steps.connect(user, meter);
    await steps.send(user, meter);
    await steps.leave(user, meter);
    await silent.close();
    expect(meter.counters).toMatchObject({ 'duet.sent': 1, 'duet.unanswered': 1, 'duet.undelivered': 1 });
    expect(meter.histograms).not.toHaveProperty('duet.ack_ms');
  });
});

describe('scenarios', () => {
  test('J2 there is one for each kind of day', () => {
    const names = ['chat', 'history', 'idle', 'login-storm', 'mixed', 'reconnect-storm'];
    expect(files.sort()).toEqual(names.map((name) => `${name}.yml`));
  });

  test.each(files)('J2 %s names steps, columns and counters that exist, and has limits and a short form', (file) => {
    const { config, scenarios } = parse(readFileSync(join(FOLDER, file), 'utf8'));
    for (const name of valuesOf('function', scenarios)) expect(Object.keys(steps)).toContain(name);
    expect(config.payload.fields).toEqual(FIELDS);
    expect(config.environments.short.phases).toHaveLength(config.phases.length);
    expect(config.environments.short.ensure.thresholds).toHaveLength(config.ensure.thresholds.length);
    const source = readFileSync(new URL('../src/virtual-user.ts', import.meta.url), 'utf8');
    const limits = JSON.stringify(config.ensure).matchAll(/duet\.(\w+)/g);
    for (const [, name] of limits) expect(source).toContain(name);
    const writes = valuesOf('function', scenarios).includes('send');
    const none = 'duet.unanswered == 0 and duet.refused == 0 and duet.undelivered == 0';
    expect((config.ensure.conditions as { expression: string }[]).some(({ expression }) => expression === none)).toBe(
      writes,
    );
  });
});

describe('the search for the maximum', () => {
  /** The rates that are tried, and what they come to, where so many people a second are borne. */
  function search(first: number, borne: number) {
    const tried: Tried[] = [];
    for (let rate: number | undefined = first; rate !== undefined; rate = nextRate(bracketOf(tried)))
      tried.push({ rate, held: rate <= borne });
    return { rates: tried.map(({ rate }) => rate), found: bracketOf(tried) };
  }

  test('O32 the rate is doubled, or halved, until the maximum lies between two, and then the space between is', () => {
    expect(search(10, 33)).toEqual({ rates: [10, 20, 40, 30, 35, 32, 33, 34], found: { held: 33, broke: 34 } });
    expect(search(10, 3)).toEqual({ rates: [10, 5, 2, 3, 4], found: { held: 3, broke: 4 } });
    expect(search(10, 0)).toEqual({ rates: [10, 5, 2, 1], found: { held: undefined, broke: 1 } });
  });

  test('O32 a rate that was borne above one that was not does not count', () => {
    const tried = [10, 40, 20].map((rate) => ({ rate, held: rate !== 20 }));
    expect(bracketOf(tried)).toEqual({ held: 10, broke: 20 });
    expect(bracketOf([])).toEqual({ held: undefined, broke: undefined });
  });
});

describe('the report of a run', () => {
  test('O32 a step in which nothing was measured says nothing of limits', () => {
    expect(areKept(0, result)).toBe(true);
    expect(areKept(1, result)).toBe(false);
    for (const code of [1, 7])
      expect(() => areKept(code, code === 7 ? result : undefined)).toThrow('Artillery has failed');
  });

  const distribution = { count: 66, min: 1.4, p50: 5, p75: 10.9, p90: 19.5, p95: 29.1, p99: 53, p999: 53, max: 63.9 };
  const summaries = { 'duet.ack_ms': distribution };
  const counters = { 'vusers.created': 42, 'duet.sent': 66, 'errors.<b>late</b>': 1 };
  const times = { firstMetricAt: 1_795_571_277_769, lastMetricAt: 1_795_571_294_814 };
  const result: LoadResult = {
    aggregate: { period: 1_795_571_290_000, summaries, counters, ...times },
    intermediate: [
      { period: '1795571270000', summaries, counters },
      { period: '1795571280000', summaries: {}, counters: {} },
    ],
  };

  test('J3 tables show what was measured, and every error', () => {
    expect(latencies(result)).toEqual([
      ['ms until', 'count', 'p50', 'p75', 'p90', 'p95', 'p99', 'p999', 'max'],
      ['acknowledged', '66', '5.0', '10.9', '19.5', '29.1', '53.0', '53.0', '63.9'],
    ]);
    expect(counts(result)).toEqual([
      ['virtual users', '42'],
      ['messages sent', '66'],
      ['error: <b>late</b>', '1'],
    ]);
  });

  test('J3 the page has its plots inside, asks the network for nothing, and runs nothing', () => {
    const html = page(result, 'mixed');
    expect(html.match(/<svg /g)).toHaveLength(2);
    expect(html).toContain('<circle r="3" cx="56.0"');
    expect(html).not.toMatch(/https?:|src=|<script|<b>|NaN|undefined/);
  });
});
