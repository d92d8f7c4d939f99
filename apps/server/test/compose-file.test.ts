import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { parse } from 'yaml';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));

interface Service {
  volumes?: string[];
  labels?: Record<string, string>;
  restart?: string;
}

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
  const { services } = parse(readFileSync(join(ROOT, 'docker-compose.yml'), 'utf8'), { merge: true }) as {
    services: Record<string, Service>;
  };
  const running = Object.entries(services).filter(([, { restart }]) => restart !== 'no');
  const wanted = running.map(([name, service]) => [name, nameOfFiles(service)]);
  expect(wanted.filter(([, files]) => files !== undefined).length).toBeGreaterThan(3);
  expect(running.map(([name, { labels }]) => [name, labels?.['duet.files']])).toEqual(wanted);
});
