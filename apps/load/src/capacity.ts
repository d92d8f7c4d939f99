// `npm run capacity -- --users N [--rate R]`: what a deployment of that size needs.
import {
  type AssumptionName,
  type Assumptions,
  assumptions,
  defaults,
  lines,
  mostOf,
  plan,
  rateOf,
  workedTable,
} from './capacity-plan.ts';
import { flag, positive, readOptions, refuse } from './options.ts';
import { print } from './table.ts';

const names = Object.keys(assumptions) as AssumptionName[];
const HELP = `npm run capacity -- --users N [--rate R] [--json]
npm run capacity -- --table

Prints what N users need who write R messages a second at the peak of the day. --table prints the table of
docs/capacity.md. Assumptions, each a flag:

${names.map((name) => `  --${name.padEnd(14)} ${String(assumptions[name].value).padStart(7)}  ${assumptions[name].what} (${assumptions[name].known})`).join('\n')}`;

const { users, rate, table, json, ...changed } = readOptions(HELP, {
  users: positive(undefined),
  rate: positive(undefined),
  table: flag,
  json: flag,
  ...(Object.fromEntries(names.map((name) => [name, positive(defaults[name], { most: mostOf(name) })])) as Record<
    AssumptionName,
    ReturnType<typeof positive<number>>
  >),
});
const given: Assumptions = changed;
if (table) console.log(workedTable(given));
else {
  if (users === undefined) refuse(HELP);
  const planned = plan({ users, rate: rate ?? rateOf(users, given) }, given);
  if (json) console.log(JSON.stringify(planned));
  else print(lines(planned, given));
}
