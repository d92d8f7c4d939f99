// Builds the web client into dist/, if its sources have changed since the last time. Run by `npm start` and `npm test`.
// Each file that is the shorter for it lies there compressed as well: nodes serve that, and so can nginx (gzip_static).
import { createHash } from 'node:crypto';
import { existsSync, globSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { brotliCompress, gzip } from 'node:zlib';
import { build } from 'vite';

const root = fileURLToPath(new URL('.', import.meta.url));
const repository = fileURLToPath(new URL('../..', import.meta.url));
const dist = `${root}dist/`;
const stamp = `${dist}.built`;
const inputs = [
  'apps/web/{src,public}/**',
  'apps/web/{build.ts,index.html,vite.config.ts}',
  'packages/{client,contract}/src/**',
  'pnpm-lock.yaml',
];

function fingerprint(): string {
  const hash = createHash('sha256');
  const files = globSync(inputs, { cwd: repository }).filter((file) => statSync(repository + file).isFile());
  for (const file of files.sort()) hash.update(file).update(readFileSync(repository + file));
  return hash.digest('hex');
}

/** Not the pages: they are others in each answer. */
const COMPRESSED = '**/*.{css,js,svg}';
/** A shorter one comes in one packet either way. */
const WORTH_BYTES = 1_024;
const codings = { '.br': promisify(brotliCompress), '.gz': promisify<Buffer, Buffer>(gzip) };

async function compress(file: string): Promise<void> {
  const bytes = readFileSync(file);
  if (bytes.length < WORTH_BYTES) return;
  for (const [ending, coding] of Object.entries(codings)) writeFileSync(file + ending, await coding(bytes));
}

const sources = fingerprint();
if (!existsSync(stamp) || readFileSync(stamp, 'utf8') !== sources) {
  const start = performance.now();
  await build({ root, logLevel: 'warn' });
  await Promise.all(globSync(COMPRESSED, { cwd: dist }).map((file) => compress(dist + file)));
  writeFileSync(stamp, sources);
  console.log(`Web client built in ${((performance.now() - start) / 1000).toFixed(1)} s`);
}
