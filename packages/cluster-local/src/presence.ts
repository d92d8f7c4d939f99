import { type Clock, PRESENCE_GRACE_MS, type Presence } from '@duet/core';

/** Presence of one machine, kept in one process: what Redis is for a cluster of machines. */
export interface PresenceTable {
  /** The Presence port as one node (a process) uses it. */
  forNode(node: string): Presence;
  /** Forgets every socket of a node that has died; the graces of its users begin, and what it had to tell others tell. */
  dropNode(node: string): void;
}

interface Person {
  /** socket id -> node */
  sockets: Map<string, string>;
  /** When the last socket went, as it is shown and as the grace is measured; undefined while there is one. */
  left: { at: number; elapsed: number } | undefined;
}

/** No lease is needed here: the process that keeps the table learns of a node's death at once. */
export function createPresenceTable(clock: Clock): PresenceTable {
  const people = new Map<string, Person>();
  /** How many sockets each node holds. */
  const held = new Map<string, number>();
  /** Those whose grace runs, in the order in which they left. */
  const leaving = new Set<string>();
  /** Whose end a node is about to tell. */
  const handed = new Map<string, { node: string; at: number }>();
  /** Those whose end was to be told by a node that has died. */
  let orphaned: { user: string; at: number }[] = [];

  function count(node: string, by: number): void {
    held.set(node, (held.get(node) ?? 0) + by);
  }

  function add(node: string, user: string, socket: string): boolean {
    let person = people.get(user);
    const came = person === undefined;
    if (person === undefined) {
      person = { sockets: new Map(), left: undefined };
      people.set(user, person);
    }
    if (!person.sockets.has(socket)) count(node, 1);
    person.sockets.set(socket, node);
    person.left = undefined;
    leaving.delete(user);
    return came;
  }

  function remove(user: string, socket: string): void {
    const person = people.get(user);
    const node = person?.sockets.get(socket);
    if (person === undefined || node === undefined) return;
    person.sockets.delete(socket);
    count(node, -1);
    if (person.sockets.size > 0) return;
    person.left = { at: clock.now(), elapsed: clock.elapsed() };
    leaving.add(user);
  }

  function reap(node: string, told: string[]): { user: string; at: number }[] {
    for (const user of told) if (handed.get(user)?.node === node) handed.delete(user);
    const gone = orphaned.filter(({ user }) => !people.has(user));
    orphaned = [];
    for (const user of leaving) {
      const { at, elapsed } = people.get(user)?.left ?? { at: 0, elapsed: 0 };
      if (clock.elapsed() - elapsed < PRESENCE_GRACE_MS) break;
      leaving.delete(user);
      people.delete(user);
      gone.push({ user, at });
    }
    for (const { user, at } of gone) handed.set(user, { node, at });
    return gone;
  }

  return {
    forNode: (node) => ({
      beat: async (sockets) => sockets.filter(({ user, socket }) => add(node, user, socket)).map(({ user }) => user),
      drop: async (user, socket) => remove(user, socket),
      online: async (users) => new Set(users.filter((user) => people.has(user))),
      reap: async (told) => reap(node, told),
      mostSockets: () => Math.max(0, ...held.values()),
    }),
    dropNode(node) {
      for (const [user, person] of people) {
        for (const [socket, holder] of person.sockets) if (holder === node) remove(user, socket);
      }
      held.delete(node);
      for (const [user, { node: teller, at }] of handed) {
        if (teller === node && handed.delete(user)) orphaned.push({ user, at });
      }
    },
  };
}
