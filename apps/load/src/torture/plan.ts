import { faults as known } from './faults/index.ts';
import type { Fault, FaultShape } from './faults/stage.ts';
import type { RunOptions } from './run.ts';

/** Faults that share a run in the short form: related ones, so that a failure still says where to look. */
const SHORT: string[][] = [
  ['kill', 'stop-5', 'stop-30'],
  ['rolling'],
  ['redis-restart', 'redis-flush', 'redis-gone'],
  ['redis-silent', 'redis-loud', 'redis-oneway'],
  ['db-restart', 'db-silent', 'db-loud', 'db-oneway'],
  ['nginx-reload', 'nginx-kill', 'slow-clients', 'half-open'],
  ['herd'],
  ['clock-skew'],
  // One node with the embedded store: it takes thousands of messages in a moment.
  ['disk-full', 'slow-consumer'],
];
/** An answer of the conversation list holds so many. */
const MOST_CONVERSATIONS = 100;

/** What somebody asks for; what is undefined has a value that fits the form of the run. */
export interface Wish {
  /** Names, with commas; undefined: every fault of the short form. */
  fault?: string | undefined;
  store: 'mongo' | 'sqlite';
  short: boolean;
  seed: number;
  secs: number;
  acks?: number | undefined;
  people?: number | undefined;
  peers?: number | undefined;
  burst: number;
  out: string;
}

/** A run, and what it is against. */
export interface PlannedRun {
  shape: FaultShape;
  options: RunOptions;
}

const breaksMongo = ({ name }: Fault): boolean => name.startsWith('db-');

/** @throws Error naming what is not there, or breaks what is not there */
function faultsNamed(names: string[], { store }: Wish): Fault[] {
  if (names.includes('mix')) {
    if (names.length > 1) throw new Error('mix is any of the faults of a cluster: it stands alone');
    return [...known.values()].filter(
      (fault) => fault.shapes.includes('cluster') && !(store === 'sqlite' && breaksMongo(fault)),
    );
  }
  return names.map((name) => {
    const fault = known.get(name);
    if (!fault) throw new Error(`there is no fault ${name}; --help names them`);
    if (store === 'sqlite' && breaksMongo(fault))
      throw new Error(`${name} breaks MongoDB, which --store sqlite has not`);
    return fault;
  });
}

/** @throws Error when there is nothing that has all of these faults */
function shapeOf(faults: Fault[]): FaultShape {
  const [first, ...rest] = faults as [Fault, ...Fault[]];
  const shape = first.shapes.find((each) => rest.every(({ shapes }) => shapes.includes(each)));
  if (!shape) throw new Error(`no run has all of ${faults.map(({ name }) => name).join(', ')}: give each of its own`);
  return shape;
}

/** @throws Error when people would meet twice, or themselves, or have more conversations than an answer can name */
function checkPeople(people: number, peers: number): void {
  if (2 * peers >= people)
    throw new Error('--peers must be less than half of --people: nobody is to meet anybody twice');
  // With whom they write, and a slow reader to whom every fourth writes.
  if (Math.max(2 * peers + 1, people / 4) > MOST_CONVERSATIONS)
    throw new Error('--peers must be at most 49 and --people at most 400: one answer is to name all conversations');
}

/** The runs that somebody asks for. @throws Error in words for whoever asked */
export function planRuns(wish: Wish): PlannedRun[] {
  const { short, store, secs, burst, seed } = wish;
  const { acks = short ? 200 : 20 * secs, people = short ? 12 : 60, peers = short ? 2 : 4 } = wish;
  checkPeople(people, peers);
  const all = SHORT.filter(
    (names) => store === 'mongo' || !faultsNamed(names, { ...wish, store: 'mongo' }).some(breaksMongo),
  );
  const groups = wish.fault === undefined ? all : [wish.fault.split(',')];
  return groups.map((names) => {
    const faults = faultsNamed(names, wish);
    return {
      shape: shapeOf(faults),
      options: {
        ...{ name: names.join('+'), faults, mix: names[0] === 'mix', seed, secs, acknowledgements: acks },
        ...{ short, people, peers, burst, folder: wish.out },
      },
    };
  });
}
