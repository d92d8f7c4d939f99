import type { Operations } from '../history.ts';
import type { Accuse, Check } from './roster.ts';

/** Presence is right this long after the last fault has ended. */
const RIGHT_WITHIN_MS = 35_000;
/** Whoever came or went less than this ago may be shown either way: the grace, and a reaper's turn. */
const SETTLED_MS = 12_000;

/**
 * I9: in the end each node shows those online who have a socket and nobody else, from 35 s after the faults at the latest.
 */
export function presenceConverges({ accuse }: { accuse: Accuse }): Check & { rightAfterMs(): number | undefined } {
  /** By client, whether it is connected. */
  const connected = new Map<string, boolean>();
  const changed = new Map<number, number>();
  const lastOf = new Map<string, string | undefined>();
  /** Nodes that were asked, and those that have answered since the end began. */
  const asked = new Set<string>();
  const answered = new Set<string>();
  let healedAt: number | undefined;
  let lastWrongAt: number | undefined;

  function online(): Set<number> {
    return new Set([...connected].filter(([, is]) => is).map(([proc]) => Number(proc.split('.', 1)[0])));
  }

  /** What is wrong with an answer; undefined when nothing is. */
  function wrongOf(shown: Set<number>, since: number): string | undefined {
    const truth = online();
    // Also those who never had a socket that is known here.
    for (const person of new Set([...changed.keys(), ...shown])) {
      if ((changed.get(person) ?? Number.NEGATIVE_INFINITY) > since) continue;
      if (shown.has(person) !== truth.has(person))
        return `person ${person} is shown ${shown.has(person) ? 'online without' : 'offline with'} a socket`;
    }
    return undefined;
  }

  return {
    see({ line, person, args, askedAt }) {
      if (line.f === 'connect' || line.f === 'disconnect') {
        const before = online().has(person);
        connected.set(line.proc, line.f === 'connect');
        if (before !== online().has(person)) changed.set(person, line.t);
      }
      if (line.f === 'phase' && line.val === 'healed') {
        healedAt = line.t;
        lastWrongAt = undefined;
        lastOf.clear();
        asked.clear();
      }
      if (line.f === 'phase' && line.val !== 'end') answered.clear();
      if (line.f !== 'presence' || healedAt === undefined || askedAt < healedAt) return;
      const { node } = args as Operations['presence']['args'];
      if (line.type === 'invoke') asked.add(node);
      if (line.type !== 'ok') return;
      answered.add(node);
      const wrong = wrongOf(new Set(line.val), askedAt - SETTLED_MS);
      lastOf.set(node, wrong);
      if (!wrong) return;
      lastWrongAt = line.t;
      if (askedAt - healedAt > RIGHT_WITHIN_MS)
        accuse(`${wrong} on ${node}, ${Math.round(askedAt - healedAt)} ms after the fault`);
    },
    end() {
      if (healedAt !== undefined && asked.size === 0) accuse('nobody asked who is online after the fault');
      for (const node of asked) if (!answered.has(node)) accuse(`${node} does not say who is online at the end`);
      for (const [node, wrong] of lastOf) if (wrong) accuse(`${wrong} on ${node} at the end`);
    },
    rightAfterMs: () => (healedAt === undefined ? undefined : Math.max(0, (lastWrongAt ?? healedAt) - healedAt)),
  };
}
