import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { temporaryFolder } from '@duet/testkit';
import { afterAll, describe, test } from 'vitest';

const SOURCE = fileURLToPath(new URL('../src', import.meta.url));
const folder = temporaryFolder();
afterAll(() => folder[Symbol.dispose]());
const written = join(folder.path, 'accounts.csv');
const wrong = join(folder.path, 'run.json');
writeFileSync(wrong, '{}');

async function run(file: string, words: string[]): Promise<{ code: number; out: string; err: string }> {
  const child = spawn(process.execPath, [join(SOURCE, file), ...words], { timeout: 60_000 });
  const said = { out: '', err: '' };
  child.stdout.on('data', (chunk) => (said.out += chunk));
  child.stderr.on('data', (chunk) => (said.err += chunk));
  const [code] = await once(child, 'close');
  return { code, ...said };
}

const search = '--find-maximum is of the mixed day, for as long as it takes: without --scenario, --full and --seconds';
const commands = ['bench.ts', 'capacity.ts', 'cluster.ts', 'cluster-bench/main.ts', 'load.ts', 'torture/main.ts'];
/** What cannot be meant, and all that is said of it. */
const refusals: [file: string, words: string, says: string][] = [
  ...commands.map((file): (typeof refusals)[number] => [file, '--wishes 3', "Unknown option '--wishes'"]),
  ['bench.ts', '--only toString', '--only must be one of throughput, memory, history, login, flood, guesses'],
  ['bench.ts', '--only memory --minutes two', '--minutes must be a number above 0'],
  ['cluster-bench/main.ts', '--only toString', '--only must be one of routing, cpu, presence, storm'],
  ['capacity.ts', '--users many', '--users must be a number above 0'],
  ['capacity.ts', '--users 10 --online 3', '--online must be a number above 0 and at most 1'],
  ['capacity.ts', '--users 10 --full 50', '--full must be a number above 0 and at most 1'],
  ['cluster.ts', '--nodes 17', '--nodes must be a whole number from 1 to 16'],
  ['cluster.ts', '--port 1.5', '--port must be a whole number from 1 to 65519'],
  ['load.ts', '--from nope.json', 'there is no file nope.json'],
  ['load.ts', `--from ${wrong}`, `${wrong} is not what artillery run --output writes`],
  ['load.ts', '--accounts nope.csv', 'there is no file nope.csv'],
  ['load.ts', `--prepare ${written}`, '--prepare makes accounts at a --target'],
  ...['pairs', 'nodes', 'rate', 'seconds'].map((name): (typeof refusals)[number] => [
    'load.ts',
    `--prepare ${written} --target http://127.0.0.1:1 --${name} abc`,
    `--${name} must be a whole number from 1 to ${name === 'nodes' ? 16 : 999_999_999}`,
  ]),
  ['load.ts', '--messages -1', "Option '--messages' argument is ambiguous"],
  ['load.ts', '--scenario quiet', '--scenario must be one of chat, history, idle, login-storm, mixed, reconnect-storm'],
  ['load.ts', '--seconds 60', '--seconds is how long people come at a --rate'],
  ['load.ts', '--find-maximum --scenario chat', search],
  ['load.ts', '--find-maximum --full', search],
  ['torture/main.ts', '--fault kill --store sqllite', '--store must be one of mongo, sqlite'],
  ['torture/main.ts', '--fault kill --people 8 --peers 4', '--peers must be less than half of --people'],
];

describe('commands that are asked for what cannot be meant', () => {
  test.concurrent.for(refusals)('T7 %s %s is refused in a sentence', async ([file, words, says], { expect }) => {
    const { code, out, err } = await run(file, words.split(' '));
    expect({ code, out, err: err.startsWith(says), stack: /^ +at /m.test(err) }, err).toEqual({
      code: 1,
      out: '',
      err: true,
      stack: false,
    });
  });

  test.concurrent.for(commands)('T7 %s says what it can be asked for', async (file, { expect }) => {
    expect(await run(file, ['--help'])).toMatchObject({ code: 0, out: expect.stringMatching(/^npm run /), err: '' });
  });
});
