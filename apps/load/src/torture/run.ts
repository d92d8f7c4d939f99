import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Fault, Stage } from './faults/stage.ts';
import { metric } from './faults/stage.ts';
import { awaitPresence, type FinalDeps, readEverything } from './final.ts';
import { createHistory, createHistoryFile, type History, readHistory } from './history.ts';
import { judge, type Verdict } from './judge/index.ts';
import { type Load, startLoad } from './load.ts';
import { atMost, createRandom, pause } from './random.ts';
import type { Subject } from './start.ts';
import { createTally, ENOUGH, type Tally } from './tally.ts';
import type { Person } from './wire.ts';

const WARM_UP_MS = 1_500;
const HEAL_WITHIN_MS = 30_000;
const GOOD_P99_MS = 1_500;
const DRAIN_WITHIN_MS = 90_000;
/** And what was lost last must be connected again by then. */
const SETTLED_WITHIN_MS = 30_000;
/** Live events come at once; a line may be slow. */
const HEARD_WITHIN_MS = 10_000;
const PRESENCE_WITHIN_MS = 36_000;
/** A node has more than one try to answer. */
const LAST_LOOK_MS = 20_000;
/** Until then nodes must have noticed that all clients are gone, half-open ones included. */
const LEFT_WITHIN_MS = 45_000;
/** A run that has not come to its end by then is broken. */
const LONGEST_S = 3_600;
/** No fault waits so long for anything. */
const TURN_WITHIN_MS = 900_000;

export interface RunOptions {
  name: string;
  /** In this order, over and over; `mix` in any. */
  faults: Fault[];
  mix: boolean;
  seed: number;
  /** At least so long, in seconds, and at least so many acknowledgements. */
  secs: number;
  acknowledgements: number;
  /** Short turns, each fault once. */
  short: boolean;
  people: number;
  /** With how many of the others each of them begins a conversation. */
  peers: number;
  /** The most that one of them sends at once. */
  burst: number;
  /** Where the history is written. */
  folder: string;
}

export interface Report {
  name: string;
  seed: number;
  seconds: number;
  traces: string[];
  /** Why this run proves nothing; empty for a good one. */
  failures: string[];
  verdict: Verdict;
  file: string;
}

/** Some devices come by the narrow line, some to a node itself, the others through nginx. */
function routes({ on, network }: Subject): (i: number) => string {
  return (i) => {
    if (network && i % 6 === 5) return `http://${network.slowAddress}:${on.nginx?.port}`;
    if (on.nodes.length > 1 && i % 5 === 3) return (on.nodes[i % on.nodes.length] as { url: string }).url;
    return on.url;
  };
}

/** Lets faults happen until there is enough. @returns what proves them */
async function breakThings(stage: Stage, options: RunOptions): Promise<string[]> {
  const { faults, mix, secs, acknowledgements, short } = options;
  const traces: string[] = [];
  const begin = performance.now();
  const passed = () => (performance.now() - begin) / 1_000;
  const enough = () =>
    traces.length >= faults.length &&
    (short || (passed() >= secs && stage.tally.acknowledged() >= acknowledgements) || passed() > LONGEST_S);
  while (!enough()) {
    const fault = mix ? stage.random.pick(faults) : (faults[traces.length % faults.length] as Fault);
    const trace = await atMost(TURN_WITHIN_MS, fault.turn(stage));
    if (trace === undefined) throw new Error(`${fault.name} does not come to its end`);
    traces.push(`${fault.name}: ${trace}`);
    await pause(short ? 500 : 2_000 + stage.random.next() * 6_000);
  }
  return traces;
}

/** Until sends are quick again and stay so, or it is for the judge to say that they do not. */
async function recover(tally: Tally, history: History, short: boolean): Promise<void> {
  const begin = performance.now();
  const passed = () => performance.now() - begin;
  const good = () => (tally.recentP99(history.now()) ?? Number.POSITIVE_INFINITY) < GOOD_P99_MS;
  async function stays(): Promise<boolean> {
    await pause(short ? 2_500 : 4_000);
    return good();
  }
  await pause(short ? 1_000 : 10_000);
  while (passed() < HEAL_WITHIN_MS && !(good() && (await stays()))) await pause(250);
  // What begins now is still in time.
  if (!good()) await stays();
}

/** Waits until everybody is connected and has all answers; whoever does not get there is for the judge. */
async function settle(load: Load, history: History): Promise<void> {
  const unsettled = () => load.talkers().filter((device) => !device.socket.connected || device.waiting() > 0);
  for (const end = performance.now() + SETTLED_WITHIN_MS; unsettled().length > 0 && performance.now() < end; )
    await pause(250);
  for (const device of unsettled())
    history.info(device.name, 'unsettled', { connected: device.socket.connected, waiting: device.waiting() });
}

/** Everybody writes to everybody whom they know, and it is waited for that all devices hear of it. */
async function probe(load: Load, { tally, history }: { tally: Tally; history: History }): Promise<void> {
  history.info('', 'phase', 'probe');
  const devices = load.talkers();
  const devicesOf = (person: Person) => devices.filter((device) => device.person === person).length;
  const letters = devices.flatMap((device) => load.peersOf(device.person).map((to) => ({ device, to })));
  await atMost(DRAIN_WITHIN_MS, Promise.all(letters.map(({ device, to }) => device.send(to))));
  const wanted = letters.reduce((sum, { device, to }) => sum + devicesOf(device.person) - 1 + devicesOf(to), 0);
  for (const end = performance.now() + HEARD_WITHIN_MS; tally.heard() < wanted && performance.now() < end; )
    await pause(100);
}

/** Waits until the nodes have noticed that everybody has gone. */
async function leave(load: Load, { nodes, history }: FinalDeps): Promise<void> {
  load[Symbol.dispose]();
  const end = performance.now() + LEFT_WITHIN_MS;
  await Promise.all(
    [...nodes].map(async ([node, url]) => {
      const left = () => metric(url, 'duet_connected_sockets').catch(() => Number.NaN);
      let sockets = await left();
      for (; sockets !== 0 && performance.now() < end; sockets = await left()) await pause(250);
      history.info('', 'leftover', { node, sockets });
    }),
  );
}

async function record(subject: Subject, options: RunOptions, write: Parameters<typeof createHistory>[0]) {
  const tally = createTally();
  const history = createHistory((line) => {
    tally.see(line);
    write(line);
  });
  const random = createRandom(options.seed);
  const run = `t${Math.floor(performance.now()).toString(36)}${options.seed}`;
  const { short, people, peers, burst } = options;
  using load = await startLoad({
    run,
    history,
    random,
    urlOf: routes(subject),
    people,
    peers,
    burst,
    thinkMs: short ? 100 : 30,
  });
  const nodes = new Map(subject.on.nodes.map(({ url }, i) => [`node${i}`, url]));
  const final: FinalDeps = { run, history, load, watcher: await load.register(subject.on.url), nodes };
  const stage: Stage = {
    ...subject,
    load,
    tally,
    random: random.fork('faults'),
    short,
    note: (what) => history.info('', 'fault', { name: options.name, what }),
  };
  const traces: string[] = [];
  const failures: string[] = [];
  try {
    // Somebody who leaves: in the end nobody may take him for online.
    (await load.extra('guest', subject.on.url, false)).close();
    await pause(WARM_UP_MS);
    await breakThings(stage, options).then(
      (proofs) => traces.push(...proofs),
      (error) => failures.push(String(error)),
    );
    history.info('', 'phase', 'healed');
    const healedAt = performance.now();
    await Promise.all([recover(tally, history, short), awaitPresence(final, PRESENCE_WITHIN_MS)]);
    history.info('', 'phase', 'quiet');
    await load.stop(DRAIN_WITHIN_MS);
    await settle(load, history);
    await probe(load, { tally, history });
    await awaitPresence(final, Math.max(LAST_LOOK_MS, PRESENCE_WITHIN_MS - (performance.now() - healedAt)));
    await readEverything(final).catch((error) => failures.push(String(error)));
    history.info('', 'phase', 'end');
  } finally {
    await leave(load, final);
  }
  return { traces, failures };
}

const fileOf = ({ folder, name, seed }: RunOptions): string => join(folder, `${name}-${seed}.jsonl`);

/** The report of a run that did not come to its end. */
export function brokenReport(options: RunOptions, error: unknown, seconds = 0): Report {
  const { name, seed } = options;
  const why = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return { name, seed, seconds, traces: [], failures: [why], verdict: judge([]), file: fileOf(options) };
}

/** One run: load, faults, healing, the last readings, the judge. Never throws: an error is a failure in the report. */
export async function torture(subject: Subject, options: RunOptions): Promise<Report> {
  const begin = performance.now();
  try {
    return await runAndJudge(subject, options);
  } catch (error) {
    return brokenReport(options, error, (performance.now() - begin) / 1_000);
  }
}

/** What a run has too little of to prove anything. */
export function lacksOf(
  { acknowledged, sentRecovered, probes, probesJudged }: Verdict['figures'],
  needed: number,
): string[] {
  return [
    ...(acknowledged < needed ? [`${acknowledged} messages were acknowledged, ${needed} are needed`] : []),
    ...(sentRecovered < ENOUGH ? [`${sentRecovered} sends say that all goes on after the faults`] : []),
    // Some may lose their connection just then.
    ...(probesJudged === 0 || probesJudged < probes / 2
      ? [`${probesJudged} of ${probes} times somebody listened when messages were to be heard live`]
      : []),
  ];
}

async function runAndJudge(subject: Subject, options: RunOptions): Promise<Report> {
  mkdirSync(options.folder, { recursive: true });
  const file = fileOf(options);
  const begin = performance.now();
  const { traces, failures } = await (async () => {
    using lines = createHistoryFile(file);
    return await record(subject, options, lines.write);
  })();
  const seconds = (performance.now() - begin) / 1_000;
  const verdict = judge(readHistory(file));
  failures.push(...lacksOf(verdict.figures, options.acknowledgements));
  return { name: options.name, seed: options.seed, seconds, traces, failures, verdict, file };
}
