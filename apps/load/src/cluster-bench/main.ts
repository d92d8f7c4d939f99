// `npm run bench:cluster`: several nodes around one Redis. Prints tables, judges nothing.
import { lackOfRedis } from '@duet/testkit/cluster';
import { flag, oneOf, readOptions } from '../options.ts';
import { GENERATOR_CORE, pin, pinned } from '../subject.ts';
import { print } from '../table.ts';
import { cpu } from './cpu.ts';
import { presence } from './presence.ts';
import { routing } from './routing.ts';
import { storm } from './storm.ts';

const parts = { routing, cpu, presence, storm };
type Name = keyof typeof parts;

const names = Object.keys(parts) as Name[];

const HELP = `npm run bench:cluster -- [--only ${names.join('|')}] [--quick] [--json]

  routing   what each node receives from Redis, counted, for 1, 2, 4 and 8 nodes
  cpu       what a message costs all nodes and Redis together, beside the bare relay
  presence  frames for a change of status, with 100 to 10,000 people connected
  storm     5,000 sockets whose node dies

Nodes and Redis share one core, clients and database the other. --quick is short and rough;
--json prints a line for each measurement as well.`;

const { only, quick, json } = readOptions(HELP, { only: oneOf(names, undefined), quick: flag, json: flag });
const missing = lackOfRedis();
if (missing !== undefined) {
  console.error(`A cluster needs what this machine has not: ${missing}`);
  process.exit(1);
}
// What this process starts inherits its core: the database, the taps.
pin(process.pid, GENERATOR_CORE);
if (pinned(GENERATOR_CORE).length === 0)
  console.log('taskset is missing: servers and clients share the cores, figures are rough');

const records: object[] = [];
for (const name of only ? [only] : names) {
  const part = await parts[name]({ quick, progress: (text) => console.error(`  ${name}: ${text}`) });
  console.log(`\n${part.title}\n`);
  print(part.rows);
  records.push(...part.records);
}
if (json) for (const record of records) console.log(JSON.stringify(record));
