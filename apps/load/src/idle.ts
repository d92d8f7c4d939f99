import { type Account, createAccounts } from './accounts.ts';
import { forkOnOwnCore, GENERATOR } from './drive.ts';
import type { Job, Signal } from './generator.ts';
import type { Line, Progress } from './parts.ts';
import { pause } from './sockets.ts';
import { type Kind, type Subject, startSubject } from './subject.ts';

/** Connections on one node, step by step. */
const STEPS = [1_000, 5_000, 10_000];
const QUICK_STEPS = [200, 500];
const PEOPLE = 200;
/** Until what connecting has left behind is collected. */
const SETTLE_MS = 10_000;
const SAMPLE_MS = 5_000;
const COLLECT = new URL('./collect.ts', import.meta.url).pathname;
const MIB = 1024 * 1024;

const kib = (bytes: number): string => `${(bytes / 1024).toFixed(1)} KiB`;
const mib = (bytes: number): string => `${(bytes / MIB).toFixed(1)} MiB`;

/** Sockets that do nothing, in a process of their own; resolves when all are connected. */
function hold(accounts: Account[], sockets: number): Promise<Disposable> {
  const child = forkOnOwnCore(GENERATOR);
  child.send({ what: 'idle', accounts, sockets } satisfies Job);
  return new Promise((resolve, reject) => {
    child.once('exit', (code) => reject(new Error(`the generator ended with ${code}`)));
    child.on('message', ({ signal }: Signal) => {
      if (signal === 'connected') resolve({ [Symbol.dispose]: () => void child.kill('SIGKILL') });
    });
  });
}

interface Watched {
  kind: Kind;
  subject: Subject;
  accounts: Account[];
  /** Before the first connection. */
  empty: number;
}

/** What each holds once its garbage is collected: the lowest of some samples, because a collection frees bit by bit. */
async function heldBy(subjects: Subject[], ms: number): Promise<number[]> {
  const lowest = subjects.map(() => Number.POSITIVE_INFINITY);
  for (const end = performance.now() + ms; performance.now() < end; ) {
    for (const subject of subjects) subject.signal('SIGUSR2');
    await pause(Math.min(SAMPLE_MS, ms / 4));
    for (const [i, subject] of subjects.entries()) lowest[i] = Math.min(lowest[i] as number, subject.residentBytes());
  }
  return lowest;
}

async function watch(kind: Kind): Promise<Watched> {
  const subject = await startSubject(kind, { NODE_OPTIONS: `--max-semi-space-size=1 --import=${COLLECT}` });
  const accounts = await createAccounts(kind, subject.url, PEOPLE);
  const [empty] = (await heldBy([subject], SETTLE_MS)) as [number];
  return { kind, subject, accounts, empty };
}

/** What connections cost that do nothing, at several numbers of them, and whether that grows while they last. */
export async function memory(progress: Progress, quick: boolean, minutes: number): Promise<Line[]> {
  await using stack = new AsyncDisposableStack();
  const watched: [Watched, Watched] = [await watch('relay'), await watch('duet')];
  for (const { subject } of watched) stack.use(subject);
  const subjects = watched.map(({ subject }) => subject);
  const lines: Line[] = [];
  let there = 0;
  for (const step of quick ? QUICK_STEPS : STEPS) {
    for (const { accounts } of watched) stack.use(await hold(accounts, step - there));
    there = step;
    await pause(SETTLE_MS);
    const held = await heldBy(subjects, SETTLE_MS);
    const [relay, duet] = watched.map(({ empty }, i) => ((held[i] as number) - empty) / step) as [number, number];
    progress(`memory: ${step} idle connections, ${kib(relay)} each at the relay, ${kib(duet)} at Duet`);
    const what = `memory for each of ${step.toLocaleString('en')} idle connections`;
    lines.push([what, kib(relay), kib(duet), `${(duet / relay).toFixed(2)}x`, 'at most 1.5x']);
  }
  const window = Math.min(60_000, (minutes * 60_000) / 4);
  const first = await heldBy(subjects, window);
  await pause(minutes * 60_000 - 2 * window);
  const last = await heldBy(subjects, window);
  for (const [i, { kind }] of watched.entries()) {
    const [before, after] = [first[i] as number, last[i] as number];
    const ratio = `${(after / before).toFixed(3)}x`;
    lines.push([`resident memory of ${kind}, then ${minutes} min idle`, mib(before), mib(after), ratio, 'no growth']);
  }
  return lines;
}
