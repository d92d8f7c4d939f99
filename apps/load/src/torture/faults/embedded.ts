import { closeSync, openSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
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
  shape: 'disk',
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

export const clockSkew: Fault = {
  name: 'clock-skew',
  expect:
    "The nodes' clocks differ by up to two hours and jump. Order is by seq, so nobody notices but in the times that are shown; presence goes by Redis' clock.",
  shape: 'clocks',
  async turn({ on, note }) {
    note('clocks jump');
    // Each signal moves the clock of a node to its next offset.
    for (const [i, { process }] of on.nodes.entries()) for (let n = 0; n < i; n++) process.signal('SIGUSR2');
    const hours = await until('clocks differ', async () => {
      const dates = await Promise.all(
        on.nodes.map(async ({ url }) => (await fetch(`${url}/health`)).headers.get('date')),
      );
      const times = dates.map((date) => Date.parse(date ?? ''));
      const apart = (Math.max(...times) - Math.min(...times)) / 3_600_000;
      return apart > 0.5 ? apart : undefined;
    });
    return `clocks ${hours.toFixed(1)} h apart`;
  },
};
