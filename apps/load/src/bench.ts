// `npm run bench`: Duet beside a bare Socket.IO relay, on one core, in the same run. Prints a table, judges nothing.
import { parseArgs } from 'node:util';
import { floods } from './flood.ts';
import { guesses } from './guesses.ts';
import { memory } from './idle.ts';
import { history, type Line, login, throughput } from './parts.ts';
import { pinned } from './subject.ts';
import { print } from './table.ts';

const parts = { throughput, memory, history, login, flood: floods, guesses };
type Part = keyof typeof parts;

const { values } = parseArgs({
  options: {
    only: { type: 'string' },
    minutes: { type: 'string', default: '1' },
    quick: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});

const HELP = `npm run bench -- [--only ${Object.keys(parts).join('|')}] [--quick] [--minutes 1] [--json]

Compares Duet (embedded store) with a bare Socket.IO relay that stores nothing.
Server and generator each have a core of their own; figures are ratios within one run.
--minutes is how long idle connections are watched; --quick is short and rough; --json prints the lines as JSON as well.`;

if (values.help || (values.only !== undefined && !(values.only in parts))) {
  console.log(HELP);
  process.exit(values.help ? 0 : 1);
}
if (pinned('0').length === 0)
  console.log('taskset is missing: server and generator share the cores, figures are rough');

const lines: Line[] = [];
for (const name of values.only ? [values.only as Part] : (Object.keys(parts) as Part[])) {
  lines.push(...(await parts[name]((text) => console.log(`  ${text}`), values.quick, Number(values.minutes))));
}
console.log();
print([['', 'relay / first', 'Duet / then', 'ratio', 'to reach'], ...lines]);
if (values.json) console.log(JSON.stringify(lines));
