import type { Appended, Draft, Entry, MessageStore } from '@duet/core';
import { nextEntry } from '@duet/core';
import { BOUNDED, type Database, duplicates, TIMEOUT_MS } from './database.ts';
import { bumpInbox } from './inbox.ts';
import type { MessageDocument } from './schemas.ts';
import { createTails } from './tails.ts';

/** A draft and where its result goes. */
interface Pending {
  draft: Draft;
  done: (appended: Appended) => void;
}

const toEntry = ({ _id, ...entry }: MessageDocument): Entry => ({ id: _id, ...entry });
const toDocument = ({ id: _id, ...entry }: Entry): MessageDocument => ({ _id, ...entry });

export function createMessages(database: Database): MessageStore {
  const collection = () => database.collection<MessageDocument>('messages');
  const append = createAppend(database);

  return {
    append: (drafts) => database.answer(() => append(drafts)),
    page: ({ conversation, before = Number.MAX_SAFE_INTEGER, after, skip = 0, limit }) =>
      database.answer(async () => {
        // To MongoDB a limit of 0 is none.
        if (limit === 0) return [];
        const seq = { $lt: before, ...(after === undefined ? {} : { $gt: after }) };
        const documents = await collection()
          .find({ conversation, seq }, BOUNDED)
          .sort({ seq: after === undefined ? -1 : 1 })
          .skip(skip)
          .limit(limit)
          .toArray();
        return (after === undefined ? documents.reverse() : documents).map(toEntry);
      }),
    get: (places) =>
      database.answer(async () => {
        const found = await Promise.all(
          places.map(({ conversation, seq }) => collection().findOne({ conversation, seq }, BOUNDED)),
        );
        return found.filter((document) => document !== null).map(toEntry);
      }),
  };
}

/**
 * Compare-and-set against the unique index (conversation, seq), as one group commit: the conversations of a group are
 * written side by side, the drafts of one conversation one behind the other, so that none stands without the one before.
 */
function createAppend(database: Database): (drafts: Draft[]) => Promise<Appended[]> {
  const collection = () => database.collection<MessageDocument>('messages');
  const tails = createTails(database);

  /** Lets each pending draft know its fate as far as it is known. @returns those that another writer was faster than */
  async function settle(chain: Pending[], entries: Entry[], refused: number): Promise<Pending[]> {
    for (const [i, { done }] of chain.slice(0, refused).entries()) done({ entry: entries[i] as Entry, fresh: true });
    const [lost, ...rest] = chain.slice(refused);
    const inserted = entries[refused - 1];
    if (!lost) {
      if (inserted) tails.set(inserted);
      return [];
    }
    // Which of the two indexes refused it is found by reading: the error's text is nobody's contract.
    const { conversation, sender, tempId } = lost.draft;
    const stored = await collection().findOne({ conversation, sender, tempId }, BOUNDED);
    if (stored) lost.done({ entry: toEntry(stored), fresh: false });
    tails.forget(conversation);
    return stored ? rest : [lost, ...rest];
  }

  /** The entries that drafts become behind the tail of their conversation. */
  async function place(chain: Pending[]): Promise<Entry[]> {
    let tail = await tails.get(chain[0]?.draft.conversation as string);
    return chain.map(({ draft }) => (tail = nextEntry(draft, tail)));
  }

  /** Ordered: it stops at the first that is refused, so a hole is never left. */
  async function appendChain(chain: Pending[], deadline: number): Promise<void> {
    for (let rest = chain; rest.length > 0; ) {
      if (performance.now() > deadline) throw new Error('other writers were faster all the time');
      const entries = await place(rest);
      rest = await settle(rest, entries, await insert(entries, true).then(([first = entries.length]) => first));
    }
  }

  /** The first drafts of many conversations, in one command. */
  async function appendSingles(singles: Pending[], deadline: number): Promise<void> {
    const entries = (await Promise.all(singles.map((single) => place([single])))).flat();
    const refused = new Set(await insert(entries, false));
    await Promise.all(
      singles.map(async (single, i) => {
        const rest = await settle([single], [entries[i] as Entry], refused.has(i) ? 0 : 1);
        await appendChain(rest, deadline);
      }),
    );
  }

  /** @returns the indexes of the entries that a unique index refused */
  async function insert(entries: Entry[], ordered: boolean): Promise<number[]> {
    try {
      await collection().insertMany(entries.map(toDocument), { ordered });
      return [];
    } catch (error) {
      for (const { conversation } of entries) tails.forget(conversation);
      return duplicates(error);
    }
  }

  return async (drafts) => {
    const results: Appended[] = [];
    const chains = new Map<string, Pending[]>();
    for (const [i, draft] of drafts.entries()) {
      const pending: Pending = { draft, done: (appended) => (results[i] = appended) };
      const chain = chains.get(draft.conversation);
      if (chain) chain.push(pending);
      else chains.set(draft.conversation, [pending]);
    }
    const deadline = performance.now() + TIMEOUT_MS;
    const singles = [...chains.values()].filter(({ length }) => length === 1).flat();
    await Promise.all([
      ...(singles.length > 0 ? [appendSingles(singles, deadline)] : []),
      ...[...chains.values()].filter(({ length }) => length > 1).map((chain) => appendChain(chain, deadline)),
    ]);
    const newest = new Map<string, Entry>();
    for (const { entry } of results) {
      if (entry.seq > (newest.get(entry.conversation)?.seq ?? 0)) newest.set(entry.conversation, entry);
    }
    await bumpInbox(database, newest.values());
    return results;
  };
}
