import type { Line, Operations, Row, SyncedThread } from '../history.ts';

/** A line and who it belongs to. */
export interface Event {
  line: Line;
  /** -1 for the run itself. */
  person: number;
  /** What was asked for, when this is a question or its answer, and when it was. */
  args: unknown;
  askedAt: number;
}

/** Who there is, and who talks with whom: said at the head of a history. */
export interface Roster {
  /** The number of the conversation of two people; undefined when they have none. */
  conversation(a: number, b: number): number | undefined;
  /** All conversations: the two people of each. */
  conversations: [number, number][];
  people(): number;
}

/** Joins completions with their invocations, and keeps the roster. */
export function createReader(): { roster: Roster; read(line: Line): Event } {
  const numbers = new Map<number, number>();
  const conversations: [number, number][] = [];
  const open = new Map<number, { args: unknown; t: number }>();
  let people = 0;
  const key = (a: number, b: number) => Math.min(a, b) * 65_536 + Math.max(a, b);
  return {
    roster: { conversation: (a, b) => numbers.get(key(a, b)), conversations, people: () => people },
    read(line) {
      if (line.f === 'person') people = Math.max(people, line.val.person + 1);
      if (line.f === 'conversation') {
        numbers.set(key(...line.val.users), conversations.length);
        conversations.push(line.val.users);
      }
      if (line.type === 'invoke') open.set(line.i, { args: line.args, t: line.t });
      const asked = open.get(line.i);
      if (line.type !== 'invoke') open.delete(line.i);
      const person = line.proc === '' ? -1 : Number(line.proc.split('.', 1)[0]);
      return { line, person, args: asked?.args, askedAt: asked?.t ?? line.t };
    },
  };
}

/** Whether it belongs to the last readings. */
export const isFinal = (args: unknown): boolean => (args as { final?: true } | undefined)?.final === true;

/** A message that somebody was shown. */
export interface Shown {
  /** Whose the conversation is said to be; undefined for one that this client is not in. */
  conversation: number | undefined;
  peer: number;
  row: Row;
}

/** Every message that a line shows to its client. */
export function* shownBy({ line, person, args }: Event, roster: Roster): Generator<Shown> {
  const of = (peer: number, row: Row): Shown => ({ conversation: roster.conversation(person, peer), peer, row });
  if (line.f === 'live') yield of(line.val.peer, line.val.row);
  if (line.type !== 'ok') return;
  if (line.f === 'send') yield of((args as Operations['send']['args']).to, line.val);
  if (line.f === 'page') {
    const { peer } = args as Operations['page']['args'];
    for (const row of line.val.rows) yield of(peer, row);
  }
  if (line.f === 'list') for (const { peer, last } of line.val) yield of(peer, last);
  if (line.f === 'sync') {
    for (const { peer, rows } of line.val.threads as SyncedThread[]) for (const row of rows) yield of(peer, row);
  }
}

/** Looks at a history line by line; says at its end what is wrong. */
export interface Check {
  see(event: Event): void;
  end(): void;
}

/** Gets what is wrong, in words. */
export type Accuse = (what: string) => void;

/** What everybody was shown when all was over: the truth that the rest is compared with. */
export interface Finals {
  /** The conversation as this person reads it page by page. */
  paged(conversation: number, person: number): Row[];
  /** The same by sync from nothing. */
  synced(conversation: number, person: number): Row[];
  /** Where the message with this number stands in the conversation; undefined when it is not there. */
  placeOf(tag: number): number | undefined;
}

export function createFinals(roster: Roster): Finals & Check {
  const paged = new Map<number, Row[]>();
  const synced = new Map<number, Row[]>();
  const places: (number | undefined)[] = [];
  const chains = new Map<number, number>();
  const key = (conversation: number, person: number) => conversation * 65_536 + person;
  function add(to: Map<number, Row[]>, at: { conversation: number | undefined; person: number }, rows: Row[]): void {
    if (at.conversation === undefined) return;
    const all = to.get(key(at.conversation, at.person));
    if (all) all.push(...rows);
    else to.set(key(at.conversation, at.person), [...rows]);
  }
  return {
    see({ line, person, args }) {
      if (line.type !== 'ok' || !isFinal(args)) return;
      if (line.f === 'page') {
        const { peer } = args as Operations['page']['args'];
        add(paged, { conversation: roster.conversation(person, peer), person }, line.val.rows);
      }
      if (line.f === 'sync') {
        const { chain } = args as Operations['sync']['args'];
        // Another chain: the one before did not get to its end.
        if (chains.get(person) !== chain)
          for (const conversation of roster.conversations.keys()) synced.delete(key(conversation, person));
        chains.set(person, chain);
        for (const { peer, rows } of line.val.threads)
          add(synced, { conversation: roster.conversation(person, peer), person }, rows);
      }
    },
    end() {
      for (const [conversation, [person]] of roster.conversations.entries()) {
        for (const [, seq, tag] of paged.get(key(conversation, person)) ?? []) places[tag] ??= seq;
      }
    },
    paged: (conversation, person) => paged.get(key(conversation, person)) ?? [],
    synced: (conversation, person) => synced.get(key(conversation, person)) ?? [],
    placeOf: (tag) => places[tag],
  };
}
