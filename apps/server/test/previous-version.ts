import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, realpathSync, symlinkSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { temporaryFolder } from '@duet/testkit';

const ROOT = realpathSync(fileURLToPath(new URL('../../..', import.meta.url)));
const ENTRY = 'apps/server/src/main.ts';

/** The version before this one, unpacked beside it, with what it depends on. */
export interface PreviousVersion extends Disposable {
  /** The entry of its server. */
  main: string;
  /** Which version it is, for people. */
  name: string;
}

/** @returns what git says; undefined when it cannot */
function git(...words: string[]): string | undefined {
  const { status, stdout } = spawnSync('git', ['-C', ROOT, ...words], { encoding: 'utf8', timeout: 60_000 });
  return status === 0 ? stdout.trim() : undefined;
}

const commitOf = (name: string) => git('rev-parse', '--verify', '--quiet', `${name}^{commit}`);

/** The commit to upgrade from. @returns undefined where there is none to be had */
function previousCommit(): string | undefined {
  const named = process.env.DUET_TEST_PREVIOUS;
  if (named) {
    const commit = commitOf(named);
    if (!commit) throw new Error(`DUET_TEST_PREVIOUS names ${named}, which is no commit here`);
    return commit;
  }
  // A shallow clone may have nothing before its only commit: one more is asked for.
  return commitOf('HEAD~1') ?? (git('fetch', '--quiet', '--deepen=1') === undefined ? undefined : commitOf('HEAD~1'));
}

/** The node_modules folders of the workspace, relative to its root. */
const modules = (): string[] =>
  ['.', ...['apps', 'packages'].flatMap((group) => readdirSync(join(ROOT, group)).map((name) => join(group, name)))]
    .map((folder) => join(folder, 'node_modules'))
    .filter((folder) => existsSync(join(ROOT, folder)));

/**
 * Gives another tree of the same lock file the packages of this one: what comes from outside is shared, what belongs to
 * the workspace is the tree's own.
 */
function linkModules(tree: string): void {
  const isOurs = (path: string) => path.startsWith(`${ROOT}/`) && !path.includes('/node_modules/');
  const link = (from: string, name: string) => {
    const real = realpathSync(join(ROOT, from, name));
    if (!existsSync(join(tree, dirname(from)))) return;
    mkdirSync(dirname(join(tree, from, name)), { recursive: true });
    symlinkSync(isOurs(real) ? join(tree, relative(ROOT, real)) : real, join(tree, from, name));
  };
  for (const folder of modules()) {
    for (const name of readdirSync(join(ROOT, folder)).filter((each) => !each.startsWith('.'))) {
      if (!name.startsWith('@')) link(folder, name);
      else for (const inner of readdirSync(join(ROOT, folder, name))) link(folder, join(name, inner));
    }
  }
}

const lockOf = (tree: string): string => readFileSync(join(tree, 'pnpm-lock.yaml'), 'utf8');

/**
 * Unpacks the commit before this one: HEAD~1, or what DUET_TEST_PREVIOUS names. Where there is no history the version
 * is this one itself, which is said: nodes are then replaced by their like.
 */
export function previousVersion(): PreviousVersion {
  const commit = previousCommit();
  if (!commit) {
    const name = 'this version itself, because no earlier commit can be had';
    console.warn(`\n  The upgrade is tested from ${name}\n`);
    return { main: join(ROOT, ENTRY), name, [Symbol.dispose]() {} };
  }
  const folder = temporaryFolder();
  const tree = realpathSync(folder.path);
  const archive = execFileSync('git', ['-C', ROOT, 'archive', commit], { maxBuffer: 1 << 30 });
  execFileSync('tar', ['-x', '-C', tree], { input: archive });
  if (lockOf(tree) === lockOf(ROOT)) linkModules(tree);
  else {
    const words = ['-y', 'pnpm@12', 'install', '--frozen-lockfile', '--prefer-offline'];
    execFileSync('npx', words, { cwd: tree, stdio: ['ignore', 'ignore', 'inherit'] });
  }
  return { main: join(tree, ENTRY), name: commit, [Symbol.dispose]: folder[Symbol.dispose] };
}
