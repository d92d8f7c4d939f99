import type { Device } from './device.ts';
import type { History } from './history.ts';
import type { Load } from './load.ts';
import { pause } from './random.ts';
import { call, type Person } from './wire.ts';

const AT_ONCE = 8;
/** So often, and for so long, what fails is tried again. */
const TRIES = 20;
const PATIENCE_MS = 60_000;

export interface FinalDeps {
  run: string;
  history: History;
  load: Load;
  /** Who looks at the directory: somebody without a device. */
  watcher: Person;
  /** The nodes by name, where they answer REST. */
  nodes: Map<string, string>;
}

/** Who is shown online by each node. @returns whether each showed those who are */
async function askPresence({ run, history, load, watcher, nodes }: FinalDeps): Promise<boolean> {
  const right = await Promise.all(
    [...nodes].map(async ([node, url]) => {
      const pending = history.invoke('', 'presence', { node });
      const answer = await call(url, `/auth/users?limit=1000&q=${run}-`, watcher);
      if (!answer || 'code' in answer) {
        pending.info(answer?.code ?? 'no answer');
        return false;
      }
      const { users } = answer.data as { users: { _id: string; isOnline: boolean }[] };
      const shown = users.filter(({ isOnline }) => isOnline).map(({ _id }) => load.people.indexOf(_id));
      pending.ok(shown);
      const truth = load.online();
      return shown.length === truth.size && shown.every((person) => truth.has(person));
    }),
  );
  return right.every(Boolean);
}

/** Asks until presence is right everywhere, or until `ms` have gone by: then it is for the judge to say. */
export async function awaitPresence(deps: FinalDeps, ms: number): Promise<void> {
  for (const end = performance.now() + ms; !(await askPresence(deps)) && performance.now() < end; ) await pause(500);
}

/** Tries again until it works. @throws Error when it never does: a run that went on would wait for ever */
async function untilIt<T>(works: () => Promise<T | false | undefined>): Promise<T> {
  const begin = performance.now();
  for (let tries = 1; ; tries++) {
    const done = await works();
    if (done !== undefined && done !== false) return done;
    if (tries >= TRIES && performance.now() - begin >= PATIENCE_MS)
      throw new Error('the last readings get no answer: what the judge misses may be there');
    await pause(250);
  }
}

/** Some at once, each again until it works. @throws Error when one never does */
async function inGroups<T>(items: T[], work: (item: T) => Promise<boolean>): Promise<void> {
  const queue = [...items];
  async function worker(): Promise<void> {
    for (let item = queue.shift(); item !== undefined; item = queue.shift()) {
      const mine = item;
      await untilIt(() => work(mine));
    }
  }
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
}

/** Every conversation to its end. */
async function readAll(device: Device, peer: Person): Promise<boolean> {
  for (let after = 0; ; ) {
    const from = after;
    // From where it stood: a page that did not come is not in the history as one that did.
    const count = await untilIt(() => device.page(peer, { after: from, final: true }));
    if (count < 100) return true;
    after += count;
  }
}

/**
 * The last readings, when all is healed and nothing is under way: without them a history proves nothing. Every device
 * learns all and says what it shows; then everybody reads everything anew, by sync and page by page.
 */
export async function readEverything({ history, load }: FinalDeps): Promise<void> {
  const devices = load.talkers();
  const one = devices.filter((device, i) => devices.findIndex(({ person }) => person === device.person) === i);
  await inGroups(devices, (device) => device.settle());
  await inGroups(devices, (device) => device.settle());
  for (const { name, threads } of devices) {
    for (const { peer, rows } of threads.values())
      history.info(name, 'model', { peer, rows: rows.map(([id, , tag]) => [id, tag]) });
  }
  await inGroups(one, (device) => device.syncFromZero(true));
  await inGroups(
    one.flatMap((device) => load.peersOf(device.person).map((peer) => ({ device, peer }))),
    ({ device, peer }) => readAll(device, peer),
  );
  await inGroups(devices, async (device) => (await device.list(true)) && (await device.unread(true)));
}
