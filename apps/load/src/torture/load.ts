import { createDevice, type Device } from './device.ts';
import type { History } from './history.ts';
import { atMost, pause, type Random } from './random.ts';
import type { People, Person } from './wire.ts';

const PASSWORD = 'password123';
const AT_ONCE = 4;
/** Whoever has no connection by then gets none. */
const CONNECTED_WITHIN_MS = 120_000;

export interface LoadOptions {
  run: string;
  history: History;
  random: Random;
  /** Where device number `i` connects; the same device always to the same place. */
  urlOf: (i: number) => string;
  /** People who write, each with the next `peers` of them. */
  people: number;
  peers: number;
  /** The most that half of the devices send at once. */
  burst: number;
  /** The longest pause between two things that a device does, in ms. */
  thinkMs: number;
}

/** People who chat all the time, each with one device or two. */
export interface Load extends Disposable {
  people: People;
  /** Those that chat. */
  devices: Device[];
  /** Every device that is in a conversation. */
  talkers(): Device[];
  /** With whom somebody has a conversation. */
  peersOf(person: Person): Person[];
  /** From now on these two have one as well. */
  acquaint(one: Person, other: Person): void;
  /** Who has a socket now, as far as clients know. */
  online(): Set<number>;
  /** Makes an account that has no device. */
  register(url: string): Promise<Person>;
  /** Somebody new with one device, who only watches; `reconnection: false` for one who does not come back. */
  extra(name: string, url: string, reconnection?: boolean): Promise<Device>;
  /** Nobody begins anything new; resolves when all that was begun is answered, or after `ms`. */
  stop(ms: number): Promise<void>;
}

/** An account of its own. @throws Error when the server refuses */
async function register(url: string, name: string): Promise<{ id: string; token: string }> {
  const body = JSON.stringify({ username: name, email: `${name}@example.org`, password: PASSWORD });
  const headers = { 'content-type': 'application/json' };
  const response = await fetch(new URL('/api/auth/register', url), { method: 'POST', headers, body });
  const { data, message } = (await response.json()) as {
    message: string;
    data?: { token: string; user: { _id: string } };
  };
  if (!data) throw new Error(`registration failed: ${message}`);
  return { id: data.user._id, token: data.token };
}

/** Accounts, numbered in the order in which they are made. */
function createPeople(run: string, history: History) {
  const all: Person[] = [];
  const index = new Map<string, number>();
  async function add(url: string): Promise<Person> {
    const number = all.length;
    const person = { index: number, id: '', token: '' };
    all.push(person);
    Object.assign(person, await register(url, `${run}-${number}`));
    index.set(person.id, number);
    history.info('', 'person', { person: number, id: person.id });
    return person;
  }
  return { people: { all, indexOf: (id: string) => index.get(id) ?? -1 }, add };
}

/** What a device does next, and how often of a hundred times. */
const HABITS = [
  ['write', 62],
  ['read', 16],
  ['type', 8],
  ['page', 4],
  ['repeat', 3],
  ['list', 3],
  ['unread', 3],
  ['drop', 0.6],
  ['anew', 0.4],
] as const;
type Habit = (typeof HABITS)[number][0];

function choose(random: Random): Habit {
  let left = random.next() * 100;
  for (const [habit, weight] of HABITS) {
    left -= weight;
    if (left < 0) return habit;
  }
  return 'write';
}

async function live(device: Device, peers: Person[], { random, burst, thinkMs, running }: Life): Promise<void> {
  /** Some send the next message before the last is answered; the order in which those arrive is nobody's promise. */
  const atOnce = random.chance(0.5) ? 1 : burst;
  const deeds: Record<Habit, (peer: Person) => unknown> = {
    write: (peer) => Promise.all(Array.from({ length: 1 + random.below(atOnce) }, () => device.send(peer))),
    read: device.read,
    type: device.typing,
    page: (peer) => device.page(peer),
    repeat: device.repeat,
    list: () => device.list(),
    unread: () => device.unread(),
    drop: device.drop,
    anew: () => device.syncFromZero(),
  };
  while (running()) {
    await deeds[choose(random)](random.pick(peers));
    await pause(random.next() * thinkMs);
  }
}

interface Life {
  random: Random;
  burst: number;
  thinkMs: number;
  running: () => boolean;
}

/** @throws Error when one of them gets no connection: a run that waited for it would never end */
async function allConnected(devices: Device[]): Promise<void> {
  let connected = false;
  const all = Promise.all(devices.map((device) => device.connected())).then(() => (connected = true));
  await atMost(CONNECTED_WITHIN_MS, all);
  if (connected) return;
  const without = devices.filter(({ socket }) => !socket.connected).map(({ name }) => name);
  for (const device of devices) device.close();
  throw new Error(`no connection for ${without}`);
}

/** Registers people and lets them chat until `stop`. */
export async function startLoad(options: LoadOptions): Promise<Load> {
  const { run, history, random, urlOf, burst, thinkMs } = options;
  const { people, add } = createPeople(run, history);
  const devices: Device[] = [];
  const others: Device[] = [];
  let tags = 0;
  let running = true;

  /** Some devices know no websockets, some begin without; most are as the SDK is. */
  const transportsOf = (own: Random) =>
    own.pick([['polling'], ['polling', 'websocket'], ...Array(8).fill(['websocket'])]);

  function deviceOf(
    person: Person,
    name: string,
    at: { url: string; transports?: string[]; reconnection?: boolean },
  ): Device {
    const own = random.fork(name);
    const transports = transportsOf(own);
    return createDevice({ transports, ...at, person, people, name, run, history, random: own, nextTag: () => tags++ });
  }

  const writers: Person[] = [];
  for (let first = 0; first < options.people; first += AT_ONCE) {
    const group = Array.from({ length: Math.min(AT_ONCE, options.people - first) }, (_, i) => add(urlOf(first + i)));
    writers.push(...(await Promise.all(group)));
  }
  const peers = new Map<Person, Person[]>();
  const peersOf = (person: Person) => peers.getOrInsertComputed(person, () => []);
  function acquaint(one: Person, other: Person): void {
    history.info('', 'conversation', { users: [one.index, other.index] });
    peersOf(one).push(other);
    peersOf(other).push(one);
  }
  for (const person of writers) {
    for (let step = 1; step <= options.peers; step++)
      acquaint(person, writers[(person.index + step) % writers.length] as Person);
  }
  for (const person of writers) {
    for (let d = 0; d < 1 + (person.index % 3 === 0 ? 1 : 0); d++) {
      devices.push(deviceOf(person, `${person.index}.${d}`, { url: urlOf(devices.length) }));
    }
  }
  for (const { socket } of devices) socket.connect();
  await allConnected(devices);
  const lives = devices.map((device) =>
    live(device, [...peersOf(device.person)], {
      random: random.fork(`life ${device.name}`),
      burst,
      thinkMs,
      running: () => running,
    }),
  );
  const ended = Promise.all(lives);
  ended.catch(() => {});

  return {
    people,
    devices,
    talkers: () => [...devices, ...others].filter(({ person }) => peers.has(person)),
    peersOf,
    acquaint,
    online: () =>
      new Set([...devices, ...others].filter(({ socket }) => socket.connected).map(({ person }) => person.index)),
    register: add,
    async extra(name, url, reconnection = true) {
      const person = await add(url);
      const device = deviceOf(person, `${person.index}.${name}`, { url, reconnection, transports: ['websocket'] });
      others.push(device);
      device.socket.connect();
      await allConnected([device]);
      return device;
    },
    async stop(ms) {
      running = false;
      await atMost(ms, ended);
    },
    [Symbol.dispose]() {
      running = false;
      for (const device of [...devices, ...others]) device.close();
    },
  };
}
