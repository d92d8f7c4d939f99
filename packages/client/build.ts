// Builds what is published into dist/: plain ESM, and types that stand alone. Run by `pnpm pack` and by the tests.
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'vite';
import { wireTypes } from './wire-types.ts';

const root = fileURLToPath(new URL('.', import.meta.url));
const repository = fileURLToPath(new URL('../..', import.meta.url));
const dist = join(root, 'dist');
const tsc = join(createRequire(import.meta.url).resolve('typescript/package.json'), '../bin/tsc');

async function writeModules(): Promise<void> {
  await build({
    root,
    configFile: false,
    logLevel: 'warn',
    build: {
      lib: { entry: { index: 'src/index.ts', react: 'src/react.ts' }, formats: ['es'] },
      target: 'es2022',
      minify: false,
      rolldownOptions: { external: ['socket.io-client', 'react'] },
    },
  });
}

function declare(...what: string[]): void {
  const options = ['--declaration', '--emitDeclarationOnly', '--noEmit', 'false'];
  execFileSync(process.execPath, [tsc, ...what, ...options], { stdio: 'inherit' });
}

function writeTypes(): void {
  const folder = mkdtempSync(join(tmpdir(), 'duet-types-'));
  declare('-p', root, '--outDir', folder, '--rootDir', repository);
  const sources = join(folder, 'packages/client/src');
  // The two that point to the contract are made in another way: no name of this workspace may remain.
  for (const name of readdirSync(sources).filter((file) => file !== 'errors.d.ts' && file !== 'wire.d.ts')) {
    const text = readFileSync(join(sources, name), 'utf8').replaceAll(/(['"]\.\/[^'"]+)\.ts(['"])/g, '$1.js$2');
    writeFileSync(join(dist, name), text);
  }
  rmSync(folder, { recursive: true });
  const errors = join(repository, 'packages/contract/src/errors.ts');
  declare(errors, '--ignoreConfig', '--strict', '--target', 'es2025', '--outDir', dist);
  writeFileSync(join(dist, 'wire.d.ts'), wireTypes());
}

rmSync(dist, { recursive: true, force: true });
mkdirSync(dist);
await writeModules();
writeTypes();
