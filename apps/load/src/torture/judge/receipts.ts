import type { Marks, Operations, Row } from '../history.ts';
import { type Accuse, type Check, type Event, type Finals, isFinal, type Roster } from './roster.ts';

export interface ReceiptCheckDeps {
  roster: Roster;
  finals: Finals;
  accuse: Accuse;
}

interface Claim {
  peer: number;
  marks?: Marks | undefined;
  unread?: number;
}

/** What a reading says of marks and unread messages. */
function claims({ line, args }: Event): Claim[] {
  if (line.type !== 'ok') return [];
  if (line.f === 'list') return line.val;
  if (line.f === 'sync') return line.val.threads;
  if (line.f === 'page') return [{ peer: (args as Operations['page']['args']).peer, marks: line.val.marks }];
  return [];
}

/** Messages of the peer that lie behind a mark. */
const behind = (rows: Row[], peer: number, mark: number) =>
  rows.filter(([, seq, , from]) => from === peer && seq > mark).length;

/** I7: never negative; when all is quiet, unread is what lies behind the read mark, on every device and in every answer. */
export function unreadIsRight({ roster, finals, accuse }: ReceiptCheckDeps): Check {
  const last: { proc: string; person: number; claim: Claim }[] = [];
  const totals: { proc: string; person: number; unread: number }[] = [];
  const flags: { person: number; peer: number; rows: Row[]; marks: Marks }[] = [];
  return {
    see(event) {
      const { line, person, args } = event;
      for (const { peer, unread } of claims(event)) {
        if (unread !== undefined && unread < 0) accuse(`${line.proc} was told of ${unread} unread messages of ${peer}`);
      }
      if (line.f === 'conversation_read' && line.val.unread < 0)
        accuse(`${line.proc} was told of ${line.val.unread} unread`);
      if (line.type !== 'ok' || !isFinal(args)) return;
      for (const claim of claims(event)) last.push({ proc: line.proc, person, claim });
      if (line.f === 'unread') totals.push({ proc: line.proc, person, unread: line.val });
      if (line.f === 'page' && line.val.marks) {
        const { peer } = args as Operations['page']['args'];
        flags.push({ person, peer, rows: line.val.rows, marks: line.val.marks });
      }
    },
    end() {
      const sums = new Map<number, Map<number, number>>();
      for (const { proc, person, claim } of last) {
        const conversation = roster.conversation(person, claim.peer);
        if (conversation === undefined || !claim.marks || claim.unread === undefined) continue;
        const unread = behind(finals.paged(conversation, person), claim.peer, claim.marks[0]);
        if (unread !== claim.unread)
          accuse(`${proc} was told of ${claim.unread} unread messages of ${claim.peer}, ${unread} are`);
        const sum = sums.get(person) ?? new Map();
        sums.set(person, sum.set(claim.peer, unread));
      }
      for (const { proc, person, unread } of totals) {
        const sum = [...(sums.get(person)?.values() ?? [])].reduce((a, b) => a + b, 0);
        if (sum !== unread) accuse(`${proc} was told of ${unread} unread messages in all, ${sum} are`);
      }
      for (const { person, peer, rows, marks } of flags) {
        for (const [id, seq, , from, , read] of rows) {
          const isRead = seq <= (from === peer ? marks[0] : marks[1]) ? 1 : 0;
          if (read !== isRead) accuse(`person ${person} sees ${id} as ${read ? 'read' : 'unread'}, against its mark`);
        }
      }
    },
  };
}

interface Mark {
  shown: number;
  tried: number;
}
type Kind = 'read' | 'delivered';

/** I8: marks never fall, are never further than somebody has marked, and at the end all agree on them. */
export function marksOnlyRise({ roster, accuse }: ReceiptCheckDeps): Check {
  const marks = new Map<string, Mark>();
  const begun = new Map<number, Map<string, number>>();
  const last = new Map<string, { value: number; proc: string }>();

  const keyOf = (kind: Kind, person: number, peer: number) => `${kind} of ${person} with ${peer}`;
  function mark(kind: Kind, person: number, peer: number): Mark {
    const key = keyOf(kind, person, peer);
    return marks.get(key) ?? (marks.set(key, { shown: 0, tried: 0 }).get(key) as Mark);
  }
  const show = (kind: Kind, who: [number, number], seq: number) => {
    const found = mark(kind, ...who);
    found.shown = Math.max(found.shown, seq);
    // What was read has been delivered.
    if (kind === 'read') show('delivered', who, seq);
  };
  const attempt = (kind: Kind, who: [number, number], seq: number) => {
    const found = mark(kind, ...who);
    found.tried = Math.max(found.tried, seq);
    if (kind === 'read') attempt('delivered', who, seq);
  };

  /** The three marks of an answer: whose they are, and how far. */
  function* spread(
    person: number,
    peer: number,
    [mine, theirs, delivered]: Marks,
  ): Generator<[Kind, [number, number], number]> {
    yield ['read', [person, peer], mine];
    yield ['read', [peer, person], theirs];
    yield ['delivered', [peer, person], delivered];
  }

  function snapshot(person: number): Map<string, number> {
    const floor = new Map<string, number>();
    for (const [one, other] of roster.conversations) {
      if (person !== one && person !== other) continue;
      const peer = person === one ? other : one;
      for (const [kind, who] of spread(person, peer, [0, 0, 0]))
        floor.set(keyOf(kind, ...who), mark(kind, ...who).shown);
    }
    return floor;
  }

  /** A mark that was set is where it was asked to be, or further. */
  function answered(kind: Kind, who: [number, number], { seq, asked }: { seq: number; asked: number }): void {
    if (seq < asked) accuse(`${who[0]} marked ${asked} of ${who[1]} as ${kind}, and was answered with ${seq}`);
    show(kind, who, seq);
  }

  /** A receipt in whichever form: never beyond what was marked. */
  function told(kind: Kind, who: [number, number], { seq, proc }: { seq: number; proc: string }): void {
    if (seq > mark(kind, ...who).tried)
      accuse(
        `${proc} was told of a ${kind} mark at ${seq}, ${who[0]} has marked ${mark(kind, ...who).tried} of ${who[1]}`,
      );
    show(kind, who, seq);
  }

  return {
    see(event) {
      const { line, person, args } = event;
      const { proc } = line;
      if (line.type === 'invoke') {
        if (line.f === 'read') attempt('read', [person, line.args.peer], line.args.seq);
        if (line.f === 'delivered')
          for (const [peer, seq] of line.args.marks) attempt('delivered', [person, peer], seq);
        if (line.f === 'page' || line.f === 'sync' || line.f === 'list') begun.set(line.i, snapshot(person));
        return;
      }
      if (line.f === 'read_receipt') told('read', [line.val.peer, person], { seq: line.val.seq, proc });
      if (line.f === 'delivered_receipt') told('delivered', [line.val.peer, person], { seq: line.val.seq, proc });
      if (line.f === 'conversation_read') told('read', [person, line.val.peer], { seq: line.val.seq, proc });
      const floor = begun.get(line.i);
      begun.delete(line.i);
      if (line.type !== 'ok') return;
      if (line.f === 'read') {
        const { peer, seq } = args as Operations['read']['args'];
        answered('read', [person, peer], { seq: line.val.seq, asked: seq });
      }
      if (line.f === 'delivered') {
        const asked = new Map((args as Operations['delivered']['args']).marks);
        for (const [peer, seq] of line.val) answered('delivered', [person, peer], { seq, asked: asked.get(peer) ?? 0 });
      }
      for (const { peer, marks: claimed } of claims(event)) {
        if (!claimed) continue;
        for (const [kind, who, seq] of spread(person, peer, claimed)) {
          const before = floor?.get(keyOf(kind, ...who)) ?? 0;
          if (seq < before)
            accuse(`the ${kind} mark of ${who[0]} fell from ${before} to ${seq} (${line.f} of ${proc})`);
          told(kind, who, { seq, proc });
          if (isFinal(args)) agree(keyOf(kind, ...who), { value: seq, proc });
        }
      }
    },
    end() {},
  };

  function agree(key: string, claim: { value: number; proc: string }): void {
    const other = last.get(key);
    if (other && other.value !== claim.value)
      accuse(`the ${key} is ${other.value} for ${other.proc} and ${claim.value} for ${claim.proc}, when all is quiet`);
    last.set(key, claim);
  }
}
