import {
  type Appended,
  type Clock,
  type Draft,
  type Entry,
  type MessageStore,
  SomeUnfit,
  type Store,
  StoreReplaced,
  type WrappedKey,
} from '@duet/core';
import { createBox } from './box.ts';
import { createDataKeys, type DataKeys } from './data-keys.ts';
import type { KeyRing } from './key-ring.ts';
import { isOfAnotherKey, isSealed, type Opened, opened, plain, sealed, unsealed } from './text.ts';

/** A message whose content cannot be had any more. */
export interface Unreadable {
  conversation: string;
  seq: number;
  why: string;
}

export interface SealedStoreDeps {
  ring: KeyRing;
  /** Whether what is stored from now on is sealed. What was sealed before is opened either way. */
  seals: boolean;
  /** Whether a content that is not sealed counts as one that cannot be had: whoever writes to the database could make it up. */
  sealedOnly?: boolean;
  clock: Clock;
  observe: {
    unreadable: (messages: Unreadable[]) => void;
    damagedKey: (key: WrappedKey) => void;
  };
}

const conversationsOf = (drafts: Draft[]): string[] => [...new Set(drafts.map(({ conversation }) => conversation))];

/**
 * Puts encryption at rest around a store: content is sealed before it is appended and opened after it was read, so that
 * the store, its files and its backups hold no text of a message. Everything else is the store's own. A content that does
 * not open comes back empty and marked `unreadable`; the messages beside it are unharmed.
 * (One data key for each conversation, wrapped by a key outside of the database, is the envelope encryption of key
 * management services. Here it also means that deleting one key deletes one conversation.)
 */
export function createSealedStore(
  store: Store,
  { ring, seals, sealedOnly = false, clock, observe }: SealedStoreDeps,
): Store {
  const box = createBox();
  const keys = createDataKeys({ store: store.dataKeys, ring, box, clock, damaged: observe.damagedKey });

  /** Waits only where a key has to be looked up: order and speed of a busy conversation stay what they were. */
  async function seal(drafts: Draft[]): Promise<Draft[]> {
    if (!seals) return drafts.map(plain);
    const found = keys.ensure(conversationsOf(drafts));
    const dataKeys = found instanceof Promise ? await found : found;
    const lacking = new Set<number>();
    const result = drafts.map((draft, i) => {
      const key = dataKeys.get(draft.conversation);
      if (key) return sealed(draft, key, box);
      lacking.add(i);
      return draft;
    });
    if (lacking.size > 0)
      throw new SomeUnfit(lacking, new Error('the ring does not open a key, or it has just changed'));
    return result;
  }

  async function open(entries: Entry[]): Promise<Entry[]> {
    const conversations = conversationsOf(entries.filter(({ content }) => isSealed(content)));
    const found = keys.get(conversations);
    let dataKeys = found instanceof Promise ? await found : found;
    // A key that is remembered may be that of a database whose place a backup has taken.
    const others = conversationsOf(entries.filter((entry) => isOfAnotherKey(entry, dataKeys.get(entry.conversation))));
    if (others.length > 0) {
      others.forEach(keys.forget);
      dataKeys = await keys.get(conversations);
    }
    const unreadable: Unreadable[] = [];
    const result = entries.map((entry) => openOne(entry, { keys: dataKeys, sealedOnly, unreadable }));
    if (unreadable.length > 0) observe.unreadable(unreadable);
    return result;
  }

  /** Where a backup has taken the database's place, its keys are others than those that are remembered. */
  async function appendSealed(drafts: Draft[]): Promise<Appended[]> {
    try {
      return await store.messages.append(await seal(drafts));
    } catch (error) {
      if (!(error instanceof StoreReplaced)) throw error;
      keys.forgetAll();
      return store.messages.append(await seal(drafts));
    }
  }

  async function append(drafts: Draft[]): Promise<Appended[]> {
    const results = await appendSealed(drafts);
    const repeats = results.filter(({ fresh }) => !fresh).map(({ entry }) => entry);
    const before = (repeats.length > 0 ? await open(repeats) : []).values();
    for (const [i, appended] of results.entries()) {
      // What was just sealed need not be opened. The results are ours: a copy of each would cost what it adds to garbage.
      if (appended.fresh) appended.entry.content = (drafts[i] as Draft).content;
      else appended.entry = before.next().value as Entry;
    }
    return results;
  }

  const underWay = new Set<Promise<unknown>>();
  const messages: MessageStore = {
    append(drafts) {
      const appending = append(drafts);
      underWay.add(appending);
      const ended = () => underWay.delete(appending);
      appending.then(ended, ended);
      return appending;
    },
    page: async (query) => open(await store.messages.page(query)),
    get: async (places, options) => open(await store.messages.get(places, options)),
  };

  return {
    ...store,
    messages,
    dataKeys: {
      ...store.dataKeys,
      async remove(conversation) {
        await store.dataKeys.remove(conversation);
        keys.forget(conversation);
      },
    },
    async close() {
      // An append may be looking up a key, which the store below does not know of.
      await Promise.allSettled(underWay);
      await store.close();
    },
  };
}

interface Opening {
  keys: DataKeys;
  sealedOnly: boolean;
  /** Gets what does not open. */
  unreadable: Unreadable[];
}

function openOne(entry: Entry, { keys, sealedOnly, unreadable }: Opening): Entry {
  const result = contentOf(entry, keys, sealedOnly);
  if ('content' in result) return { ...entry, content: result.content };
  unreadable.push({ conversation: entry.conversation, seq: entry.seq, why: result.why });
  return { ...entry, content: '', unreadable: true };
}

function contentOf(entry: Entry, keys: DataKeys, sealedOnly: boolean): Opened {
  if (isSealed(entry.content)) return opened(entry, keys.get(entry.conversation));
  // What was deleted is empty.
  if (sealedOnly && entry.content !== '') return { why: 'it is not encrypted' };
  return { content: unsealed(entry.content) };
}
