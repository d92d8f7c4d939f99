import type { Operations } from '../history.ts';
import type { Accuse, Check, Finals, Roster } from './roster.ts';
import { shownBy } from './roster.ts';

export interface MessageCheckDeps {
  roster: Roster;
  finals: Finals;
  accuse: Accuse;
}

/** Both sides of each conversation. */
function* sides({ conversations }: Roster): Generator<[conversation: number, person: number]> {
  for (const [conversation, users] of conversations.entries()) for (const person of users) yield [conversation, person];
}

/** I1: what was acknowledged is in the last reading of both sides, by page and by sync. */
export function nothingLost({ roster, finals, accuse }: MessageCheckDeps): Check {
  /** By conversation, the tags that were sent there: the row of an answer may be another message's. */
  const acknowledged = new Map<number, Set<number>>();
  return {
    see({ line, person, args }) {
      if (line.f !== 'send' || line.type !== 'ok') return;
      const { to, tag } = args as Operations['send']['args'];
      const conversation = roster.conversation(person, to);
      if (conversation !== undefined) acknowledged.getOrInsertComputed(conversation, () => new Set()).add(tag);
    },
    end() {
      for (const [conversation, person] of sides(roster)) {
        for (const [way, rows] of [
          ['page', finals.paged(conversation, person)],
          ['sync', finals.synced(conversation, person)],
        ] as const) {
          const there = new Set(rows.map(([, , tag]) => tag));
          for (const tag of acknowledged.get(conversation) ?? []) {
            if (!there.has(tag))
              accuse(`message ${tag} was acknowledged and person ${person} does not find it by ${way}`);
          }
        }
      }
    },
  };
}

/** I2: nothing twice, nothing that nobody wrote, nothing changed. */
export function onceAndAsSent({ roster, finals, accuse }: MessageCheckDeps): Check {
  const sent: { from: number; conversation: number | undefined; crc: number }[] = [];
  /** By tag, tries of which nobody has said that they did not happen. */
  const mayBeThere = new Map<number, number>();
  function twice(rows: (readonly [id: string, tag: number])[], where: string): void {
    const ids = new Map<number, string>();
    for (const [id, tag] of rows) {
      if (ids.has(tag)) accuse(`message ${tag} is there twice ${where}: ${ids.get(tag)} and ${id}`);
      ids.set(tag, id);
    }
  }
  return {
    see(event) {
      const { line, person } = event;
      if (line.f === 'send' && line.type === 'invoke') {
        const { tag, to, crc } = line.args;
        mayBeThere.set(tag, (mayBeThere.get(tag) ?? 0) + 1);
        sent[tag] ??= { from: person, conversation: roster.conversation(person, to), crc };
      }
      if (line.f === 'send' && line.type === 'fail') {
        const { tag } = event.args as Operations['send']['args'];
        mayBeThere.set(tag, (mayBeThere.get(tag) ?? 0) - 1);
      }
      if (line.f === 'send' && line.type === 'ok') {
        const { tag } = event.args as Operations['send']['args'];
        if (line.val[2] !== tag) accuse(`message ${tag} of ${line.proc} was answered with message ${line.val[2]}`);
      }
      for (const { conversation, row } of shownBy(event, roster)) {
        const [id, , tag, from, crc] = row;
        const original = sent[tag];
        if (!original) accuse(`${line.proc} was shown ${id}, which nobody wrote`);
        else if (original.crc !== crc) accuse(`the text of message ${tag} is not what was sent`);
        else if (original.from !== from || original.conversation !== conversation)
          accuse(`message ${tag} was shown to ${line.proc} in another conversation, or as another person's`);
      }
      if (line.f === 'model') twice(line.val.rows, `on ${line.proc}`);
    },
    end() {
      for (const [conversation, person] of sides(roster)) {
        const rows = finals.paged(conversation, person).map(([id, , tag]) => [id, tag] as const);
        twice(rows, `for person ${person}`);
      }
      for (const [tag, tries] of mayBeThere) {
        const place = finals.placeOf(tag);
        if (tries === 0 && place !== undefined) accuse(`message ${tag} was refused each time and stands at ${place}`);
      }
    },
  };
}

/** I3: one order for everybody: 1, 2, 3 …, and a message keeps its id and its place wherever it is shown. */
export function oneOrder({ roster, finals, accuse }: MessageCheckDeps): Check {
  const byPlace = new Map<number, { id: string; tag: number }>();
  const placeOf = new Map<number, number>();
  return {
    see(event) {
      for (const { conversation, row } of shownBy(event, roster)) {
        if (conversation === undefined) continue;
        const [id, seq, tag] = row;
        const before = byPlace.getOrInsert(conversation * 2 ** 24 + seq, { id, tag });
        if (before.id !== id || before.tag !== tag)
          accuse(
            `seq ${seq} of conversation ${conversation} was message ${before.tag} (${before.id}), then ${tag} (${id}) for ${event.line.proc} (${event.line.f})`,
          );
        const place = placeOf.getOrInsert(tag, seq);
        if (place !== seq)
          accuse(`message ${tag} stood at ${place}, then at ${seq} for ${event.line.proc} (${event.line.f})`);
      }
    },
    end() {
      for (const [conversation, [one, other]] of roster.conversations.entries()) {
        const lists = [
          finals.paged(conversation, one),
          finals.paged(conversation, other),
          finals.synced(conversation, one),
          finals.synced(conversation, other),
        ];
        for (const list of lists) {
          const hole = list.findIndex(([, seq], i) => seq !== i + 1);
          if (hole >= 0) accuse(`conversation ${conversation} has seq ${list[hole]?.[1]} in place ${hole + 1}`);
        }
        const [first, ...rest] = lists.map((list) => list.map(([id]) => id).join());
        if (rest.some((list) => list !== first)) accuse(`conversation ${conversation} is not the same for both sides`);
      }
    },
  };
}

/** I4: what a client writes stands behind everything that it had seen of the conversation when it began to write. */
export function sessionOrder({ roster, finals, accuse }: MessageCheckDeps): Check {
  const seen = new Map<string, number>();
  const floors: (number | undefined)[] = [];
  return {
    see(event) {
      const { line, person } = event;
      if (line.f === 'send' && line.type === 'invoke') {
        const at = `${line.proc} ${roster.conversation(person, line.args.to)}`;
        floors[line.args.tag] ??= seen.get(at) ?? 0;
      }
      for (const { conversation, row } of shownBy(event, roster)) {
        const at = `${line.proc} ${conversation}`;
        if (row[1] > (seen.get(at) ?? 0)) seen.set(at, row[1]);
      }
    },
    end() {
      for (const [tag, floor] of floors.entries()) {
        const place = finals.placeOf(tag);
        if (place !== undefined && floor !== undefined && place <= floor)
          accuse(`message ${tag} stands at ${place}, before ${floor}, which its writer had seen`);
      }
    },
  };
}

/** I6: every answer to sync goes on where the client stood, without a hole; what clients show at the end is the store. */
export function liveAndSyncAreTheStore({ roster, finals, accuse }: MessageCheckDeps): Check {
  const models: { proc: string; person: number; peer: number; ids: string[] }[] = [];
  const writers = new Map<string, Set<number>>();
  /** The last place that anybody was told of, by conversation. */
  const told = new Map<number, { seq: number; proc: string }>();
  return {
    see({ line, person, args }) {
      if (line.f === 'model')
        models.push({ proc: line.proc, person, peer: line.val.peer, ids: line.val.rows.map(([id]) => id) });
      if (line.f === 'send' && line.type === 'ok') {
        const peers = writers.get(line.proc) ?? new Set();
        writers.set(line.proc, peers.add((args as Operations['send']['args']).to));
      }
      if (line.f !== 'sync' || line.type !== 'ok') return;
      const { known } = args as Operations['sync']['args'];
      for (const { peer, rows, lastSeq } of line.val.threads) {
        const from = known[peer] ?? 0;
        const conversation = roster.conversation(person, peer);
        if (conversation !== undefined && lastSeq > (told.get(conversation)?.seq ?? 0))
          told.set(conversation, { seq: lastSeq, proc: line.proc });
        const hole = rows.findIndex(([, seq], i) => seq !== from + i + 1);
        if (hole >= 0) accuse(`sync told ${line.proc} seq ${rows[hole]?.[1]} where ${from + hole + 1} was missing`);
        if (line.val.complete && from + rows.length < lastSeq)
          accuse(`sync told ${line.proc} that it had all, ${lastSeq - from - rows.length} messages before the end`);
      }
    },
    end() {
      for (const { proc, person, peer, ids } of models) {
        const conversation = roster.conversation(person, peer);
        const store = conversation === undefined ? [] : finals.paged(conversation, person);
        const wrong = store.findIndex(([id], i) => id !== ids[i]);
        if (wrong >= 0)
          accuse(`${proc} shows ${ids[wrong] ?? 'nothing'} at ${wrong + 1}, the store has ${store[wrong]?.[0]}`);
        else if (ids.length > store.length) accuse(`${proc} shows ${ids[store.length]}, which the store has not`);
        writers.get(proc)?.delete(peer);
      }
      for (const [conversation, { seq, proc }] of told) {
        const { length } = finals.paged(conversation, (roster.conversations[conversation] as [number, number])[0]);
        if (seq > length)
          accuse(`sync told ${proc} of seq ${seq} in conversation ${conversation}, the store has ${length}`);
      }
      for (const [proc, peers] of writers)
        for (const peer of peers) accuse(`nobody knows what ${proc} shows of its conversation with ${peer}`);
    },
  };
}

/** I10: nobody is shown anything of a conversation that is not theirs. */
export function ownConversationsOnly({ roster, accuse }: Pick<MessageCheckDeps, 'roster' | 'accuse'>): Check {
  return {
    see(event) {
      const { line, person } = event;
      for (const { conversation, peer, row } of shownBy(event, roster)) {
        if (conversation === undefined || (row[3] !== person && row[3] !== peer))
          accuse(`${line.proc} was shown ${row[0]} of a conversation that it is not in (${line.f})`);
      }
      const named = line.type !== 'ok' ? [] : line.f === 'list' ? line.val : line.f === 'sync' ? line.val.threads : [];
      for (const { peer } of named) {
        if (roster.conversation(person, peer) === undefined)
          accuse(`${line.proc} was told of a conversation with ${peer} (${line.f}), and has none`);
      }
      if (line.f !== 'typing' && line.f !== 'read_receipt' && line.f !== 'delivered_receipt') return;
      if (roster.conversation(person, line.val.peer) === undefined)
        accuse(`${line.proc} heard a ${line.f} of ${line.val.peer}, with whom it has no conversation`);
    },
    end() {},
  };
}
