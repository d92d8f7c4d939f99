import { DuetError } from '@duet/contract';

/** What people have named themselves or their devices must not move the cursor of a terminal, or begin a new row. */
const printable = (cell: string): string => cell.replace(/\p{Cc}/gu, '\uFFFD');

/** Rows as columns. */
export function columns(given: string[][]): string {
  const rows = given.map((row) => row.map(printable));
  const widths = rows[0]?.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0))) ?? [];
  return rows
    .map((row) =>
      row
        .map((cell, i) => cell.padEnd(widths[i] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

/** Some fields of objects as columns below their names. */
export const table = <K extends string>(head: readonly K[], rows: Record<K, string>[]): string =>
  columns([[...head], ...rows.map((row) => head.map((name) => row[name]))]);

/** An object as lines of name and value. */
export const fields = (object: object): string =>
  columns(Object.entries(object).map(([name, value]) => [name, String(value)]));

/**
 * What has gone wrong, for the terminal of an operator: of what is taken the field, of anything else its sentence, and
 * what is behind it where that says no more than that something has failed. Drivers put no address with its password there.
 */
export function wordsOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (!(error instanceof DuetError)) return error.message;
  const { code, details, message, cause } = error;
  if (code === 'CONFLICT' && details) return details.map((one) => `${one.field} ${one.message}`).join('\n');
  return cause === undefined ? message : `${message} (${wordsOf(cause)})`;
}
