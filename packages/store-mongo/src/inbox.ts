import type { Entry } from '@duet/core';
import { type Database, duplicates, MAX_UPDATES } from './database.ts';
import { type InboxDocument, rowId } from './schemas.ts';

/** What of an entry its rows show. */
export type Listed = Pick<Entry, 'conversation' | 'seq' | 'sender' | 'receiver' | 'createdAt' | 'hidden'>;

/**
 * One user's row, made if need be and moved up its list. The time only rises, so the order in which nodes do this does
 * not matter, and doing it twice changes nothing.
 */
function bumpOf(user: string, peer: string, entry: Listed) {
  const { conversation, createdAt } = entry;
  return {
    updateOne: {
      filter: { _id: rowId(user, conversation), user },
      update: {
        $max: { lastAt: createdAt },
        $setOnInsert: { conversation, peer },
      },
      upsert: true,
    },
  };
}

/** The newest entry for each row that these entries concern: of what is hidden the receiver's knows nothing. */
function newestOf(appended: Iterable<{ entry: Listed }>) {
  const newest = new Map<string, [user: string, peer: string, entry: Listed]>();
  for (const { entry } of appended) {
    const { sender, receiver, conversation } = entry;
    const sides = entry.hidden ? [sender] : [sender, receiver];
    for (const user of sides) {
      const row = rowId(user, conversation);
      if (entry.seq > (newest.get(row)?.[2].seq ?? 0))
        newest.set(row, [user, user === sender ? receiver : sender, entry]);
    }
  }
  return [...newest.values()];
}

/** Brings both users' rows up to each of these entries. */
export async function bumpInbox(database: Database, appended: Iterable<{ entry: Listed }>): Promise<void> {
  const collection = database.collection<InboxDocument>('inbox');
  const bumps = newestOf(appended).map((row) => bumpOf(...row));

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
