// `npm run bench`: Duet beside a bare Socket.IO relay, on one core, in the same run. Prints a table, judges nothing.
import { floods } from './flood.ts';
import { guesses } from './guesses.ts';
import { memory } from './idle.ts';
import { flag, oneOf, positive, readOptions } from './options.ts';
import { history, type Line, login, throughput } from './parts.ts';
import { pinned } from './subject.ts';
import { print } from './table.ts';

const parts = { throughput, memory, history, login, flood: floods, guesses };
type Part = keyof typeof parts;

const names = Object.keys(parts) as Part[];

const HELP = `npm run bench -- [--only ${names.join('|')}] [--quick] [--minutes 1] [--json]

Compares Duet (embedded store) with a bare Socket.IO relay that stores nothing.
Server and generator each have a core of their own; figures are ratios within one run.
--minutes is how long idle connections are watched; --quick is short and rough; --json prints the lines as JSON as well.`;

const { only, minutes, quick, json } = readOptions(HELP, {
  only: oneOf(names, undefined),
  minutes: positive(1),
  quick: flag,
  json: flag,
});
if (pinned('0').length === 0)
  console.log('taskset is missing: server and generator share the cores, figures are rough');

const lines: Line[] = [];
for (const name of only ? [only] : names) {
  lines.push(...(await parts[name]((text) => console.log(`  ${text}`), quick, minutes)));
}
console.log();
print([['', 'relay / first', 'Duet / then', 'ratio', 'to reach'], ...lines]);
if (json) console.log(JSON.stringify(lines));
