import { describe, expect, test } from 'vitest';
import { createReadLine } from '../src/read-line.ts';

/** Reads that end when they are told to, and the order in which they began. */
function reads() {
  const begun: string[] = [];
  const ends = new Map<string, () => void>();
  const read = (name: string) => () =>
    new Promise<string>((resolve) => {
      begun.push(name);
      ends.set(name, () => resolve(name));
    });
  return { begun, read, end: (name: string) => ends.get(name)?.() };
}

describe('the line of reads', () => {
  test('N9 so many reads are under way at once, and the newest of those that wait goes first', async () => {
    const inLine = createReadLine({ atOnce: 2, patienceMs: 60_000, givenUpMs: 60_000 });
    const { begun, read, end } = reads();
    const answers = ['a', 'b', 'c', 'd', 'e'].map((name) => inLine(read(name)));
    expect(begun).toEqual(['a', 'b']);
    end('b');
    await answers[1];
    await Promise.resolve();
    expect(begun).toEqual(['a', 'b', 'e']);
    for (const name of ['a', 'e', 'd', 'c']) {
      end(name);
      await answers['abcde'.indexOf(name)];
      await Promise.resolve();
    }
    expect(begun).toEqual(['a', 'b', 'e', 'd', 'c']);
    expect(await Promise.all(answers)).toEqual(['a', 'b', 'c', 'd', 'e']);
  });

  test('N9 a read that has waited too long is never begun, and one that fails makes room', async () => {
    const inLine = createReadLine({ atOnce: 1, patienceMs: -1, givenUpMs: 60_000 });
    const failing = inLine(() => Promise.reject(new Error('no answer')));
    const { begun, read } = reads();
    const late = inLine(read('late'));
    await expect(failing).rejects.toThrow('no answer');
    await expect(late).rejects.toThrow('too much is asked');
    expect(begun).toEqual([]);
    await expect(inLine(() => Promise.resolve('new'))).resolves.toBe('new');
  });

  test('N9 a read that never ends holds its place for a while only', async () => {
    const inLine = createReadLine({ atOnce: 1, patienceMs: 60_000, givenUpMs: 1 });
    const { begun, read, end } = reads();
    const never = inLine(read('never'));
    await expect(inLine(() => Promise.resolve('next'))).resolves.toBe('next');
    // When it ends after all, that makes no room twice.
    end('never');
    await never;
    const waits = inLine(read('a'));
    void inLine(read('b'));
    expect(begun).toEqual(['never', 'a']);
    end('a');
    await waits;
  });
});
