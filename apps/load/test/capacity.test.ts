import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { assumptionTable, defaults, plan, rateOf, resources, workedTable } from '../src/capacity-plan.ts';

const COMMAND = fileURLToPath(new URL('../src/capacity.ts', import.meta.url));
const page = (name: string) => readFileSync(new URL(`../../../docs/${name}.md`, import.meta.url), 'utf8');
const PAGE = page('capacity');

async function run(...words: string[]): Promise<{ code: number; said: string }> {
  const child = spawn(process.execPath, [COMMAND, ...words]);
  let said = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (said += chunk));
  const [code] = await once(child, 'close');
  return { code, said };
}

/** A table of Markdown without what only makes its columns straight. */
const bare = (text: string): string => text.replace(/ +/g, ' ').replace(/-{3,}/g, '---').trim();
const planFor = (users: number, given = defaults) => plan({ users, rate: rateOf(users, given) }, given);

describe('npm run capacity', () => {
  test('O24 the tables of the page are what the command computes', async () => {
    const { code, said } = await run('--table');
    expect(code).toBe(0);
    expect(bare(said)).toBe(bare(workedTable()));
    for (const table of [workedTable(), assumptionTable()]) expect(bare(PAGE)).toContain(bare(table));
  });

  test('O24 what a message costs is what the benchmark says', () => {
    const [, nodes, redis] = /Duet, 4 nodes +\| (\d+) µs +\| ([\d.]+) µs/.exec(page('benchmark')) ?? [];
    const [, sealed] = /µs without encryption .* and (\d+) µs with it/.exec(page('benchmark')) ?? [];
    const [, cipher] = /Encryption at rest took \d+, (\d+) and \d+ µs more/.exec(page('benchmark')) ?? [];
    expect(Math.round(defaults.aloneMicros)).toBe(Number(sealed));
    expect(defaults.redisMicros).toBe(Number(redis));
    expect(defaults.messageMicros).toBe(Number(nodes) + Number(cipher));
    const most = Math.floor((defaults.full * 1e6) / defaults.redisMicros / 1_000);
    expect(PAGE).toContain(`half of its one core: about ${most},000 messages a second`);
  });

  test('O24 a plan bears what is asked, also when one node or nginx is gone', () => {
    for (const users of [200_000, 1_000_000, 25_000_000, 100_000_000]) {
      const { sockets, rate, nodes, nginx, redis, shards, portsUsed } = planFor(users);
      expect((nodes - 1) * defaults.nodeSockets).toBeGreaterThanOrEqual(sockets);
      expect((nodes - 1) * defaults.full * 1e6).toBeGreaterThanOrEqual(rate * defaults.messageMicros);
      expect((nginx - 1) * defaults.nginxSockets).toBeGreaterThanOrEqual(sockets);
      expect(redis * defaults.full * 1e6).toBeGreaterThanOrEqual(rate * defaults.redisMicros);
      expect(shards * defaults.shardRate).toBeGreaterThanOrEqual(rate);
      expect(portsUsed).toBeLessThanOrEqual(defaults.ports);
    }
  });

  test('O24 where ports run out first that is said, and nodes are added until they do not', () => {
    const given = { ...defaults, nginxSockets: 131_072, nodeSockets: 40_000 };
    const { nodes, portsUsed, pressures } = planFor(1_000_000, given);
    expect(pressures[0]).toEqual({ resource: 'ports', units: 100_000 / defaults.ports });
    expect({ nodes, portsUsed }).toEqual({ nodes: 5, portsUsed: 25_000 });
    expect(PAGE).toContain(`| ${resources.ports.what} `);
  });

  test('O24 a rate that sockets do not ask for asks for nodes, and an assumption changes the plan', () => {
    const quiet = planFor(1_000_000);
    expect(plan({ users: 1_000_000, rate: 100_000 }).nodes).toBeGreaterThan(quiet.nodes);
    expect(planFor(1_000_000, { ...defaults, nodeSockets: 50_000 }).nodes).toBe(3);
    expect(planFor(1_000)).toMatchObject({ shape: 'one node, SQLite', nodes: 1, redis: 0 });
  });

  test('O24 what breaks first is something that the plan has', () => {
    expect(plan({ users: 1_000, rate: 5_000 }).pressures.map(({ resource }) => resource)).toEqual(['cpu', 'sockets']);
    expect(planFor(1_000_000).pressures.map(({ resource }) => resource)).toContain('disk');
  });

  test('O24 it prints a plan for people and for machines, and refuses what is no number', async () => {
    expect((await run('--users', '1000000', '--rate', '5000')).said).toMatch(/nodes +11/);
    const { said } = await run('--users', '1e6', '--rate', '5000', '--json');
    expect(JSON.parse(said)).toEqual(plan({ users: 1_000_000, rate: 5_000 }));
    for (const words of [[], ['--users', 'many'], ['--users', '10', '--full', '0'], ['--users', '10', '--wishes', '3']])
      expect({ words, code: (await run(...words)).code }).toEqual({ words, code: 1 });
  });
});
