import type { AdminStore, LogSummary, RightRow, StoredRow } from './admin-ports.ts';
import { conversationOf } from './conversation.ts';
import { pages } from './pages.ts';
import type { Clock, RowKey } from './ports.ts';

/** Logs and rows looked at together. */
const PAGE = 200;
/** A node may be between an insert and the rows that belong to it; longer than that nobody waits for a store. */
const SETTLED_MS = 6_000;
const LARGEST = 10;
const DAY_MS = 24 * 3_600_000;

/** What is wrong with a row or a log. Only rows can be repaired: a log is the truth itself. */
export type Finding =
  | { what: 'row missing' | 'row without log' | 'wrong peer' | 'listed too low' | 'marked too far'; row: RowKey }
  | { what: 'log has a hole' | 'log is miscounted'; conversation: string };
type RowFinding = Extract<Finding, { row: RowKey }>;

interface Suspect {
  row: RowKey;
  /** What the row should say, as far as its log was known then; undefined: there should be none. */
  right: RightRow | undefined;
  what: RowFinding['what'];
}

export interface InboxAdminDeps {
  admin: AdminStore;
  clock: Pick<Clock, 'now'>;
  pause: (ms: number) => Promise<void>;
}

const isPair = (peer: string, { user, conversation }: RowKey): boolean =>
  peer !== user && conversationOf(user, peer).id === conversation;

/** How many messages `peer` has sent to `user`. */
const sentTo = (user: string, peer: string, { sent: [low, high] }: LogSummary['last']): number =>
  peer < user ? low : high;

const rowOf = (user: string, peer: string, { conversation, last }: LogSummary): RightRow => ({
  user,
  conversation,
  peer,
  lastAt: last.createdAt,
  lastSeq: last.seq,
});

/** @param last the log's end, as it was at the first look */
function suspect(row: StoredRow, last: StoredRow['last'], peerOf: (row: RowKey) => string | undefined): Suspect[] {
  const { user, conversation } = row;
  const key = { user, conversation };
  if (!last) return [{ row: key, right: undefined, what: 'row without log' }];
  const peer = isPair(row.peer, row) ? row.peer : peerOf(row);
  // Nobody's log: whoever is not one of the two has no row in it.
  if (peer === undefined) return [{ row: key, right: undefined, what: 'wrong peer' }];
  const most = sentTo(user, peer, row.last ?? last);
  const right: RightRow = {
    ...key,
    peer,
    lastAt: last.createdAt,
    lastSeq: (row.last ?? last).seq,
    ...(row.readN > most && { readN: most }),
    ...(row.deliveredN > most && { deliveredN: most }),
  };
  if (peer !== row.peer) return [{ row: key, right, what: 'wrong peer' }];
  if (row.readN > most || row.deliveredN > most) return [{ row: key, right, what: 'marked too far' }];
  if (row.lastAt < last.createdAt) return [{ row: key, right, what: 'listed too low' }];
  return [];
}

const keyOf = ({ user, conversation }: RowKey): string => `${user} ${conversation}`;

/** Compares the inbox with the logs, beside nodes that write. */
export function createInboxAdmin({ admin, clock, pause }: InboxAdminDeps) {
  const logs = () =>
    pages(
      '',
      (after) => admin.logs({ after, limit: PAGE }),
      ({ conversation }) => conversation,
    );
  const rows = () =>
    pages<StoredRow, RowKey | undefined>(
      undefined,
      (after) => admin.rows(after ? { after, limit: PAGE } : { limit: PAGE }),
      ({ user, conversation }) => ({ user, conversation }),
    );

  /** Both sides of these conversations, against the rows that are there. */
  async function sidesOf(page: LogSummary[]): Promise<Suspect[]> {
    // Where all is hidden, whoever has blocked the other one has no row.
    const sides = page
      .filter(({ entries, hidden }) => hidden < entries)
      .flatMap((log) => {
        const [low, high] = log.users;
        return [rowOf(low, high, log), rowOf(high, low, log)];
      });
    const found = new Map((await admin.rows({ keys: sides })).map((row) => [keyOf(row), row]));
    return sides.flatMap((right): Suspect[] => {
      const row = found.get(keyOf(right));
      const { user, conversation } = right;
      if (!row) return [{ row: { user, conversation }, right, what: 'row missing' }];
      return suspect(row, row.last, () => right.peer);
    });
  }

  function damage({ conversation, entries, hidden, last }: LogSummary): Finding[] {
    if (entries !== last.seq) return [{ what: 'log has a hole', conversation }];
    return last.sent[0] + last.sent[1] + hidden === last.seq ? [] : [{ what: 'log is miscounted', conversation }];
  }

  /** Those that are still wrong, when whoever was writing then must be done. */
  async function confirmed(suspects: Suspect[]): Promise<Suspect[]> {
    if (suspects.length === 0) return [];
    await pause(SETTLED_MS);
    const still: Suspect[] = [];
    for (let start = 0; start < suspects.length; start += PAGE) {
      const some = suspects.slice(start, start + PAGE);
      const now = new Map((await admin.rows({ keys: some.map(({ row }) => row) })).map((row) => [keyOf(row), row]));
      for (const one of some) {
        const row = now.get(keyOf(one.row));
        if (!row) still.push(...(one.what === 'row missing' ? [one] : []));
        else if (one.right === undefined) still.push(...(row.last && isPair(row.peer, row) ? [] : [one]));
        else {
          const { peer, lastAt: createdAt } = one.right;
          still.push(...suspect(row, row.last && { ...row.last, createdAt }, () => peer));
        }
      }
    }
    return still;
  }

  async function look() {
    const suspects = new Map<string, Suspect>();
    const broken: Finding[] = [];
    const looked = { conversations: 0, rows: 0 };
    for await (const page of logs()) {
      looked.conversations += page.length;
      broken.push(...page.flatMap(damage));
      for (const one of await sidesOf(page)) suspects.set(keyOf(one.row), one);
    }
    for await (const page of rows()) {
      looked.rows += page.length;
      for (const row of page) {
        if (suspects.has(keyOf(row))) continue;
        for (const one of suspect(row, row.last, () => undefined)) suspects.set(keyOf(one.row), one);
      }
    }
    return { looked, broken, wrong: await confirmed([...suspects.values()]) };
  }

  const findings = (broken: Finding[], wrong: Suspect[]): Finding[] => [
    ...broken,
    ...wrong.map(({ what, row }) => ({ what, row })),
  ];

  return {
    /** What does not agree. Reads everything once. */
    async check() {
      const { looked, broken, wrong } = await look();
      return { ...looked, findings: findings(broken, wrong) };
    },

    /** Makes the rows what the logs say. @returns what was wrong, and what still is: logs are nobody's to mend */
    async repair() {
      const { looked, broken, wrong } = await look();
      for (let start = 0; start < wrong.length; start += PAGE) {
        const some = wrong.slice(start, start + PAGE);
        await admin.repair({
          right: some.flatMap(({ right }) => right ?? []),
          gone: some.flatMap(({ right, row }) => (right ? [] : [row])),
        });
      }
      return { ...looked, findings: findings(broken, wrong), repaired: wrong.length };
    },

    /** How many conversations there are, how long, and how many of them live. */
    async statistics() {
      const now = clock.now();
      const count = {
        conversations: 0,
        messages: 0,
        oneSided: 0,
        activeToday: 0,
        activeThisWeek: 0,
        activeThisMonth: 0,
      };
      let largest: { conversation: string; users: string[]; messages: number }[] = [];
      for await (const page of logs()) {
        for (const { last } of page) {
          const age = now - last.createdAt;
          count.conversations += 1;
          count.messages += last.seq;
          if (last.sent.includes(0)) count.oneSided += 1;
          if (age < DAY_MS) count.activeToday += 1;
          if (age < 7 * DAY_MS) count.activeThisWeek += 1;
          if (age < 30 * DAY_MS) count.activeThisMonth += 1;
        }
        const here = page.map(({ conversation, users, last }) => ({ conversation, users, messages: last.seq }));
        largest = [...largest, ...here].toSorted((a, b) => b.messages - a.messages).slice(0, LARGEST);
      }
      return { ...count, mean: count.messages / Math.max(1, count.conversations), largest };
    },
  };
}
