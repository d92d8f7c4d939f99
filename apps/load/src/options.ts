// How the commands of this package read their options: what cannot be meant is said in a sentence, and nothing begins.
import { parseArgs } from 'node:util';

/** How one option is read. */
interface Option<T> {
  type: 'string' | 'boolean';
  /** @throws Error in words that go on behind the option's name */
  read(given: string | undefined): T;
}

const some = <T, U>(otherwise: U, read: (text: string) => T): Option<T | U> => ({
  type: 'string',
  read: (given) => (given === undefined ? otherwise : read(given)),
});

/** Is there, or is not. */
export const flag: Option<boolean> = { type: 'boolean', read: (given) => given !== undefined };

export const text = <U extends string | undefined>(otherwise: U): Option<string | U> =>
  some(otherwise, (given) => given);

/** A whole number, without one `otherwise`. */
export const whole = <U extends number | undefined>(
  otherwise: U,
  { least = 1, most = 999_999_999 } = {},
): Option<number | U> =>
  some(otherwise, (given) => {
    const value = Number(given);
    if (!/^\d{1,9}$/.test(given) || value < least || value > most)
      throw new Error(`must be a whole number from ${least} to ${most}`);
    return value;
  });

/** A number above 0. */
export const positive = <U extends number | undefined>(
  otherwise: U,
  { most = Number.MAX_VALUE } = {},
): Option<number | U> =>
  some(otherwise, (given) => {
    const value = Number(given);
    if (given.trim() === '' || !(value > 0 && value <= most))
      throw new Error(`must be a number above 0${most < Number.MAX_VALUE ? ` and at most ${most}` : ''}`);
    return value;
  });

/** One of these words. */
export const oneOf = <const T extends string, U extends T | undefined>(
  words: readonly T[],
  otherwise: U,
): Option<T | U> =>
  some(otherwise, (given) => {
    if (!words.includes(given as T)) throw new Error(`must be one of ${words.join(', ')}`);
    return given as T;
  });

/** Ends this process: what it was asked for cannot be meant. */
export function refuse(why: string): never {
  console.error(why);
  process.exit(1);
}

/**
 * What this process was asked for. Ends it where that cannot be meant, and after `--help`.
 * @param help what `--help` prints
 */
export function readOptions<O extends Record<string, Option<unknown>>>(
  help: string,
  options: O,
): { [Name in keyof O]: ReturnType<O[Name]['read']> } {
  try {
    const { values }: { values: Record<string, unknown> } = parseArgs({
      options: { ...(options as Record<string, Option<unknown>>), help: { type: 'boolean' } },
    });
    if (values.help) {
      console.log(help);
      process.exit(0);
    }
    const read = Object.entries(options).map(([name, option]) => {
      try {
        return [name, option.read(values[name] as string | undefined)];
      } catch (error) {
        throw new Error(`--${name} ${(error as Error).message}`);
      }
    });
    return Object.fromEntries(read);
  } catch (error) {
    return refuse((error as Error).message);
  }
}
