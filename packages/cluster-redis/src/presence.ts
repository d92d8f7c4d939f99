import { randomUUID } from 'node:crypto';
import { type Clock, LEASE_MS, PRESENCE_GRACE_MS, type Presence, perTurn } from '@duet/core';
import { answer } from './connections.ts';
import type { Run } from './scripts.ts';

/** The most that one script does: Redis does nothing else meanwhile. */
const BATCH = 500;
/**
 * Bytes of a connection that was given up may reach Redis for as long as the system sends them again; on Linux some 100 s
 * for a connection that nobody holds any more.
 */
const LATE_MS = 120_000;
/** Users who left are remembered for this long, in case Redis forgets them before their grace is over. */
const REMEMBER_MS = LEASE_MS + PRESENCE_GRACE_MS;

type Connection = { user: string; socket: string };

const batches = <T>(items: T[]): T[][] =>
  Array.from({ length: Math.ceil(items.length / BATCH) }, (_, i) => items.slice(i * BATCH, (i + 1) * BATCH));
const flat = (connections: Connection[]): string[] => connections.flatMap(({ user, socket }) => [user, socket]);

/**
 * Presence by lease: this node's entries in Redis count while its lease lives. Redis may forget everything; what is
 * remembered here puts it right at the next beat.
 */
export function createPresence(run: Run, clock: Clock): Presence & { doubt(): void; resign(): Promise<void> } {
  // New for each start of the process: a node that comes back is another one, and never inherits what it left.
  const node = randomUUID();
  const sockets = new Map<string, string>();
  /** Sockets that went while Redis could not be told. */
  const untold = new Map<string, string>();
  /** When users left, by the clock's `elapsed`: who is found to have gone is in here no longer. */
  const left = new Map<string, number>();
  /** Whether Redis may know less than this node, or something older. */
  let behind = false;
  /** Whether an answer of `reap` may have got lost. */
  let unheard = false;
  /** Users of beats without an answer: Redis may know them already, and will not name them again. */
  const unnamed = new Set<string>();
  /** Since when this node has held its lease without a break, by the clock's `elapsed`. */
  let heldSince: number | undefined;
  /** When the lease was renewed last, by Redis' own time. */
  let renewedAt = 0;
  /** Until it is known no budget is large enough. */
  let mostSockets = Number.POSITIVE_INFINITY;
  /** When what was sent over an earlier connection has come or never will, by the clock's `elapsed`. */
  let lateUntil = Number.POSITIVE_INFINITY;

  function forgetOldLeavers(): void {
    for (const [user, at] of left) {
      if (clock.elapsed() - at < REMEMBER_MS) break;
      left.delete(user);
    }
  }

  async function register(connections: Connection[]): Promise<{ lost: boolean; came: string[] }> {
    const answered = (await run('beat', node, LEASE_MS, PRESENCE_GRACE_MS, ...flat(connections))) as [
      number,
      number,
      number,
      ...string[],
    ];
    const [lost, now, most, ...came] = answered;
    renewedAt = now;
    mostSockets = most;
    return { lost: lost === 1, came };
  }

  /** Tells Redis all that it should know of this node, and nothing else: a replica may remember sockets that have gone. */
  async function registerAll(): Promise<string[]> {
    while (((await run('shed', node, BATCH)) as number) > 0);
    const came: string[] = [];
    for (const batch of batches([...sockets.keys()])) {
      // Asked now: a socket that went while earlier batches were under way would never be dropped again.
      const present = batch
        .flatMap((socket) => ({ user: sockets.get(socket) ?? '', socket }))
        .filter(({ user }) => user);
      const registering = register(present);
      // Whoever tries again finds these there already.
      registering.catch(() => noteUnnamed([...came, ...present.map(({ user }) => user)]));
      came.push(...(await registering).came);
    }
    for (const batch of batches([...left.keys()])) await run('remind', ...batch.flatMap((user) => [user, ageOf(user)]));
    return came;
  }

  /** How long ago a user left. */
  function ageOf(user: string): number {
    const now = clock.elapsed();
    return now - (left.get(user) ?? now);
  }

  function noteUnnamed(users: string[]): void {
    for (const user of users) unnamed.add(user);
  }

  /** Users with a socket here who may have come online without anybody hearing of it. */
  function takeUnnamed(): string[] {
    const present = new Set(sockets.values());
    const users = [...unnamed].filter((user) => present.has(user));
    unnamed.clear();
    return users;
  }

  async function unregister(gone: (Connection & { age: number })[]): Promise<void> {
    for (const batch of batches(gone)) {
      await run('drop', node, ...batch.flatMap(({ user, socket, age }) => [user, socket, age]));
      for (const { socket } of batch) untold.delete(socket);
    }
  }
  const drop = perTurn(unregister);

  return {
    beat: (connections) =>
      answer(async () => {
        for (const { user, socket } of connections) {
          sockets.set(socket, user);
          left.delete(user);
        }
        // While Redis is away their end is nowhere else.
        if (!behind) forgetOldLeavers();
        const hasCome = clock.elapsed() >= lateUntil;
        if (hasCome) lateUntil = Number.POSITIVE_INFINITY;
        const wasBehind = behind || hasCome;
        behind = false;
        try {
          const { lost, came } = await register(connections);
          await unregister([...untold].map(([socket, user]) => ({ user, socket, age: ageOf(user) })));
          if (lost || wasBehind) came.push(...(await registerAll()), ...takeUnnamed());
          if (lost || heldSince === undefined) heldSince = clock.elapsed();
          return [...new Set(came)];
        } catch (error) {
          behind = true;
          heldSince = undefined;
          noteUnnamed(connections.map(({ user }) => user));
          throw error;
        }
      }),
    drop: (user, socket) =>
      answer(async () => {
        if (!sockets.delete(socket)) return;
        left.delete(user);
        left.set(user, clock.elapsed());
        try {
          await drop({ user, socket, age: 0 });
        } catch (error) {
          untold.set(socket, user);
          throw error;
        }
      }),
    async online(users, { sure = false } = {}) {
      const found = new Set<string>();
      for (const batch of batches(users)) {
        const asked = answer(() => run('online', PRESENCE_GRACE_MS, ...batch));
        const flags = (await (sure ? asked : asked.catch(() => []))) as number[];
        for (const [i, flag] of flags.entries()) if (flag === 1) found.add(batch[i] as string);
      }
      return found;
    },
    reap: (told) =>
      answer(async () => {
        // When Redis was out of reach of all, their leases have run out together: by now whoever lives has renewed his.
        const mayJudge = heldSince !== undefined && clock.elapsed() - heldSince >= LEASE_MS;
        // Redis may come to this long after it was sent, when the leases of all have run out while it stood still; and its
        // clock may jump.
        const judgesUntil = mayJudge ? renewedAt + LEASE_MS : 0;
        const again = unheard ? 1 : 0;
        unheard = true;
        const gone = (await run('reap', PRESENCE_GRACE_MS, BATCH, judgesUntil, node, again, ...told)) as string[];
        unheard = false;
        for (let i = 0; i < gone.length; i += 2) left.delete(gone[i] as string);
        return Array.from({ length: gone.length / 2 }, (_, i) => ({
          user: gone[2 * i] as string,
          at: Math.floor(Number(gone[2 * i + 1])),
        }));
      }),
    mostSockets: () => mostSockets,
    /**
     * There is a new connection. The Redis behind it may be another one, which knows less or something older; and what was
     * sent over the one before may reach it after what is sent now: so it is all told once more.
     */
    doubt() {
      behind = true;
      lateUntil = clock.elapsed() + LATE_MS;
    },
    async resign() {
      // Without an answer the lease runs out by itself.
      await run('resign', node).catch(() => {});
    },
  };
}
