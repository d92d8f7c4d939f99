import {
  type Entry,
  type InboxRow,
  lastShown,
  type Marks,
  type RowKey,
  sentBy,
  type Watermark,
  type WatermarkKind,
} from '@duet/core';
import type { Database } from './database.ts';
import { createMarks } from './marks.ts';
import type { ReadLine } from './read-line.ts';
import { type InboxDocument, rowId } from './schemas.ts';
import { createEnds, readTail, type TailDocument, visibleTo } from './tails.ts';

/**
 * A watermark beside a tail that was read at the same time: what has been stored and read in between is in neither.
 * @param sent how many messages the peer has sent up to the tail
 */
const upTo = (mark: Watermark, { seq }: Pick<Entry, 'seq'>, sent: number): Watermark =>
  mark.seq <= seq ? mark : { ...mark, n: Math.min(mark.n, sent), from: Math.min(mark.from, sent), seq };

/** What is known of a row before its log has been looked at. */
type Hinted = RowKey & Pick<InboxDocument, 'lastSeq'>;

/**
 * Rows are put together when they are read: the list holds their order, the log's last entry their counters, the
 * watermarks what was read and delivered. Each has one source, so nothing can drift, whoever dies in between. However many
 * rows there are, each source is asked one question.
 */
export function createRows(database: Database, line: ReadLine) {
  const readMarks = createMarks(database, line);
  const findEnds = createEnds(database);
  const tailOf = (conversation: string, where?: object) => line(() => readTail(database, conversation, where));

  const marksOf = (keys: RowKey[], kind: WatermarkKind) => readMarks(keys.map((key) => ({ kind, key })));

  async function marks(keys: RowKey[]): Promise<Marks[]> {
    const both = (['read', 'delivered'] as const).flatMap((kind) => keys.map((key) => ({ kind, key })));
    const found = await readMarks(both);
    return keys.map((_, i) => ({ read: found[i], delivered: found[keys.length + i] }) as Marks);
  }

  /**
   * The last entry that a user sees of a conversation.
   * @param end the last one of all, if that is known
   */
  async function tailFor({ user, conversation }: RowKey, end?: TailDocument) {
    const last = end ?? (await tailOf(conversation));
    const seq = lastShown(user, last);
    if (!last || seq === last.seq) return last;
    return seq === 0 ? undefined : tailOf(conversation, seq === undefined ? visibleTo(user) : { seq });
  }

  async function tailsFor(rows: Hinted[]): Promise<(TailDocument | undefined)[]> {
    const hints = rows.flatMap(({ conversation, lastSeq: seq }) => (seq === undefined ? [] : [{ conversation, seq }]));
    const ends = await findEnds(hints, line);
    return Promise.all(rows.map((row) => tailFor(row, ends.get(row.conversation))));
  }

  async function complete(documents: InboxDocument[]): Promise<InboxRow[]> {
    const [tails, marked] = await Promise.all([tailsFor(documents), marks(documents)]);
    return documents.flatMap(({ user, conversation, peer, lastAt }, i): InboxRow[] => {
      const tail = tails[i];
      if (!tail) return [];
      const peerSent = sentBy(peer, tail);
      const of = (kind: WatermarkKind) => upTo((marked[i] as Marks)[kind], tail, peerSent);
      const [read, delivered] = [of('read'), of('delivered')];
      return [{ user, conversation, peer, lastSeq: tail.seq, lastAt, peerSent, read, delivered }];
    });
  }

  return {
    tailFor,
    marks,
    complete,
    /** How many messages are unread in all of these together. */
    async unread(documents: InboxDocument[]): Promise<number> {
      const [tails, read] = await Promise.all([tailsFor(documents), marksOf(documents, 'read')]);
      return documents.reduce((sum, { peer }, i) => {
        const tail = tails[i];
        return tail ? sum + Math.max(0, sentBy(peer, tail) - (read[i] as Watermark).n) : sum;
      }, 0);
    },
    async get(keys: RowKey[]): Promise<InboxRow[]> {
      // The user stands in every filter: it is the shard key.
      const ids = keys.map(({ user, conversation }) => ({ _id: rowId(user, conversation), user }));
      const found = await database.all<InboxDocument>('inbox', ids, line);
      const byId = new Map(found.map((document) => [document._id, document]));
      return complete(ids.flatMap(({ _id }) => byId.get(_id) ?? []));
    },
  };
}
