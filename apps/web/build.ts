// Builds the web client into dist/, if its sources have changed since the last time. Run by `npm start` and `npm test`.
import { createHash } from 'node:crypto';
import { existsSync, globSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { build } from 'vite';

const root = fileURLToPath(new URL('.', import.meta.url));
const repository = fileURLToPath(new URL('../..', import.meta.url));
const stamp = `${root}dist/.built`;
const inputs = [
  'apps/web/{src,public}/**',
  'apps/web/{index.html,vite.config.ts}',
  'packages/{client,contract}/src/**',
  'pnpm-lock.yaml',
];

function fingerprint(): string {
  const hash = createHash('sha256');
  const files = globSync(inputs, { cwd: repository }).filter((file) => statSync(repository + file).isFile());
  for (const file of files.sort()) hash.update(file).update(readFileSync(repository + file));
  return hash.digest('hex');
}

const sources = fingerprint();
if (!existsSync(stamp) || readFileSync(stamp, 'utf8') !== sources) {
  const start = performance.now();
  await build({ root, logLevel: 'warn' });
  writeFileSync(stamp, sources);
  console.log(`Web client built in ${((performance.now() - start) / 1000).toFixed(1)} s`);
}
