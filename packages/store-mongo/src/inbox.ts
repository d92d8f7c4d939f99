import type { Entry } from '@duet/core';
import { type Database, duplicates, MAX_UPDATES } from './database.ts';
import { type InboxDocument, rowId } from './schemas.ts';

/** Two first messages of a conversation race for its rows; the loser finds them at its next try. */
const MAX_TRIES = 5;

/**
 * One user's row, made if need be and moved up its list. The time only rises, so the order in which nodes do this does
 * not matter, and doing it twice changes nothing.
 */
function bumpOf(user: string, peer: string, entry: Entry) {
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

/** Brings both users' rows up to each of these entries. */
export async function bumpInbox(database: Database, entries: Iterable<Entry>): Promise<void> {
  const collection = database.collection<InboxDocument>('inbox');
  const bumps = [...entries].flatMap((entry) => [
    bumpOf(entry.sender, entry.receiver, entry),
    bumpOf(entry.receiver, entry.sender, entry),
  ]);

  async function write(updates: typeof bumps, tries = 1): Promise<void> {
    try {
      await collection.bulkWrite(updates, { ordered: false });
    } catch (error) {
      const again = duplicates(error).flatMap((index) => updates[index] ?? []);
      if (tries === MAX_TRIES) throw error;
      await write(again, tries + 1);
    }
  }

  for (let start = 0; start < bumps.length; start += MAX_UPDATES) await write(bumps.slice(start, start + MAX_UPDATES));
}
