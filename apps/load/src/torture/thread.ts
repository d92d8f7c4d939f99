import type { Marks, Row } from './history.ts';

/** What a client shows of one conversation: the messages from the first one on without a hole, and the marks. */
export interface Thread {
  peer: number;
  /** The message at seq n stands at n - 1. */
  rows: Row[];
  marks: Marks;
  /** Takes a message from wherever it came. @returns false when one before it is missing */
  take(row: Row): boolean;
  /** Marks only rise, in whichever order news of them comes. */
  raise(marks: Marks): void;
  /** The newest message of the peer, up to `seq`. */
  lastOfPeer(seq?: number): Row | undefined;
}

export function createThread(peer: number): Thread {
  const rows: Row[] = [];
  const ahead = new Map<number, Row>();
  const marks: Marks = [0, 0, 0];
  return {
    peer,
    rows,
    marks,
    take(row) {
      const [, seq] = row;
      if (seq <= rows.length) return true;
      ahead.set(seq, row);
      for (let next = ahead.get(rows.length + 1); next; next = ahead.get(rows.length + 1)) {
        ahead.delete(rows.length + 1);
        rows.push(next);
      }
      return ahead.size === 0;
    },
    raise(other) {
      for (const [i, mark] of other.entries()) marks[i] = Math.max(marks[i] as number, mark);
    },
    lastOfPeer: (seq = rows.length) => rows.slice(0, seq).findLast(([, , , from]) => from === peer),
  };
}
