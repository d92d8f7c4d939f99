import type { ServerEvent } from '@duet/contract';
import type { People } from './people.ts';
import type { Clock, ConversationStore, Fanout, Limiter, Presence, UserStore } from './ports.ts';
import type { Kept, Sights } from './privacy.ts';
import { perTurn } from './turn.ts';
import { iso } from './views.ts';

/** Renewal of a node's lease; adapters let it live for LEASE_MS. */
export const BEAT_MS = 5_000;
export const LEASE_MS = 15_000;
/** How long after its last socket a user is still shown online: a reload or a change of network is not news. */
export const PRESENCE_GRACE_MS = 10_000;
const REAP_MS = 1_000;
/** Contacts told of a change: those talked to most recently. */
const MAX_CONTACTS = 1_000;

export interface PresenceDeps {
  port: Presence;
  users: UserStore;
  conversations: ConversationStore;
  people: People;
  sights: Sights;
  fanout: Fanout;
  clock: Clock;
  limiter: Limiter;
  /** Deliveries a second at each node that all of them together may spend on telling everyone, contacts or not. */
  budget: number;
  changed: (isOnline: boolean) => void;
  failed: (error: unknown) => void;
}

type Connection = { user: string; socket: string };

/** Who is online, and who is told when that changes. Renews the node's lease, and finds who has gone, until `close`. */
export function createPresenceRules(deps: PresenceDeps) {
  /**
   * May this change be told to every socket? What one node tells all deliver, so they share a bucket, and it costs what it
   * costs the node with the most sockets.
   */
  async function mayTellAll(): Promise<boolean> {
    const cost = Math.max(1, await deps.port.mostSockets());
    if (cost > deps.budget) return false;
    return (await deps.limiter.take('user_status', { limit: deps.budget, windowMs: 1_000 }, cost)).ok;
  }

  /** Changes that are yet to be told: the newest of each user, kept until the store could name its contacts. */
  const untold = new Map<string, ServerEvent<'user_status'>>();

  /** Of whom it is not known he is neither told that somebody has gone, nor said to have gone himself: that waits. */
  const online = (users: string[]) => deps.port.online(users, { sure: true });

  async function tell(payload: ServerEvent<'user_status'>): Promise<void> {
    const { userId, isOnline } = payload;
    const kept = (await deps.sights.of([userId]))(userId);
    if (kept.hides.has('lastSeen')) return;
    const send = await reached(userId, kept);
    if (isOnline) return send(payload);
    // By the clock of the node at which he came, or by what another one has found, he may have been seen later than this.
    const [record] = await deps.users.get([userId]);
    const lastSeen = iso(Math.max(Date.parse(payload.lastSeen), record?.lastSeen ?? 0));
    // Once more for each, and last of all: he may have come back at another node, which has told that, since the round
    // began or while the store was looking for his contacts.
    if (!(await online([userId])).has(userId)) send({ ...payload, lastSeen });
  }

  /** Tells everyone who does not hide himself while the budget lasts, else contacts. */
  async function reached(user: string, { blocked }: Kept): Promise<(payload: ServerEvent<'user_status'>) => void> {
    // Everybody would be those as well who are blocked.
    if (blocked.size === 0 && (await mayTellAll()))
      return (payload) => deps.fanout.toWatchers({ name: 'user_status', payload });
    const contacts = await deps.conversations.peers(user, MAX_CONTACTS);
    const kept = await deps.sights.of(contacts);
    const told = [...(await online(contacts))].filter(
      (contact) => !blocked.has(contact) && !kept(contact).hides.has('lastSeen'),
    );
    return (payload) => {
      for (const contact of told) deps.fanout.toUser(contact, { name: 'user_status', payload });
    };
  }

  /** When people were last seen, as far as the store does not know it yet. */
  const unseen = new Map<string, number>();

  let telling = Promise.resolve();
  let next: Promise<void> | undefined;
  /** One teller at a time, so that changes of one user are told in their order; whoever asks meanwhile shares the next round. */
  function tellAll(): Promise<void> {
    next ??= telling.then(() => {
      next = undefined;
      const told = tellUntold();
      // Whoever asked hears of a failure; who asks next begins anew.
      telling = told.catch(() => {});
      return told;
    });
    return next;
  }

  /**
   * Somebody may have come back at another node, which has told that meanwhile; or be deleted, and nobody knows any more
   * from whom he has hidden that he was here.
   */
  async function forgetUnheard(gone: ServerEvent<'user_status'>[]): Promise<void> {
    const ids = gone.map(({ userId }) => userId);
    const [back, people] = await Promise.all([online(ids), deps.people.get(ids)]);
    for (const payload of gone) {
      const { userId } = payload;
      const isHeard = !back.has(userId) && !people.get(userId)?.isDeleted;
      if (!isHeard && untold.get(userId) === payload) untold.delete(userId);
    }
  }

  async function tellUntold(): Promise<void> {
    const gone = [...untold.values()].filter(({ isOnline }) => !isOnline);
    if (gone.length > 0) await forgetUnheard(gone);
    for (const [user, payload] of untold) {
      await tell(payload);
      if (untold.get(user) === payload) untold.delete(user);
      unseen.set(user, Date.parse(payload.lastSeen));
    }
    // All of a round in one write: when a node dies its users come back together.
    const seen = [...unseen].map(([id, at]) => ({ id, at }));
    if (seen.length > 0) await deps.users.seen(seen);
    for (const { id, at } of seen) if (unseen.get(id) === at) unseen.delete(id);
  }

  function note(user: string, isOnline: boolean, at: number): void {
    deps.people.saw(user, isOnline);
    deps.changed(isOnline);
    untold.set(user, { userId: user, isOnline, lastSeen: iso(at) });
  }

  /** Waits for nobody to be told: a slow store must not cost this node its lease. */
  async function beat(sockets: Connection[]): Promise<void> {
    for (const user of await deps.port.beat(sockets)) note(user, true, deps.clock.now());
  }

  /** Whose end the port has named, until it knows that it has been told. */
  const named = new Set<string>();

  /** Whether the end of a user is still to be told, or to be stored. */
  const isDue = (user: string) => untold.get(user)?.isOnline === false || unseen.has(user);

  async function reap(): Promise<void> {
    const told = [...named].filter((user) => !isDue(user));
    const gone = await deps.port.reap(told);
    for (const user of told) named.delete(user);
    for (const { user, at } of gone) {
      const known = named.has(user) && untold.get(user)?.lastSeen === iso(at);
      named.add(user);
      if (!known) note(user, false, at);
    }
    await tellAll();
  }

  /** Periodic work must not end the process: it fails, is logged, and runs again at its next turn. */
  function periodically(ms: number, task: () => Promise<void>): () => void {
    let running = false;
    return deps.clock.every(ms, () => {
      if (running) return;
      running = true;
      task()
        .catch(deps.failed)
        .finally(() => {
          running = false;
        });
    });
  }

  const arrive = perTurn(beat);
  const stops = [periodically(BEAT_MS, () => beat([])), periodically(REAP_MS, reap)];

  return {
    /** Resolves when the socket counts; whom it concerns is told soon after. */
    async connected(user: string, socket: string): Promise<void> {
      await arrive({ user, socket });
      tellAll().catch(deps.failed);
    },
    async disconnected(user: string, socket: string): Promise<void> {
      await deps.port.drop(user, socket);
    },
    /**
     * For who is about to hide himself, to do so no longer, or to delete his account.
     * @returns what tells others that he has gone, as if he had never come, or that he is here, and asks nobody any more;
     * undefined when he is not here
     */
    async appears(user: string): Promise<((isShown: boolean) => void) | undefined> {
      const [kept, here, [record]] = await Promise.all([
        deps.sights.of([user]),
        deps.port.online([user]),
        deps.users.get([user]),
      ]);
      // To say it of who is not here would tell that he has just been.
      if (!record || !here.has(user)) return undefined;
      const tell = await reached(user, kept(user));
      return (isShown) =>
        tell({ userId: user, isOnline: isShown, lastSeen: iso(isShown ? deps.clock.now() : record.createdAt) });
    },
    /** Stops renewing and reaping. */
    close(): void {
      for (const stop of stops) stop();
    },
  };
}
