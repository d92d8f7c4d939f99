import type { Appended, Draft, Entry, MessageStore, ReadOptions, Tail } from '@duet/core';
import { MAX_GROUP, nextEntry } from '@duet/core';
import { BOUNDED, TIMEOUT_MS } from './bounds.ts';
import { type Database, duplicates } from './database.ts';
import { bumpInbox } from './inbox.ts';
import { createPages } from './pages.ts';
import { type MessageDocument, toDocument, toEntry } from './schemas.ts';
import { createTails, type Place, readPlaces, readTail, visibleTo } from './tails.ts';
import { createTogether } from './together.ts';

/** A draft and where its result goes. */
interface Pending {
  draft: Draft;
  done: (appended: Appended) => void;
}

/** Drafts of one conversation that are yet to be stored, in their order. */
interface Chain {
  conversation: string;
  pending: Pending[];
  /** Where the first of them was refused, and how often. */
  refused?: Refused;
}

interface Refused {
  seq: number;
  times: number;
  /** What stands there and behind it, when that has been read. */
  tail?: Tail;
}

/** Drafts whose first has been refused as often as that may be repeats. */
const LOOK_AT = 3;

/**
 * The most that one ordered insert holds. FerretDB 1.24 forgets at each hundredth document that it should have stopped, and
 * stores what is behind a refused one: a hole for ever.
 */
const ORDERED_AT_ONCE = 100;

/** What no two messages of a conversation share. */
const nameOf = ({ sender, tempId }: Pick<Draft, 'sender' | 'tempId'>) => `${sender} ${tempId}`;

export function createMessages(database: Database): MessageStore {
  const append = createAppend(database);
  const page = createPages(database);
  const placesTogether = createTogether();

  return {
    append: (drafts) => database.answer(() => append(drafts)),
    page: ({ before = Number.MAX_SAFE_INTEGER, after, limit, ...query }) =>
      database.answer(async () => {
        // To MongoDB a limit of 0 is none.
        if (limit === 0) return [];
        const documents = await page({ ...query, before, after, limit });
        return (after === undefined ? documents.reverse() : documents).map(toEntry);
      }),
    get: (places, { sure = false }: ReadOptions = {}) =>
      database.answer(async () => {
        const one = ({ conversation, seq }: Place) =>
          database.read(() => database.first<MessageDocument>('messages', { filter: { conversation, seq }, sure }));
        const each = async () => (await Promise.all(places.map(one))).filter((document) => document !== undefined);
        const together = () => readPlaces<MessageDocument>(database, places);
        const found = await (sure || places.length < 2 ? each() : placesTogether(together, each, database.read));
        return found.map(toEntry);
      }),
  };
}

/**
 * Compare-and-set against the unique index (conversation, seq), as one group commit. Drafts of one conversation go one
 * behind the other, so that none stands without the one before; those of different conversations share commands, because
 * a command costs as much as twenty messages in it.
 */
function createAppend(database: Database): (drafts: Draft[]) => Promise<Appended[]> {
  const collection = () => database.collection<MessageDocument>('messages');
  const tails = createTails(database);

  /**
   * Repeats leave a chain, all at once: after an outage everybody repeats everything, and a round for each of them would
   * take longer than there is time.
   */
  async function leaveOutRepeats(chain: Chain): Promise<void> {
    const { conversation, pending } = chain;
    const [head] = pending;
    const senders = new Set(pending.map(({ draft }) => draft.sender));
    const tempIds = pending.map(({ draft }) => draft.tempId);
    const found = await collection()
      .find({ conversation, sender: { $in: [...senders] }, tempId: { $in: tempIds } }, BOUNDED)
      .batchSize(MAX_GROUP)
      .toArray();
    if (found.length === 0) return;
    const stored = new Map(found.map((document) => [nameOf(document), document]));
    chain.pending = pending.filter(({ draft, done }) => {
      const document = stored.get(nameOf(draft));
      if (document) done({ entry: toEntry(document), fresh: false });
      return document === undefined;
    });
    if (chain.pending[0] !== head) delete chain.refused;
  }

  /**
   * The tail after a refusal: another writer was faster, or the first draft is a repeat.
   * Which of the two indexes refused it is found by reading: the error's text is nobody's contract.
   */
  async function readAgain(chain: Chain, { seq, times, tail: read }: Refused): Promise<Tail | undefined> {
    const tail = read ?? (await readTail(database, chain.conversation));
    // Where the place is taken it is hardly a repeat; if it is one, it will be refused again and again.
    const isTaken = tail !== undefined && tail.seq >= seq;
    if (!isTaken || times % LOOK_AT === 0) await leaveOutRepeats(chain);
    return tail;
  }

  /** The entries that the first drafts of a chain, or all, become behind the tail of their conversation. */
  async function place(chain: Chain, count?: number): Promise<Entry[]> {
    const { conversation, refused } = chain;
    let tail = await (refused ? readAgain(chain, refused) : tails.get(conversation));
    // Of a version that did not know it: found once, and known from the next one on.
    if (tail?.hidden && tail.shown === undefined)
      tail = { ...tail, shown: (await readTail(database, conversation, visibleTo(tail.receiver)))?.seq ?? 0 };
    return chain.pending.slice(0, count).map(({ draft }) => (tail = nextEntry(draft, tail)));
  }

  /** @returns the indexes of the entries that a unique index refused; ordered, that is the first one, and none behind it is stored */
  async function insert(entries: Entry[], ordered: boolean): Promise<number[]> {
    const atOnce = ordered ? ORDERED_AT_ONCE : entries.length;
    for (let start = 0; start < entries.length; start += atOnce) {
      try {
        await collection().insertMany(entries.slice(start, start + atOnce).map(toDocument), { ordered });
      } catch (error) {
        for (const { conversation } of entries) tails.forget(conversation);
        return duplicates(error).map((index) => start + index);
      }
    }
    return [];
  }

  /** Lets the first drafts of a chain know that they are stored; the one behind them was refused, unless all are. */
  function settle(chain: Chain, entries: Entry[], stored: number): void {
    for (const [i, { done }] of chain.pending.splice(0, stored).entries())
      done({ entry: entries[i] as Entry, fresh: true });
    const refused = entries[stored];
    const last = entries[stored - 1];
    if (refused) chain.refused = { seq: refused.seq, times: stored > 0 ? 1 : (chain.refused?.times ?? 0) + 1 };
    else delete chain.refused;
    if (!refused && last) tails.set(last);
  }

  /** The first draft of each conversation, in one command, side by side. */
  async function appendHeads(chains: Chain[]): Promise<void> {
    const placed = await Promise.all(chains.map((chain) => place(chain, 1)));
    const entries = placed.flat();
    const refused = new Set((await insert(entries, false)).map((index) => entries[index]));
    for (const [i, [entry]] of placed.entries()) {
      if (entry) settle(chains[i] as Chain, [entry], refused.has(entry) ? 0 : 1);
    }
  }

  /**
   * Whole conversations, in one command. Ordered: it stops at the first entry that is refused, so a hole is never left;
   * conversations behind that one are as they were.
   */
  async function appendWhole(chains: Chain[]): Promise<void> {
    const placed = await Promise.all(chains.map((chain) => place(chain)));
    const entries = placed.flat();
    const [stored = entries.length] = await insert(entries, true);
    let start = 0;
    for (const [i, own] of placed.entries()) {
      if (start > stored) break;
      settle(chains[i] as Chain, own, Math.min(own.length, stored - start));
      start += own.length;
    }
  }

  /** Finds out together what was written where these were refused. */
  async function lookBehind(chains: Chain[]): Promise<void> {
    const places = chains.flatMap(({ conversation, refused }) => (refused ? [{ conversation, seq: refused.seq }] : []));
    const found = await tails.readBehind(places);
    for (const { conversation, refused } of chains) {
      const tail = found.get(conversation);
      if (refused && tail) refused.tail = tail;
    }
  }

  /**
   * A round of two commands: where another writer is at work shows with the first drafts, and what is behind those that
   * were taken follows. Conversations in which another writer was faster wait until the others are done: by then that one
   * is done too, and reading its tail is worth while.
   */
  async function appendSome(chains: Chain[]): Promise<void> {
    const untroubled = chains.filter(({ refused }) => !refused);
    const now = untroubled.length > 0 ? untroubled : chains;
    if (now === chains) await lookBehind(chains);
    if (now.length > 1) await appendHeads(now);
    await appendWhole(now.filter(({ pending, refused }) => pending.length > 0 && !(refused && now.length > 1)));
  }

  return async (drafts) => {
    const results: Appended[] = [];
    const chains = new Map<string, Chain>();
    for (const [i, draft] of drafts.entries()) {
      const pending: Pending = { draft, done: (appended) => (results[i] = appended) };
      const { conversation } = draft;
      const chain = chains.get(conversation);
      if (chain) chain.pending.push(pending);
      else chains.set(conversation, { conversation, pending: [pending] });
    }
    const deadline = performance.now() + TIMEOUT_MS;
    for (let left = [...chains.values()]; left.length > 0; left = left.filter(({ pending }) => pending.length > 0)) {
      if (performance.now() > deadline) throw new Error('other writers were faster all the time');
      await appendSome(left);
    }
    await bumpInbox(database, results);
    return results;
  };
}
