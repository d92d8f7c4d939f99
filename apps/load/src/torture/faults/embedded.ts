import { closeSync, openSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import type { DeployedNode } from '@duet/testkit/cluster';
import { pause } from '../random.ts';
import { type Fault, proof, until } from './stage.ts';

const MIB = Buffer.alloc(1024 * 1024);
const BLOCK = MIB.subarray(0, 4096);

/** Takes all the room that is left. @returns bytes written */
function fill(file: string): number {
  const ballast = openSync(file, 'w');
  let written = 0;
  for (const piece of [MIB, BLOCK]) {
    try {
      for (;;) written += writeSync(ballast, piece);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
    }
  }
  closeSync(ballast);
  return written;
}

export const diskFull: Fault = {
  name: 'disk-full',
  expect:
    'The disk of an embedded store is full. Sends get a retryable answer and the process lives; when there is room again they go through, and nothing acknowledged is lost.',
  shapes: ['disk'],
  async turn({ disk, tally, on, note }) {
    if (disk === undefined) throw new Error('no disk of its own');
    const file = join(disk, 'ballast');
    const before = tally.coded('UNAVAILABLE');
    note('the disk is full');
    try {
      const bytes = fill(file);
      await until('clients are told to try again', () => tally.coded('UNAVAILABLE') >= before + 20);
      const alive = (await fetch(`${on.url}/health`)).ok;
      const refused = tally.coded('UNAVAILABLE') - before;
      return proof(alive, `${Math.round(bytes / MIB.length)} MiB taken, ${refused} answers UNAVAILABLE, alive`);
    } finally {
      rmSync(file, { force: true });
    }
  },
};

const HOUR_MS = 3_600_000;

/** The times that a node with a clock that can be moved has said, one for each jump. */
const clocksIn = (output: string): number[] =>
  [...output.matchAll(/^the clock shows (\S+)$/gm)].map(([, time]) => Date.parse(time as string));

/** A signal moves the clock of a node to its next offset, and the node says what time it is then. */
async function jump({ process }: DeployedNode): Promise<void> {
  const before = clocksIn(process.output()).length;
  process.signal('SIGUSR2');
  await until('the clock has jumped', () => clocksIn(process.output()).length > before);
}

/** How far the clock of a node is off, in hours, a few seconds give or take. */
const hoursOff = ({ process }: DeployedNode) => ((clocksIn(process.output()).at(-1) as number) - Date.now()) / HOUR_MS;

export const clockSkew: Fault = {
  name: 'clock-skew',
  expect:
    "The nodes' clocks differ by up to two hours and jump. Order is by seq, so nobody notices but in the times that are shown; presence goes by Redis' clock.",
  shapes: ['clocks'],
  async turn({ on, note, short }) {
    note('clocks jump');
    for (const [i, node] of on.nodes.entries()) for (let times = 0; times <= i; times++) await jump(node);
    const hours = () => on.nodes.map(hoursOff);
    const differ = () => new Set(hours().map(Math.round)).size > 1;
    if (!differ()) await jump(on.nodes[0] as DeployedNode);
    await pause(short ? 2_000 : 5_000);
    const off = hours().map((h) => h.toFixed(1));
    return proof(differ(), `clocks off by ${off.join(', ')} h`);
  },
};
