import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { eventually, temporaryFolder } from '@duet/testkit';
import { expect, test } from 'vitest';

const SCRIPT = readFileSync(new URL('../../../deploy/nginx/follow-nodes.sh', import.meta.url), 'utf8');
const NEVER = 1_000_000;

/** What the script asks and tells, in the words of files: who runs, who is ready, what nginx was given. */
const PROGRAMS = {
  getent: 'echo . >>looks; for node in $(cat running); do echo "10.0.0.$node STREAM duet"; done',
  curl: 'for url; do :; done; node=$(expr "$url" : "http://10.0.0.\\([0-9]*\\):5000/ready$") && grep -qx "$node" ready',
  nginx: `
    given() { echo "$1 $(sed 's/server 10.0.0.\\([0-9]*\\):5000 .*/\\1/' nodes.conf | tr '\\n' ' ')" >>given; }
    trap 'given reload' HUP; trap 'exit 0' QUIT TERM
    given start; while :; do sleep 0.01 & wait $!; done`,
};

/** The script, which looks every few milliseconds, with programs that do as they are told. */
function follow({ settledAfter }: { settledAfter: number }) {
  const folder = temporaryFolder();
  const at = (name: string) => join(folder.path, name);
  const lines = (name: string) => readFileSync(at(name), 'utf8').trim().split('\n').filter(Boolean);
  for (const [name, text] of Object.entries(PROGRAMS)) writeFileSync(at(name), `#!/bin/sh\n${text}\n`, { mode: 0o755 });
  for (const name of ['running', 'ready', 'given', 'looks']) writeFileSync(at(name), '');
  const script = SCRIPT.replaceAll('/tmp/', `${folder.path}/`)
    .replace('look_every=2', 'look_every=0.02')
    .replace(/settled_after=\d+/, `settled_after=${settledAfter}`)
    // A shell takes no QUIT when it was started beside another one.
    .replace(/finish_within=\d+/, 'finish_within=0.1');
  const env = { PATH: `${folder.path}:${process.env.PATH}` };
  const child = spawn('sh', ['-c', script], { cwd: folder.path, env, stdio: 'inherit' });
  const ended = once(child, 'exit');
  return {
    /** Which nodes run, and which of them are ready; with none, all. */
    nodes(running: number[], ready = running) {
      writeFileSync(at('ready'), ready.map((node) => `${node}\n`).join(''));
      writeFileSync(at('running'), running.map((node) => `${node}\n`).join(''));
    },
    /** The script has looked so often since, whole times. */
    async looked(times: number) {
      const before = lines('looks').length;
      await eventually(() => lines('looks').length > before + times, 'it has looked');
    },
    given: (...expected: string[]) =>
      eventually(() => lines('given').length >= expected.length, `nginx is given ${expected}`).then(() =>
        expect(lines('given').map((line) => line.trim())).toEqual(expected),
      ),
    /** Asks it to end. @returns its exit code */
    async stop() {
      child.kill('SIGTERM');
      const [code] = await ended;
      return code;
    },
    async [Symbol.asyncDispose]() {
      await this.stop();
      folder[Symbol.dispose]();
    },
  };
}

test('O39 nodes that come together are one list for nginx, at once when all are ready, and nobody is served before', async () => {
  await using on = follow({ settledAfter: NEVER });
  on.nodes([1, 2, 3], [2]);
  await on.looked(3);
  on.nodes([1, 2, 3], [2, 3]);
  await on.looked(3);
  on.nodes([1, 2, 3]);
  await on.given('start 1 2 3');
  // All are replaced.
  on.nodes([1]);
  await on.looked(3);
  on.nodes([]);
  await on.looked(3);
  on.nodes([4, 5, 6], [5]);
  await on.looked(3);
  on.nodes([4, 5, 6]);
  await on.given('start 1 2 3', 'reload 4 5 6');
  expect(await on.stop()).toBe(0);
});

test('O39 nginx that serves is given a list that stays, and nothing of a node that is back soon', async () => {
  await using on = follow({ settledAfter: 15 });
  on.nodes([1, 2, 3]);
  await on.given('start 1 2 3');
  on.nodes([1, 2]);
  await on.looked(3);
  on.nodes([1, 2, 3], [1, 2]);
  await on.looked(25);
  on.nodes([1, 2, 3, 4]);
  await on.looked(3);
  on.nodes([1, 2, 3, 4, 5]);
  await on.given('start 1 2 3', 'reload 1 2 3 4 5');
  await on.looked(25);
  on.nodes([1]);
  await on.given('start 1 2 3', 'reload 1 2 3 4 5', 'reload 1');
  expect(await on.stop()).toBe(0);
});

test('O39 a node that is never ready keeps the others from nobody', async () => {
  await using on = follow({ settledAfter: 5 });
  on.nodes([1, 2], [1]);
  await on.given('start 1');
  expect(await on.stop()).toBe(0);
});

test('O39 who waits for nodes ends when asked to', async () => {
  await using on = follow({ settledAfter: 5 });
  on.nodes([1], []);
  await on.looked(2);
  expect(await on.stop()).toBe(0);
});
