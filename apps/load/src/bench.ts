// `npm run bench`: Duet beside a bare Socket.IO relay, on one core, in the same run. Prints a table, judges nothing.
import { parseArgs } from 'node:util';
import { history, type Line, login, memory, throughput } from './parts.ts';
import { pinned } from './subject.ts';

const parts = { throughput, memory, history, login };
type Part = keyof typeof parts;

const { values } = parseArgs({
  options: {
    only: { type: 'string' },
    quick: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});

const HELP = `npm run bench -- [--only ${Object.keys(parts).join('|')}] [--quick] [--json]

Compares Duet (embedded store) with a bare Socket.IO relay that stores nothing.
Server and generator each have a core of their own; figures are ratios within one run.
--quick is short and rough; --json prints the lines as JSON as well.`;

function print(lines: Line[]): void {
  const table = [['', 'relay / first', 'Duet / then', 'ratio', 'to reach'], ...lines];
  const widths = table[0]?.map((_, column) => Math.max(...table.map((row) => row[column]?.length ?? 0))) ?? [];
  for (const row of table) {
    console.log(
      row
        .map((cell, column) => (column === 0 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0)))
        .join('  '),
    );
  }
}

if (values.help || (values.only !== undefined && !(values.only in parts))) {
  console.log(HELP);
  process.exit(values.help ? 0 : 1);
}
if (pinned('0').length === 0)
  console.log('taskset is missing: server and generator share the cores, figures are rough');

const lines: Line[] = [];
for (const name of values.only ? [values.only as Part] : (Object.keys(parts) as Part[])) {
  lines.push(...(await parts[name]((text) => console.log(`  ${text}`), values.quick)));
}
console.log();
print(lines);
if (values.json) console.log(JSON.stringify(lines));
