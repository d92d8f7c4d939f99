// A node with a planted bug (TAMPER=<name>), or with a clock that can be moved: what the judge of the fault runs is
// itself judged by. The product knows nothing of it. SIGUSR2 moves the clock to its next offset.
import { loadCluster, loadStore } from '../src/adapters.ts';
import { systemClock } from '../src/clock.ts';
import { readConfig } from '../src/config.ts';
import { createNode } from '../src/node.ts';
import { createLog } from '../src/ops/log.ts';
import { planted } from './planted-bugs.ts';

const HOUR_MS = 3_600_000;
const OFFSETS = [0, HOUR_MS, -HOUR_MS, HOUR_MS / 2];

let jumps = 0;
const offset = () => OFFSETS[jumps % OFFSETS.length] as number;
process.on('SIGUSR2', () => {
  jumps++;
  console.log(`the clock shows ${new Date().toISOString()}`);
});
const RealDate = Date;
// The whole process lives in the other time: tokens, drivers and headers as well as the node itself.
globalThis.Date = class extends RealDate {
  constructor(...args: [] | [number | string]) {
    super(...((args.length === 0 ? [RealDate.now() + offset()] : args) as [number]));
  }
  static override now = () => RealDate.now() + offset();
} as DateConstructor;
// mongoose knows the types of a schema by their names.
Object.defineProperty(globalThis.Date, 'name', { value: 'Date' });

const config = readConfig(process.env);
const log = createLog({ level: config.logLevel, pretty: false });
const tamper = planted[process.env.TAMPER as keyof typeof planted] ?? ((parts) => parts);
const node = await createNode({
  config,
  log,
  ...tamper({
    store: await loadStore(config.store),
    cluster: await loadCluster(config.cluster, { clock: systemClock, log }),
  }),
});
process.once('SIGTERM', () => void node.close().then(() => process.exit(0)));
console.log(`listening on http://localhost:${node.port}`);
