// `npm run capacity -- --users N [--rate R]`: what a deployment of that size needs.
import { parseArgs } from 'node:util';
import {
  type AssumptionName,
  type Assumptions,
  assumptions,
  defaults,
  lines,
  plan,
  rateOf,
  workedTable,
} from './capacity-plan.ts';
import { print } from './table.ts';

const names = Object.keys(assumptions) as AssumptionName[];
const HELP = `npm run capacity -- --users N [--rate R] [--json]
npm run capacity -- --table

Prints what N users need who write R messages a second at the peak of the day. --table prints the table of
docs/capacity.md. Assumptions, each a flag:

${names.map((name) => `  --${name.padEnd(14)} ${String(assumptions[name].value).padStart(7)}  ${assumptions[name].what} (${assumptions[name].known})`).join('\n')}`;

const flags = Object.fromEntries(names.map((name) => [name, { type: 'string' as const }]));

/** @throws Error in plain words */
function positive(name: string, text: string): number {
  const value = Number(text);
  if (text.trim() !== '' && Number.isFinite(value) && value > 0) return value;
  throw new Error(`--${name} must be a number above 0`);
}

/** @returns the exit code */
function main(): number {
  const { values } = parseArgs({
    options: {
      ...flags,
      users: { type: 'string' },
      rate: { type: 'string' },
      table: { type: 'boolean' },
      json: { type: 'boolean' },
      help: { type: 'boolean' },
    },
  });
  const { users, rate, table, json, help, ...changed } = values as Record<string, string> & { [flag: string]: unknown };
  const given: Assumptions = { ...defaults };
  for (const [name, text] of Object.entries(changed)) given[name as AssumptionName] = positive(name, String(text));
  if (table) {
    console.log(workedTable(given));
    return 0;
  }
  if (help || users === undefined) {
    console.log(HELP);
    return help ? 0 : 1;
  }
  const count = positive('users', users);
  const demand = { users: count, rate: rate === undefined ? rateOf(count, given) : positive('rate', rate) };
  const planned = plan(demand, given);
  if (json) console.log(JSON.stringify(planned));
  else print(lines(planned, given));
  return 0;
}

try {
  process.exitCode = main();
} catch (error) {
  console.error((error as Error).message);
  process.exitCode = 1;
}
