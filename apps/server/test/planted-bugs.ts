import type { Appended, Cluster, Draft, Entry, Marks, Store } from '@duet/core';
import { MAX_GROUP, nextEntry } from '@duet/core';

const LATER_MS = 1_000;

interface Parts {
  store: Store;
  cluster: Cluster;
}
type Tamper = (parts: Parts) => Parts;

const withMessages = ({ store, cluster }: Parts, messages: Partial<Store['messages']>): Parts => ({
  store: { ...store, messages: { ...store.messages, ...messages } },
  cluster,
});

/** What `append` would answer, before it has done anything: behind the newest entry that was answered so far. */
function createForecast({ messages }: Store) {
  const tails = new Map<string, Entry>();
  return async (draft: Draft): Promise<Entry> => {
    const last =
      tails.get(draft.conversation) ?? (await messages.page({ conversation: draft.conversation, limit: 1 }))[0];
    const entry = nextEntry(draft, last);
    tails.set(draft.conversation, entry);
    return entry;
  };
}

/** Answers first and writes later: what is answered when the process dies is lost. */
const ackBeforeCommit: Tamper = (parts) => {
  const forecast = createForecast(parts.store);
  const known = new Map<string, Entry>();
  const unwritten: Draft[] = [];
  async function write(): Promise<void> {
    const group = unwritten.splice(0, MAX_GROUP);
    if (group.length > 0) await parts.store.messages.append(group);
    setTimeout(write, LATER_MS);
  }
  void write();
  return withMessages(parts, {
    async append(drafts) {
      const results: Appended[] = [];
      for (const draft of drafts) {
        const key = `${draft.conversation} ${draft.sender} ${draft.tempId}`;
        const before = known.get(key);
        const entry = before ?? (await forecast(draft));
        known.set(key, entry);
        if (!before) unwritten.push(draft);
        results.push({ entry, fresh: !before });
      }
      return results;
    },
  });
};

/** Every fiftieth message is answered as usual and not written. */
const skippedInsert: Tamper = (parts) => {
  let count = 0;
  return withMessages(parts, {
    async append(drafts) {
      const written = drafts.filter(() => ++count % 50 !== 0);
      const results = new Map(
        (written.length > 0 ? await parts.store.messages.append(written) : []).map((each, i) => [written[i], each]),
      );
      return Promise.all(
        drafts.map(async (draft) => {
          const result = results.get(draft);
          if (result) return result;
          const [last] = await parts.store.messages.page({ conversation: draft.conversation, limit: 1 });
          return { entry: nextEntry(draft, last), fresh: true };
        }),
      );
    },
  });
};

/** Two messages that one page shows side by side sometimes stand the other way round. */
const seqSwapped: Tamper = (parts) => {
  let count = 0;
  return withMessages(parts, {
    async page(query) {
      const entries = await parts.store.messages.page(query);
      const [one, other] = entries;
      if (!one || !other || ++count % 5 !== 0) return entries;
      const place = ({ id, seq, sent }: Entry) => ({ id, seq, sent });
      return [{ ...other, ...place(one) }, { ...one, ...place(other) }, ...entries.slice(2)];
    },
  });
};

/** A repeat is stored once more. */
const dedupeDropped: Tamper = (parts) => {
  let count = 0;
  return withMessages(parts, {
    append: (drafts) =>
      parts.store.messages.append(drafts.map((draft) => ({ ...draft, tempId: `${draft.tempId} ${count++}` }))),
  });
};

/** Nobody is ever noticed to have gone. */
const presenceNeverExpired: Tamper = ({ store, cluster }) => ({
  store,
  cluster: { ...cluster, presence: { ...cluster.presence, drop: async () => {}, reap: async () => [] } },
});

/** What comes after a place is told without its second message, now and then. */
const syncSkipsOne: Tamper = (parts) => {
  let count = 0;
  return withMessages(parts, {
    async page(query) {
      const entries = await parts.store.messages.page(query);
      // Pages of history are asked for by the hundred.
      if (query.after === undefined || query.limit === 100 || entries.length < 3 || ++count % 10 !== 0) return entries;
      return entries.filter((_, i) => i !== 1);
    },
  });
};

/** A read mark is shown lower than it was shown before, now and then. */
const receiptGoesBack: Tamper = ({ store, cluster }) => {
  let count = 0;
  const lower = <T extends Marks>(rows: T[]): T[] =>
    rows.map((row) => {
      const { n, seq } = row.read;
      return n > 1 && ++count % 20 === 0 ? { ...row, read: { ...row.read, n: n - 1, seq: seq - 1 } } : row;
    });
  const { conversations } = store;
  return {
    store: {
      ...store,
      conversations: {
        ...conversations,
        get: async (keys) => lower(await conversations.get(keys)),
        marks: async (keys) => lower(await conversations.marks(keys)),
        walk: async (query) => lower(await conversations.walk(query)),
      },
    },
    cluster,
  };
};

/** Messages are also told to somebody whom they do not concern: the one who wrote last. */
const toldToAnother: Tamper = (parts) => {
  let stranger: Entry | undefined;
  return withMessages(parts, {
    async page(query) {
      const entries = await parts.store.messages.page(query);
      const [first] = entries;
      const other = stranger;
      if (first) stranger = first;
      if (!first || !other || other.conversation === first.conversation) return entries;
      return [{ ...other, id: first.id, seq: first.seq, sent: first.sent }, ...entries.slice(1)];
    },
  });
};

/** Every seventh message is taken for a repeat: it is stored, and nobody hears of it before he asks. */
const notToldLive: Tamper = (parts) => {
  let count = 0;
  return withMessages(parts, {
    append: async (drafts) =>
      (await parts.store.messages.append(drafts)).map(({ entry, fresh }) => ({
        entry,
        fresh: fresh && ++count % 7 !== 0,
      })),
  });
};

/** Bugs that a judge of this server has to find, each at a port. */
export const planted = {
  'ack-before-commit': ackBeforeCommit,
  'skipped-insert': skippedInsert,
  'seq-swapped': seqSwapped,
  'dedupe-dropped': dedupeDropped,
  'presence-never-expired': presenceNeverExpired,
  'sync-skips-one': syncSkipsOne,
  'receipt-goes-back': receiptGoesBack,
  'told-to-another': toldToAnother,
  'not-told-live': notToldLive,
} satisfies Record<string, Tamper>;
