import type { Operations } from '../history.ts';
import { type Accuse, type Check, type Event, type Roster, shownBy } from './roster.ts';

/** How far each conversation had been shown to anybody, by conversation. */
type Reach = Map<number, number>;

/** How far a reading has come in a conversation, for those that claim to have come to its end. */
function* reached(event: Event, roster: Roster): Generator<[conversation: number, seq: number]> {
  const { line, person, args } = event;
  if (line.type !== 'ok') return;
  if (line.f === 'page') {
    const { peer, after, limit } = args as Operations['page']['args'];
    const conversation = roster.conversation(person, peer);
    const atEnd = after === undefined || line.val.rows.length < limit;
    if (atEnd && conversation !== undefined) yield [conversation, line.val.rows.at(-1)?.[1] ?? after ?? 0];
  }
  if (line.f === 'sync' && line.val.complete) {
    const { known } = args as Operations['sync']['args'];
    const ends = new Map(Object.entries(known).map(([peer, seq]) => [Number(peer), seq]));
    for (const { peer, rows } of line.val.threads) ends.set(peer, rows.at(-1)?.[1] ?? known[peer] ?? 0);
    yield* endsOf(ends, person, roster);
  }
  if (line.f === 'list') yield* endsOf(new Map(line.val.map(({ peer, last }) => [peer, last[1]])), person, roster);
}

/** Conversations that are not named have not begun. */
function* endsOf(ends: Map<number, number>, person: number, roster: Roster): Generator<[number, number]> {
  for (const [conversation, [one, other]] of roster.conversations.entries()) {
    if (person === one) yield [conversation, ends.get(other) ?? 0];
    if (person === other) yield [conversation, ends.get(one) ?? 0];
  }
}

/**
 * I5: what anybody was shown (by a reading, live, or as an acknowledgement) is in every reading that begins later. A
 * database that rolls back what it had shown, or a node that reads what is old, is found here.
 */
export function stableVisibility({ roster, accuse }: { roster: Roster; accuse: Accuse }): Check {
  const shown: Reach = new Map();
  const ofPerson = new Map<number, number[]>();
  /** What had been shown when a reading began; a chain of syncs began with its first. */
  const begun = new Map<number | string, Reach>();

  function mine(person: number): number[] {
    let conversations = ofPerson.get(person);
    if (!conversations) {
      conversations = [...roster.conversations.entries()].filter(([, users]) => users.includes(person)).map(([i]) => i);
      ofPerson.set(person, conversations);
    }
    return conversations;
  }
  const snapshot = (person: number): Reach => new Map(mine(person).map((i) => [i, shown.get(i) ?? 0]));
  const chainOf = (event: Event, args: unknown) => `${event.line.proc} ${(args as Operations['sync']['args']).chain}`;

  return {
    see(event) {
      const { line, person, args } = event;
      const key = line.f === 'sync' ? chainOf(event, args) : line.i;
      if (line.type === 'invoke') {
        if ((line.f === 'page' || line.f === 'sync' || line.f === 'list') && !begun.has(key))
          begun.set(key, snapshot(person));
        return;
      }
      const before = begun.get(key);
      if (before) {
        for (const [conversation, end] of reached(event, roster)) {
          const seen = before.get(conversation) ?? 0;
          if (end < seen)
            accuse(
              `${line.proc} reads conversation ${conversation} up to ${end} (${line.f}), ${seen} had been shown before`,
            );
        }
        // Of a chain there may be more to come.
        if (!(line.f === 'sync' && line.type === 'ok' && !line.val.complete)) begun.delete(key);
      }
      for (const { conversation, row } of shownBy(event, roster)) {
        if (conversation !== undefined && row[1] > (shown.get(conversation) ?? 0)) shown.set(conversation, row[1]);
      }
    },
    end() {},
  };
}
