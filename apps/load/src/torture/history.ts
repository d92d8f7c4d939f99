import { closeSync, openSync, readSync, writeSync } from 'node:fs';

/**
 * A message as somebody was shown it: id, seq, the number that its sender gave it, the sender, a checksum of its text,
 * and whether it was marked as read. People and numbers are small integers, because a history has millions of them.
 */
export type Row = [id: string, seq: number, tag: number, from: number, crc: number, read: 0 | 1];

/** readSeq, peerReadSeq, peerDeliveredSeq of the contract's watermarks. */
export type Marks = [read: number, peerRead: number, peerDelivered: number];

/** What one sync told of one conversation. */
export interface SyncedThread {
  peer: number;
  rows: Row[];
  lastSeq: number;
  unread: number;
  marks: Marks;
}

/** Operations: a client asks, and hears the outcome or never does. */
export interface Operations {
  send: { args: { to: number; tag: number; crc: number }; val: Row };
  /** One request; those of one `chain` go on where the one before ended. `known` is the last seq that the client has. */
  sync: {
    args: { chain: number; known: Record<number, number>; final?: true };
    val: { threads: SyncedThread[]; complete: boolean };
  };
  /** A page of history; without `after` the newest one. */
  page: { args: { peer: number; after?: number; limit: number; final?: true }; val: { rows: Row[]; marks?: Marks } };
  /** The conversation list, whole. */
  list: { args: { final?: true }; val: { peer: number; last: Row; unread: number; marks: Marks }[] };
  unread: { args: { final?: true }; val: number };
  read: { args: { peer: number; seq: number }; val: { seq: number } };
  delivered: { args: { marks: [peer: number, seq: number][] }; val: [peer: number, seq: number][] };
  /** Who of all people is shown online. */
  presence: { args: { node: string }; val: number[] };
}

/** What happens without being asked for. */
export interface Happenings {
  person: { person: number; id: string };
  conversation: { users: [number, number] };
  connect: { transport: string };
  disconnect: { reason: string };
  refused: { code: string };
  /** A live message; `peer` is -1 when it is not one of this client's. */
  live: { peer: number; row: Row };
  read_receipt: { peer: number; seq: number };
  delivered_receipt: { peer: number; seq: number };
  conversation_read: { peer: number; seq: number; unread: number };
  typing: { peer: number };
  resync: null;
  /** What a client shows of a conversation at the end: ids and numbers, by seq from 1. */
  model: { peer: number; rows: [id: string, tag: number][] };
  /** Whoever has no connection, or has messages without an answer, long after the load has stopped. */
  unsettled: { connected: boolean; waiting: number };
  /** `healed`: the faults are over; `quiet`: the load too; `probe`: what is sent from here on is heard live; `end`. */
  phase: string;
  fault: { name: string; what: string };
  /** At the end, when every client has gone. */
  leftover: { node: string; sockets: number };
}

export type OperationName = keyof Operations;
export type HappeningName = keyof Happenings;

interface Common {
  /** The number of the operation: its completion repeats it. */
  i: number;
  /** Milliseconds on the clock of the one process that writes. */
  t: number;
  /** `person.device` of a client; empty for the run itself. */
  proc: string;
}
type Invocation = { [F in OperationName]: Common & { type: 'invoke'; f: F; args: Operations[F]['args'] } };
type Success = { [F in OperationName]: Common & { type: 'ok'; f: F; val: Operations[F]['val'] } };
/** `fail`: it has not happened. `info`: nobody knows. */
type Failure = { [F in OperationName]: Common & { type: 'fail' | 'info'; f: F; val: string } };
type Happening = { [F in HappeningName]: Common & { type: 'info'; f: F; val: Happenings[F] } };
export type Line =
  | Invocation[OperationName]
  | Success[OperationName]
  | Failure[OperationName]
  | Happening[HappeningName];

/** Written by clients alone, in the order in which they saw things happen. */
export interface History {
  invoke<F extends OperationName>(proc: string, f: F, args: Operations[F]['args']): Pending<F>;
  info<F extends HappeningName>(proc: string, f: F, val: Happenings[F]): void;
  /** Milliseconds on the history's clock. */
  now(): number;
}

/** An operation under way; one of these ends it. */
export interface Pending<F extends OperationName> {
  ok(val: Operations[F]['val']): void;
  fail(why: string): void;
  info(why: string): void;
}

/** A history that gives each line to `write`. */
export function createHistory(write: (line: Line) => void): History {
  const begin = performance.now();
  const now = () => Math.round((performance.now() - begin) * 10) / 10;
  let count = 0;
  const put = (line: Omit<Line, 't'>) => write({ ...line, t: now() } as Line);
  return {
    now,
    invoke(proc, f, args) {
      const i = count++;
      put({ i, proc, type: 'invoke', f, args } as Line);
      const end = (type: 'ok' | 'fail' | 'info') => (val: unknown) => put({ i, proc, type, f, val } as Line);
      return { ok: end('ok'), fail: end('fail'), info: end('info') };
    },
    info(proc, f, val) {
      put({ i: count++, proc, type: 'info', f, val } as Line);
    },
  };
}

const CHUNK = 256 * 1024;

/** Lines into a file, many at a time; disposing it writes the rest. */
export function createHistoryFile(path: string): { write(line: Line): void } & Disposable {
  const file = openSync(path, 'w');
  let waiting = '';
  let closed = false;
  const flush = () => {
    writeSync(file, waiting);
    waiting = '';
  };
  return {
    write(line) {
      // What clients notice after the end of a run is not of it.
      if (closed) return;
      waiting += `${JSON.stringify(line)}\n`;
      if (waiting.length > CHUNK) flush();
    },
    [Symbol.dispose]() {
      flush();
      closed = true;
      closeSync(file);
    },
  };
}

/** The lines of a file, one at a time: a history need not fit into memory. */
export function* readHistory(path: string): Generator<Line> {
  const file = openSync(path, 'r');
  const buffer = Buffer.allocUnsafe(4 * CHUNK);
  const decoder = new TextDecoder();
  let rest = '';
  try {
    for (;;) {
      const length = readSync(file, buffer);
      if (length === 0) return;
      const lines = (rest + decoder.decode(buffer.subarray(0, length), { stream: true })).split('\n');
      rest = lines.pop() as string;
      for (const line of lines) yield JSON.parse(line) as Line;
    }
  } finally {
    closeSync(file);
  }
}
