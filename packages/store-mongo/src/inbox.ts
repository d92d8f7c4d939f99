import type { Entry } from '@duet/core';
import { type Database, duplicates, MAX_UPDATES } from './database.ts';
import { type InboxDocument, rowId } from './schemas.ts';

/** What of an entry its rows show. */
export type Listed = Pick<Entry, 'conversation' | 'seq' | 'sender' | 'receiver' | 'createdAt' | 'hidden'>;

const isHiddenFrom = (user: string, { hidden, receiver }: Listed): boolean => hidden === true && user === receiver;

/**
 * One user's row, made if need be and moved up its list. Time and place only rise, so the order in which nodes do this
 * does not matter, and doing it twice changes nothing. What is hidden from him makes no row and moves none: of that it
 * notes the place alone, so that whoever looks for the log's end begins there.
 */
function bumpOf(user: string, entry: Listed) {
  const { conversation, sender, receiver, createdAt: lastAt, seq: lastSeq } = entry;
  const filter = { _id: rowId(user, conversation), user };
  if (isHiddenFrom(user, entry)) return { updateOne: { filter, update: { $max: { lastSeq } } } };
  const peer = user === sender ? receiver : sender;
  const update = { $max: { lastAt, lastSeq }, $setOnInsert: { conversation, peer } };
  return { updateOne: { filter, update, upsert: true } };
}

/** Updates of the rows that these entries concern, by the newest entry for each, and the newest that is hidden from him. */
function bumpsOf(appended: Iterable<{ entry: Listed }>) {
  const newest = new Map<string, [user: string, entry: Listed]>();
  for (const { entry } of appended) {
    for (const user of [entry.sender, entry.receiver]) {
      const key = `${rowId(user, entry.conversation)}:${isHiddenFrom(user, entry)}`;
      if (entry.seq > (newest.get(key)?.[1].seq ?? 0)) newest.set(key, [user, entry]);
    }
  }
  return [...newest.values()].map((row) => bumpOf(...row));
}

/** Brings both users' rows up to each of these entries. */
export async function bumpInbox(database: Database, appended: Iterable<{ entry: Listed }>): Promise<void> {
  const collection = database.collection<InboxDocument>('inbox');
  const bumps = bumpsOf(appended);

  /**
   * Two first messages of a conversation race for its rows; the loser finds them when it tries again. All go again: of
   * unordered updates FerretDB 1.24 makes none behind the first that is refused, and calls that one the first of all.
   */
  async function write(updates: typeof bumps): Promise<void> {
    // Each of them can lose once.
    for (let lost = 0; ; lost++) {
      try {
        await collection.bulkWrite(updates, { ordered: false });
        return;
      } catch (error) {
        duplicates(error);
        if (lost === updates.length) throw error;
      }
    }
  }

  for (let start = 0; start < bumps.length; start += MAX_UPDATES) await write(bumps.slice(start, start + MAX_UPDATES));
}
