import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { type Boundary, sources, violations } from '../src/index.ts';

const root = fileURLToPath(new URL('../../..', import.meta.url));
const contract = ['@duet/contract', '@duet/contract/errors'];
const clocks = /\bDate\.now\(|\bnew Date\(\)|process\.env/;

/** Who may import whom. ARCHITECTURE.md shows it as a table. */
const boundaries: Boundary[] = [
  { folder: 'packages/contract', mayImport: ['zod'], builtins: 'none', never: clocks },
  { folder: 'packages/core', mayImport: contract, builtins: ['node:crypto'], never: clocks },
  { folder: 'packages/sealing', mayImport: [...contract, '@duet/core'], builtins: ['node:crypto'], never: clocks },
  { folder: 'packages/store-sqlite', mayImport: [...contract, '@duet/core'], builtins: 'all', never: clocks },
  {
    folder: 'packages/store-mongo',
    mayImport: [...contract, '@duet/core', 'mongoose'],
    builtins: 'none',
    never: clocks,
  },
  {
    folder: 'packages/cluster-redis',
    mayImport: [...contract, '@duet/core', 'ioredis', 'socket.io-adapter'],
    builtins: ['node:crypto'],
    never: clocks,
  },
  {
    folder: 'packages/cluster-local',
    mayImport: [...contract, '@duet/core', '@socket.io/cluster-adapter', '@socket.io/sticky'],
    builtins: 'all',
    never: clocks,
  },
  {
    folder: 'packages/client',
    mayImport: ['@duet/contract/errors', 'socket.io-client'],
    mayImportTypes: ['@duet/contract'],
    exceptions: { 'src/react.ts': ['react'] },
    builtins: 'none',
  },
  {
    folder: 'packages/testkit',
    mayImport: [...contract, '@duet/core', 'socket.io-client', 'testcontainers', 'vitest'],
    builtins: 'all',
  },
  {
    folder: 'apps/server',
    mayImport: [
      ...contract,
      '@duet/core',
      '@duet/sealing',
      'bcryptjs',
      'cors',
      'express',
      'express-rate-limit',
      'helmet',
      'jose',
      'jsonwebtoken',
      'pino',
      'pino-pretty',
      'piscina',
      'prom-client',
      'socket.io',
      'swagger-ui-dist',
      'zod',
    ],
    exceptions: {
      'src/adapters.ts': ['@duet/store-sqlite', '@duet/store-mongo', '@duet/cluster-local', '@duet/cluster-redis'],
    },
    builtins: 'all',
  },
  {
    folder: 'apps/web',
    mayImport: [
      '@duet/client',
      '@duet/client/react',
      '@mantine/core',
      '@mantine/core/styles.css',
      '@mantine/form',
      '@mantine/hooks',
      '@tabler/icons-react',
      'react',
      'react-dom',
      'react-dom/client',
    ],
    builtins: 'none',
  },
  {
    folder: 'apps/load',
    mayImport: [
      '@duet/contract',
      '@duet/testkit/client',
      '@duet/testkit/cluster',
      '@socket.io/redis-adapter',
      'ioredis',
      'jsonwebtoken',
      'mongoose',
      'socket.io',
      'socket.io-client',
    ],
    builtins: 'all',
  },
];

/** As ARCHITECTURE.md says it, up to the first semicolon. */
function shown({ folder, mayImport, mayImportTypes = [] }: Boundary): string[] {
  const hasMany = ['apps/server', 'apps/web'].includes(folder);
  const names = mayImport.map((name) =>
    name.startsWith('@duet/') || !hasMany ? name.replace('@duet/', '') : 'libraries',
  );
  // A part of it.
  const whole = names.filter((name) => name !== 'contract/errors' || !names.includes('contract'));
  return [...new Set(whole), ...mayImportTypes.map((name) => `types of ${name.replace('@duet/', '')}`)];
}

function testsOf(folder: string): string[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder)
    .filter((name) => /(\.test|-suite)\.ts$/.test(name))
    .map((name) => join(folder, name));
}

describe('the house', () => {
  test('H1 packages import only what they may', () => {
    expect(violations(root, boundaries)).toEqual([]);
  });

  test('H1 ARCHITECTURE.md says what packages may import', () => {
    const table = readFileSync(join(root, 'ARCHITECTURE.md'), 'utf8').matchAll(
      /^\| `(\w+\/[\w-]+)` *\|[^|]*\|([^|;]*)/gm,
    );
    const written = [...table].map(([, folder, names = '']) => [folder, names.trim().split(', ').sort()]);
    const right = boundaries.map((boundary) => [boundary.folder, shown(boundary).sort()]);
    expect(Object.fromEntries(written)).toEqual(Object.fromEntries(right));
  });

  test('H2 every package of the workspace has its boundary', () => {
    const folders = ['apps', 'packages'].flatMap((kind) =>
      readdirSync(join(root, kind)).map((name) => `${kind}/${name}`),
    );
    expect(folders.sort()).toEqual(boundaries.map(({ folder }) => folder).sort());
  });

  test('H3 process.env is read by the two programs, which give it to the configuration', () => {
    const readers = readdirSync(join(root, 'apps/server/src'), { recursive: true, encoding: 'utf8' }).filter(
      (file) =>
        file.endsWith('.ts') && readFileSync(join(root, 'apps/server/src', file), 'utf8').includes('process.env'),
    );
    expect(readers.sort()).toEqual(['duet.ts', 'main.ts']);
  });

  test('H4 no source file is longer than 400 lines', () => {
    const files = boundaries.flatMap(({ folder }) => sources(join(root, folder, 'src')));
    const long = files.filter((file) => readFileSync(file, 'utf8').split('\n').length > 401);
    expect(long).toEqual([]);
  });

  test('H5 every promise of docs/rules.md has a test, and every test a promise', () => {
    const promised = [...readFileSync(join(root, 'docs/rules.md'), 'utf8').matchAll(/^\| ([A-Z]\d+)\s*\|/gm)];
    const suites = sources(join(root, 'packages/testkit/src'));
    const tests = [...suites, ...boundaries.flatMap(({ folder }) => testsOf(join(root, folder, 'test')))];
    const named = tests.flatMap((file) => [
      ...readFileSync(file, 'utf8').matchAll(/\(\s*['"`]\[?([A-Z]\d{1,2})\]? \S/g),
    ]);
    const idsOf = (matches: Iterable<RegExpMatchArray>) => [...new Set([...matches].map(([, id]) => id))].sort();
    expect(idsOf(named)).toEqual(idsOf(promised));
    expect(promised).toHaveLength(idsOf(promised).length);
  });

  test('H5 below each heading of docs/rules.md stands one table', () => {
    const [, ...sections] = readFileSync(join(root, 'docs/rules.md'), 'utf8').split(/^## /m);
    const tables = sections.map((text) => [text.split('\n')[0], text.match(/^\| --- \|/gm)?.length ?? 0]);
    expect(tables.filter(([, count]) => count !== 1)).toEqual([]);
  });
});
