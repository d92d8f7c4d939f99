import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { temporaryFolder } from '@duet/testkit';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
const read = (path: string): string => readFileSync(join(ROOT, path), 'utf8');
const { packages } = parse(read('pnpm-lock.yaml')) as { packages: Record<string, unknown> };
const locked = Object.keys(packages).map((key) => {
  const at = key.lastIndexOf('@');
  return { name: key.slice(0, at), version: key.slice(at + 1) };
});

type Version = [major: number, minor: number, patch: number];
const versionOf = (text: string): Version => text.split(/[.-]/).slice(0, 3).map(Number) as Version;
function isBelow(one: Version, other: Version): boolean {
  const at = one.findIndex((part, i) => part !== other[i]);
  return at >= 0 && (one[at] as number) < (other[at] as number);
}

/**
 * The first versions without the fault that is named, by major version where several are kept. A major version above all
 * of them is younger; one below, or between, is not known to be mended.
 */
const FLOORS: Record<string, { floors: string[]; fault: string }> = {
  'body-parser': { floors: ['2.3.0'], fault: 'CVE-2026-12590: a bad limit turns the limit off' },
  'engine.io': { floors: ['6.6.7'], fault: 'CVE-2026-59725: polling requests leave connections open' },
  'express-rate-limit': { floors: ['8.2.2'], fault: 'CVE-2026-30827: one bucket for all IPv4 addresses' },
  jsonwebtoken: { floors: ['9.0.0'], fault: 'CVE-2022-23540: unsigned tokens' },
  jws: { floors: ['3.2.3', '4.0.1'], fault: 'CVE-2025-65945: signature check can be passed by' },
  mongoose: { floors: ['8.24.3', '9.9.2'], fault: 'CVE-2026-125120: countDocuments ignores sanitizeFilter' },
  node: { floors: ['20.20.2'], fault: 'CVE-2026-21710: a __proto__ header crashes' },
  'path-to-regexp': { floors: ['8.4.0'], fault: 'CVE-2026-4923: patterns that never end' },
  'proxy-addr': { floors: ['2.0.8'], fault: 'CVE-2026-90711: trusts every address' },
  qs: { floors: ['6.14.1'], fault: 'CVE-2025-15284: array limits' },
  'socket.io': { floors: ['4.6.2'], fault: 'CVE-2024-38355: an error event ends the process' },
  'socket.io-parser': { floors: ['4.2.7'], fault: 'CVE-2026-69185: attachment counts exhaust memory' },
  ws: { floors: ['8.21.0'], fault: 'CVE-2026-48779: tiny fragments exhaust memory' },
};
const IMAGES: Record<string, { floors: string[]; fault: string }> = {
  mongo: { floors: ['7.0.41', '8.0.30'], fault: 'CVE-2026-82058: a schema crashes the server' },
  redis: { floors: ['7.4.11'], fault: 'CVE-2026-81934: use after free' },
};

function isMended(version: string, floors: string[]): boolean {
  const found = versionOf(version);
  const ownLine = floors.map(versionOf).find(([major]) => major === found[0]);
  if (ownLine) return !isBelow(found, ownLine);
  return floors.every((floor) => isBelow(versionOf(floor), found));
}

describe('what comes from elsewhere', () => {
  test.each(Object.entries(FLOORS))('H11 no %s with a known fault is installed', (name, { floors, fault }) => {
    const versions = locked.filter((each) => each.name === name).map(({ version }) => version);
    expect(versions, `${name} is gone: take it off the list`).not.toEqual([]);
    expect({ fault, bad: versions.filter((version) => !isMended(version, floors)) }).toEqual({ fault, bad: [] });
  });

  test.each(Object.entries(IMAGES))('H11 no image of %s with a known fault is started', (name, { floors, fault }) => {
    const [, version = ''] = new RegExp(`image: ${name}:([\\d.]+)$`, 'm').exec(read('docker-compose.yml')) ?? [];
    expect({ fault, version, mended: isMended(version, floors) }).toEqual({ fault, version, mended: true });
  });

  test('O49 packages are chosen for the Node that runs them, in the image as well', () => {
    const { node } = JSON.parse(read('package.json')).devDependencies;
    expect(parse(read('pnpm-workspace.yaml')).nodeVersion).toBe(node);
    expect(read('deploy/Dockerfile')).toMatch(new RegExp(`^ARG NODE=node:${node}-`, 'm'));
  });

  test('H12 the bill of materials holds what runs, with hashes, and nothing of the tests', () => {
    using folder = temporaryFolder();
    const file = join(folder.path, 'sbom.json');
    execFileSync('npm', ['run', '--silent', 'sbom', '--', '--out', file], { cwd: ROOT, stdio: 'ignore' });
    const { bomFormat, components, dependencies } = JSON.parse(readFileSync(file, 'utf8'));
    expect(bomFormat).toBe('CycloneDX');
    const purls = new Map<string, { externalReferences?: { hashes?: { alg: string }[] }[] }>(
      components.map((component: { purl: string }) => [component.purl, component]),
    );
    const { dependencies: direct } = JSON.parse(read('apps/server/package.json')) as {
      dependencies: Record<string, string>;
    };
    for (const name of [
      ...Object.keys(direct).filter((each) => !each.startsWith('@duet/')),
      'ws',
      'react',
      'mongodb',
    ]) {
      const versions = locked.filter((each) => each.name === name).map(({ version }) => version);
      const held = versions.flatMap((version) => purls.get(`pkg:npm/${name}@${version}`) ?? []);
      expect({ name, held: held.length > 0 }).toEqual({ name, held: true });
      expect(held[0]?.externalReferences?.[0]?.hashes?.[0]?.alg).toBe('SHA-512');
    }
    for (const name of ['vitest', 'testcontainers', 'playwright-core', 'typescript'])
      expect([...purls.keys()].filter((purl) => purl.startsWith(`pkg:npm/${name}@`))).toEqual([]);
    expect(dependencies.length).toBeGreaterThan(100);
  });
});
