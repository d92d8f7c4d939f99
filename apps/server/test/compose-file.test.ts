import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { temporaryFolder } from '@duet/testkit';
import { expect, test } from 'vitest';
import { parse } from 'yaml';
import { readConfig } from '../src/config.ts';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));

interface Service {
  volumes?: string[];
  labels?: Record<string, string>;
  restart?: string;
  environment?: Record<string, string>;
  depends_on?: string[] | Record<string, { condition: string }>;
  command?: string[];
  mem_limit?: string;
  pids_limit?: number;
}

const README = readFileSync(join(ROOT, 'README.md'), 'utf8');
const composeFile = () =>
  parse(readFileSync(join(ROOT, 'docker-compose.yml'), 'utf8'), { merge: true }) as {
    services: Record<string, Service>;
  };

/** Decided there by the image and the shape, or given as a file alone. */
const NOT_FOR_COMPOSE = [
  ...['PORT', 'NODE_ENV', 'DATA_DIR', 'STORE', 'CLUSTER', 'WORKERS', 'REDIS_PREFIX', 'DRAIN_SECONDS'],
  ...['MONGODB_URI', 'REDIS_URL', 'JWT_SECRET', 'JWT_SECRET_PREVIOUS', 'KEY_RING_COMMAND'],
];

/** All files that stand at a path or below it, in an order that is always the same. */
function filesAt(path: string): string[] {
  if (!statSync(join(ROOT, path)).isDirectory()) return [path];
  return readdirSync(join(ROOT, path))
    .sort()
    .flatMap((name) => filesAt(join(path, name)));
}

/** What the label of a service has to say of the files that are mounted into it; undefined: there are none. */
function nameOfFiles({ volumes = [] }: Service): string | undefined {
  const files = volumes
    .filter((volume) => volume.startsWith('./'))
    .flatMap((volume) => filesAt(volume.split(':')[0] as string));
  if (files.length === 0) return undefined;
  const hash = createHash('sha256');
  for (const file of files) hash.update(readFileSync(join(ROOT, file)));
  return hash.digest('hex').slice(0, 12);
}

test('O33 a container is made anew when a file that is mounted into it has changed', () => {
  // Compose compares what the file says of a service, and not what its mounts hold.
  const { services } = composeFile();
  const running = Object.entries(services).filter(([, { restart }]) => restart !== 'no');
  const wanted = running.map(([name, service]) => [name, nameOfFiles(service)]);
  expect(wanted.filter(([, files]) => files !== undefined).length).toBeGreaterThan(3);
  expect(running.map(([name, { labels }]) => [name, labels?.['duet.files']])).toEqual(wanted);
});

test('O29 docker compose hands no container a secret from the environment', () => {
  const secrets = ['JWT_SECRET', 'JWT_SECRET_PREVIOUS', 'MONGODB_URI', 'REDIS_URL', 'KEY_RING_COMMAND'];
  const given = Object.values(composeFile().services).flatMap(({ environment = {} }) => Object.keys(environment));
  expect(given).toContain('JWT_SECRET_PREVIOUS_FILE');
  expect(given.filter((name) => secrets.includes(name))).toEqual([]);
});

test('O40 docker compose starts everything, whatever takes long to be ready', () => {
  // With `service_healthy` Compose gives up when a database recovers for longer than its health check allows.
  const services = Object.values(composeFile().services);
  const conditions = services.flatMap(({ depends_on: on = [] }) => (Array.isArray(on) ? [] : Object.entries(on)));
  const of = (service: string) => conditions.filter(([name]) => name === service).map(([, { condition }]) => condition);
  expect(new Set(of('secret'))).toEqual(new Set(['service_completed_successfully']));
  const others = ['mongo', 'redis', 'duet'].flatMap(of);
  expect(others).toHaveLength(3);
  expect(new Set(others)).toEqual(new Set(['service_started']));
});

test('O41 a container takes neither all memory nor all processes of the machine', () => {
  for (const [name, { mem_limit, pids_limit }] of Object.entries(composeFile().services)) {
    expect({ name, mem_limit }).toEqual({ name, mem_limit: expect.stringMatching(/^(\d|\$\{\w+_MEMORY_GB:-\d\})g$/) });
    expect(pids_limit, name).toBeGreaterThan(0);
  }
});

test.each([
  ['1', '0.4'],
  ['2', '0.8'],
  ['3', '1.2'],
  ['48', '19.2'],
])('O41 of %s GB the cache of MongoDB gets %s', (gb, cache) => {
  const [shell = '', flag, script = ''] = composeFile().services.mongo?.command ?? [];
  // As Compose hands it on; what it would start is printed.
  const command = script.replaceAll(/\$\{MONGO_MEMORY_GB:-\d\}/g, gb).replaceAll('$$', '$');
  const stood = command.replace(/^install \S+ \S+ \S+ \S+/, 'true').replace('exec mongod', 'echo mongod');
  const { stdout } = spawnSync(shell, [flag as string, stood], { encoding: 'utf8' });
  expect(stdout.trim()).toBe(
    `mongod --replSet duet --bind_ip_all --keyFile /tmp/keyfile --wiredTigerCacheSizeGB ${cache}`,
  );
});

test('O37 the README names what docker-compose.yml takes from the environment', () => {
  const taken = readFileSync(join(ROOT, 'docker-compose.yml'), 'utf8').matchAll(/\$\{(\w+):-/g);
  const [, list = ''] = /`\.env`, and nothing else is passed on:\n\n((?:- .*\n)+)/.exec(README) ?? [];
  const named = list.matchAll(/`([A-Z_]{2,})`/g);
  const namesOf = (matches: Iterable<RegExpMatchArray>) => [...new Set([...matches].map(([, name]) => name))].sort();
  expect(namesOf(named)).toEqual(namesOf(taken));
});

test('O37 the README names every variable of a node, and docker compose passes it on or has a reason', () => {
  const config = readFileSync(join(ROOT, 'apps/server/src/config.ts'), 'utf8');
  const read = [...config.matchAll(/^ {4}([A-Z_]+): /gm)].map(([, name]) => name as string);
  expect(read.length).toBeGreaterThan(30);
  const [, configuration = ''] = /^## Configuration\n(.*?)^## /ms.exec(README) ?? [];
  expect(read.filter((name) => !configuration.includes(`\`${name}\``))).toEqual([]);
  const passed = Object.keys(composeFile().services.duet?.environment ?? {});
  expect([...passed, ...NOT_FOR_COMPOSE].sort()).toEqual(read.toSorted());
});

test('O37 what is empty in docker-compose.yml means the default', () => {
  using folder = temporaryFolder();
  const { environment = {} } = composeFile().services.duet as Service;
  const taken = Object.keys(environment).filter((name) => environment[name]?.startsWith('$'));
  expect(taken.length).toBeGreaterThan(10);
  const empty = Object.fromEntries(taken.map((name) => [name, '']));
  const options = { DATA_DIR: folder.path, JWT_SECRET: '0'.repeat(64) };
  const told = (environment: Record<string, string>) => JSON.stringify(readConfig(environment));
  expect(told({ ...options, ...empty })).toBe(told(options));
});
