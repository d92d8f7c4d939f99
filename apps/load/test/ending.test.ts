import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, globSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  available,
  eventually,
  exitCodeOf,
  freePort,
  hasMongo,
  hasNginx,
  hasRedis,
  lackOf,
  temporaryFolder,
} from '@duet/testkit';
import { afterAll, describe, expect, test } from 'vitest';
import type { LoadResult } from '../src/report.ts';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
const ARTILLERY = join(ROOT, 'apps/load/artillery/node_modules');
const hasAll = [hasMongo(), hasRedis(), hasNginx()].every(Boolean) && process.platform === 'linux';
const hasArtillery = available(lackOf('Artillery', existsSync(ARTILLERY), 'npm run load installs it'));

/** Processes that were started with all of these words in their command lines and environments. */
function processesWith(...words: string[]): string[] {
  return readdirSync('/proc').filter((pid) => {
    if (!/^\d+$/.test(pid)) return false;
    try {
      const given = ['cmdline', 'environ'].map((file) => readFileSync(`/proc/${pid}/${file}`, 'utf8')).join();
      return words.every((word) => given.includes(word));
    } catch {
      return false;
    }
  });
}

/** A command of package.json in a process group and a folder of its own: what it starts is known by that. */
function start(command: string[]) {
  const folder = temporaryFolder();
  // Some services give up root's rights and must still find what is theirs.
  chmodSync(folder.path, 0o755);
  const env = { ...process.env, TMPDIR: folder.path };
  const child = spawn(command[0] as string, command.slice(1), { cwd: ROOT, env, detached: true });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (output += chunk));
  // As a shell has it.
  const exited = once(child, 'close').then(([code, signal]): number => code ?? exitCodeOf(signal));
  return {
    output: () => output,
    folder: folder.path,
    pid: child.pid as number,
    exited,
    async [Symbol.asyncDispose]() {
      for (const pid of processesWith(folder.path)) process.kill(Number(pid), 'SIGKILL');
      await exited;
      folder[Symbol.dispose]();
    },
  };
}

/** Names of what a load run has measured so far. */
function measured({ folder }: ReturnType<typeof start>): string[] {
  const [file] = globSync(join(folder, '*/run.json'));
  if (!file) return [];
  const { aggregate }: LoadResult = JSON.parse(readFileSync(file, 'utf8'));
  return Object.keys(aggregate.summaries);
}

async function expectNothingLeft({ folder }: ReturnType<typeof start>): Promise<void> {
  await eventually(() => processesWith(folder).length === 0, 'all processes have ended');
  expect(readdirSync(folder).filter((file) => file.startsWith('duet-') && !file.endsWith('.html'))).toEqual([]);
}

const npm = (script: string, ...words: string[]) => ['npm', 'run', '--ignore-scripts', script, '--', ...words];
const node = (file: string, ...words: string[]) => [process.execPath, `apps/load/src/${file}.ts`, ...words];
const out = temporaryFolder();
afterAll(() => out[Symbol.dispose]());
const port = await freePort(4);
const SMALL = ['--sqlite', '--nodes', '1', '--pairs', '2'];

describe.skipIf(!hasAll)('commands that are asked to end', () => {
  test.skipIf(!hasArtillery)(
    'O30 a load run prints what it has measured, and takes all that it started along',
    async () => {
      const long = ['--full', '--scenario', 'chat', '--rate', '1', '--seconds', '60'];
      await using run = start(node('load', ...SMALL, '--messages', '1', ...long));
      // Periods begin with the clock's tens of seconds, so the first one may be too short for a message.
      await eventually(() => measured(run).includes('duet.ack_ms'), 'a period with a message has been measured');
      process.kill(run.pid, 'SIGTERM');
      expect(await run.exited).toBe(143);
      expect(run.output()).toMatch(/acknowledged +\d+.*Plots: /s);
      await expectNothingLeft(run);
    },
  );

  test.each([
    ['load', 'nginx.conf', npm('load', ...SMALL, '--messages', '1000000')],
    ['cluster, while it starts', 'server/src/main.ts', npm('cluster', '--port', String(port))],
    ['bench', 'generator.ts', npm('bench', '--only', 'throughput', '--quick')],
    ['bench:cluster', 'generator.ts', npm('bench:cluster', '--only', 'cpu', '--quick')],
    ['torture', 'nginx.conf', npm('torture', '--fault', 'kill', '--store', 'sqlite', '--out', out.path)],
  ])('O30 Ctrl-C ends npm run %s and all that it started', async (_, program, command) => {
    await using run = start(command);
    await eventually(() => processesWith(run.folder, program).length > 0, `${program} runs`);
    // As a terminal does it: to npm, the command and whatever is in their group.
    process.kill(-run.pid, 'SIGINT');
    expect(await run.exited).toBe(130);
    await expectNothingLeft(run);
  });
});
