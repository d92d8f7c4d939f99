import { spawnSync } from 'node:child_process';
import { chmodSync, chownSync, existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { newKeyLine, parseKeyRing } from '@duet/sealing';
import { available, BARE_ENVIRONMENT, temporaryFolder } from '@duet/testkit';
import { describe, expect, test } from 'vitest';
import { DUET } from './command-line.ts';

const first = newKeyLine('first');
const second = newKeyLine('second');
const nameOf = (line: string) => parseKeyRing(line).names[0] as string;

/** A folder with a key ring, as `deploy/secrets.mjs` writes it. */
function kept(text = first) {
  const folder = temporaryFolder();
  const file = join(folder.path, 'keys');
  writeFileSync(file, text, { mode: 0o400 });
  return {
    file,
    text: () => readFileSync(file, 'utf8'),
    copies: () => {
      const names = readdirSync(folder.path).filter((name) => name !== 'keys');
      return names.map((name) => readFileSync(join(folder.path, name), 'utf8')).sort();
    },
    /** Without a word of a server's environment: where it runs there is none. */
    replace(input: string, ...options: string[]) {
      return this.replaceAs([], input, ...options);
    },
    /** @param setpriv words that take rights away from root */
    replaceAs(setpriv: string[], input: string, ...options: string[]) {
      const [program = '', ...args] = [...setpriv, process.execPath, DUET, 'replace-key-ring', file, ...options];
      const { status, stdout, stderr } = spawnSync(program, args, {
        env: { ...BARE_ENVIRONMENT, NODE_ENV: 'production' },
        input,
        encoding: 'utf8',
      });
      return { status, said: stdout + stderr };
    },
    [Symbol.dispose]: () => folder[Symbol.dispose](),
  };
}

test('E22 a key ring with every key of the one that was there takes its place; a copy stays', () => {
  using on = kept();
  const ring = `${first}\n${second}\n`;
  const { status, said } = on.replace(ring);
  expect({ status, said }).toEqual({ status: 0, said: expect.stringContaining(nameOf(second)) });
  expect(said).not.toContain(second);
  expect(on.text()).toBe(ring);
  expect(statSync(on.file).mode & 0o777).toBe(0o400);
  expect(on.copies()).toEqual([first]);
  // The second step of a rotation; and once more, which changes nothing.
  const turned = `${second}\n${first}\n`;
  for (const _ of [1, 2]) expect(on.replace(turned).status).toBe(0);
  expect(on.text()).toBe(turned);
  expect(on.copies()).toEqual([first, ring].sort());
});

test.each([
  ['nothing', ''],
  ['half a line', first.slice(0, 20)],
  ['two lines that have become one', first + second],
])('E22 %s is no key ring, and changes nothing', (_, text) => {
  using on = kept();
  const { status, said } = on.replace(text, '--yes');
  expect({ status, said }).toEqual({ status: 1, said: expect.stringMatching(/^This is no key ring: /) });
  expect(said).not.toContain(first.slice(6));
  expect(on.text()).toBe(first);
  expect(on.copies()).toEqual([]);
});

test('E22 a key ring that lacks a key is taken when that is asked for alone, and the key stays in the copy', () => {
  using on = kept();
  const { status, said } = on.replace(second);
  expect({ status, said }).toEqual({ status: 1, said: expect.stringContaining(`It lacks ${nameOf(first)}`) });
  expect(on.text()).toBe(first);
  // Another key of the same id is another key.
  expect(on.replace(newKeyLine('first')).status).toBe(1);
  expect(on.replace(second, '--yes').status).toBe(0);
  expect(on.text()).toBe(second);
  expect(on.copies()).toEqual([first]);
});

test('E22 what was broken is kept as well', () => {
  using on = kept('broken');
  expect(on.replace(first).status).toBe(0);
  expect(on.copies()).toEqual(['broken']);
});

test('E22 where no key ring is, none is made: a mistyped name replaces nothing', () => {
  using on = kept();
  rmSync(on.file);
  const { status, said } = on.replace(first, '--yes');
  expect({ status, said }).toEqual({ status: 1, said: expect.stringContaining(`${on.file} is not there`) });
  expect(existsSync(on.file)).toBe(false);
});

describe.skipIf(!available(process.getuid?.() === 0 ? undefined : 'what root does needs root'))('root', () => {
  const NODES = { uid: 1000, gid: 999, mode: 0o440 };
  function ofNodes() {
    const on = kept();
    chownSync(on.file, NODES.uid, NODES.gid);
    chmodSync(on.file, NODES.mode);
    return on;
  }
  const ownerOf = (file: string) => {
    const { uid, gid, mode } = statSync(file);
    return { uid, gid, mode: mode & 0o777 };
  };

  test('E22 whom a key ring belonged to, and who could read it, stays', () => {
    using on = ofNodes();
    expect(on.replace(second, '--yes').status).toBe(0);
    expect(on.text()).toBe(second);
    expect(ownerOf(on.file)).toEqual(NODES);
  });

  test('E22 a key ring whose owner cannot be kept is not replaced', () => {
    using on = ofNodes();
    const { status, said } = on.replaceAs(['setpriv', '--bounding-set=-chown', '--inh-caps=-chown'], second, '--yes');
    expect({ status, said }).toEqual({ status: 1, said: expect.stringContaining('another owner or group') });
    expect(on.text()).toBe(first);
    expect(ownerOf(on.file)).toEqual(NODES);
  });
});

test('E22 a copy that is damaged is no copy: nothing is replaced', () => {
  using on = kept();
  on.replace(second, '--yes');
  on.replace(first, '--yes');
  const copy = /is in (\S+)/.exec(on.replace(second, '--yes').said)?.[1] as string;
  expect(existsSync(copy)).toBe(true);
  on.replace(first, '--yes');
  chmodSync(copy, 0o600);
  writeFileSync(copy, 'damaged');
  expect(on.replace(second, '--yes').status).toBe(1);
  expect(on.text()).toBe(first);
});
