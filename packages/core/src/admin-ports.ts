/** What operators need beside running nodes. The law of `ports.ts` holds here as well. */
import type { Entry, RowKey } from './ports.ts';

type LastEntry = Pick<Entry, 'seq' | 'sent' | 'createdAt'>;
/** A conversation as its log alone tells it. */
export interface LogSummary {
  conversation: string;
  users: [low: string, high: string];
  /** How many entries there are up to the last one. */
  entries: number;
  /** How many of them are hidden from their receiver, and counted nowhere. */
  hidden: number;
  last: LastEntry;
}
/** A row of the inbox as it is stored, and the last entry of its log that it has to show; undefined: there is no log. */
export interface StoredRow extends RowKey {
  peer: string;
  /** By which it is listed. */
  lastAt: number;
  readN: number;
  deliveredN: number;
  last: LastEntry | undefined;
}
/**
 * What a row should say. Watermarks are only ever lowered to it, the time only raised. A watermark that is not named is
 * not wrong, and what is read meanwhile stays.
 */
export type RightRow = RowKey &
  Pick<StoredRow, 'peer' | 'lastAt'> &
  Partial<Pick<StoredRow, 'readN' | 'deliveredN'>> & { lastSeq: number };

/** For operators beside running nodes. It walks over everything, which nothing that a user waits for may do. */
export interface AdminStore {
  /** About how much there is. */
  counts(): Promise<{ users: number; sessions: number; conversations: number; messages: number }>;
  /** Logs by conversation, those greater than `after`. */
  logs(query: { after?: string; limit: number }): Promise<LogSummary[]>;
  /** Rows by (user, conversation), those greater than `after`; or those that exist among `keys`, in any order. */
  rows(query: { after?: RowKey; limit: number } | { keys: RowKey[] }): Promise<StoredRow[]>;
  /**
   * Makes or corrects these rows, removes those others unless somebody has written there by now. Safe to repeat, to break
   * off, and beside nodes that write.
   */
  repair(rows: { right: RightRow[]; gone: RowKey[] }): Promise<void>;
  /** Empties what `sender` has written in a conversation; the entries keep their places. @returns how many they are */
  erase(query: { conversation: string; sender: string }): Promise<number>;
}

/** A node as the others see it. */
export interface NodeStatus {
  name: string;
  alive: boolean;
  /** How many sockets it has registered. */
  sockets: number;
}

/** For operators: which nodes there are. Joins nothing. */
export interface ClusterView {
  /** @throws DuetError UNAVAILABLE when that cannot be known now */
  nodes(): Promise<NodeStatus[]>;
  close(): Promise<void>;
}
