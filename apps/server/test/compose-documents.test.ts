import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gunzipSync, gzipSync } from 'node:zlib';
import { temporaryFolder } from '@duet/testkit';
import { expect, test } from 'vitest';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
const read = (file: string) => readFileSync(join(ROOT, file), 'utf8');

/** The commands of the page that an operator would paste to have this program run. */
function commandsWith(program: string): string {
  const blocks = [...read('docs/compose.md').matchAll(/^```sh\n(.*?)^```$/gms)].map(([, block]) => block as string);
  const [block, ...others] = blocks.filter((text) => text.includes(`'${program} `));
  expect(others).toEqual([]);
  return block as string;
}

/**
 * Says what it is asked, gives `dump` to whoever dumps, ends with `code` then, and keeps what it is to restore. It takes
 * all input that there is, as Docker does.
 */
const DOCKER = `#!/bin/sh
echo "$*" >>asked
case "$*" in
  *mongodump*) cat >/dev/null; cat dump; exit $(cat code) ;;
  *mongorestore*) cat >restored ;;
esac
`;

/** A folder in which such commands are pasted. */
function place(dump: Buffer, code = 0) {
  const folder = temporaryFolder();
  const at = (name: string) => join(folder.path, name);
  writeFileSync(at('docker'), DOCKER, { mode: 0o755 });
  writeFileSync(at('dump'), dump);
  writeFileSync(at('code'), String(code));
  return {
    at,
    paste: (commands: string) =>
      spawnSync('bash', ['-s'], {
        input: commands,
        cwd: folder.path,
        env: { PATH: `${folder.path}:${process.env.PATH}` },
      }),
    backups: () => readdirSync(folder.path).filter((name) => name.endsWith('.archive.gz')),
    asked: () => readFileSync(at('asked'), 'utf8'),
    [Symbol.dispose]: () => folder[Symbol.dispose](),
  };
}

const EARLIER = 'duet-2026-11-30-040000.archive.gz';
const whole = gzipSync('all messages');
const half = whole.subarray(0, whole.length - 6);

test('O45 a backup has a name of its own, for its owner alone, and the nodes serve again', () => {
  using on = place(whole);
  writeFileSync(on.at(EARLIER), 'earlier');
  on.paste(commandsWith('mongodump'));
  const [name, ...others] = on.backups().filter((name) => name !== EARLIER);
  expect(others).toEqual([]);
  expect(String(gunzipSync(readFileSync(on.at(name as string))))).toBe('all messages');
  expect(statSync(on.at(name as string)).mode & 0o777).toBe(0o600);
  expect(on.asked()).toMatch(/^compose stop duet\n.*\ncompose start duet\n$/s);
});

test.each([
  ['says that it failed', whole, 1],
  ['breaks off', half, 0],
])('O45 a backup that %s is none, takes no earlier one along, and the nodes serve again', (_, dump, code) => {
  using on = place(dump, code);
  writeFileSync(on.at(EARLIER), 'earlier');
  on.paste(commandsWith('mongodump'));
  expect(on.backups()).toEqual([EARLIER]);
  expect(readFileSync(on.at(EARLIER), 'utf8')).toBe('earlier');
  expect(on.asked()).toMatch(/\ncompose start duet\n$/);
});

test('O45 what is no whole dump is not restored, and the nodes serve again', () => {
  using on = place(whole);
  writeFileSync(on.at(EARLIER), half);
  on.paste(commandsWith('mongorestore'));
  expect(on.asked()).toBe('compose stop duet\ncompose start duet\n');
  writeFileSync(on.at(EARLIER), whole);
  on.paste(commandsWith('mongorestore'));
  expect(readFileSync(on.at('restored'))).toEqual(whole);
});

/** The file in which the page on administration has an export, which holds messages in the clear. */
const [, EXPORT = ''] = /^\(umask 077; .*users export \S+ > (\S+)\)$/m.exec(read('docs/admin.md')) ?? [];

/** What operators are told to make where the checkout is. */
const MADE = [
  ...['key-ring', 'key-ring.old', 'duet.env', '.env', 'data/duet.db'],
  ...['copy.db', 'before.db', 'duet.db-wal', 'old/duet.db', EARLIER, `${EARLIER}.part`, EXPORT],
];

const git = (...words: string[]) => {
  const { stdout } = spawnSync('git', words, { cwd: ROOT, encoding: 'utf8' });
  return stdout.split('\n').filter(Boolean);
};

test('O44 what operators make in the checkout does not come into git, and what is in git is not ignored', () => {
  expect(git('check-ignore', '--no-index', ...MADE).sort()).toEqual(MADE.toSorted());
  const [tracked, sources] = [git('ls-files'), 'apps/server/src/key-ring.ts'];
  expect(tracked).toContain(sources);
  expect(git('check-ignore', '--no-index', ...tracked)).toEqual([]);
});

test('O44 nor into an image, which gets all that it needs', () => {
  const patterns = read('.dockerignore').split('\n').filter(Boolean);
  const expressions = patterns.map((pattern) => {
    const any = pattern
      .replaceAll('.', '\\.')
      .replaceAll('**/', '(.+/)?')
      .replaceAll(/(?<!\.)\*/g, '[^/]*');
    return new RegExp(`^${any}(/|$)`);
  });
  const ignored = (file: string) => expressions.some((expression) => expression.test(file));
  expect(MADE.filter((file) => !ignored(file))).toEqual([]);
  const needed = git('ls-files', 'apps/server/src/*', 'packages/*/src/*', 'apps/web/src/*', 'package.json');
  expect(needed.length).toBeGreaterThan(100);
  expect(needed.filter(ignored)).toEqual([]);
});
