import { BOUNDED } from './bounds.ts';
import type { Database } from './database.ts';
import type { MessageDocument } from './schemas.ts';
import { readTail, visibleTo } from './tails.ts';

/** Places that are looked at together where some have to be left out. */
const STEP = 1_000;

interface Page {
  conversation: string;
  before: number;
  /** undefined: from `before` down. */
  after: number | undefined;
  limit: number;
  skip?: number;
  viewer?: string | undefined;
}

/** What tells whether an entry is seen, and where what is hidden with it ends. */
const PLACE = { _id: 0, conversation: 1, seq: 1, receiver: 1, hidden: 1, shown: 1 } as const;
type Place = Pick<MessageDocument, 'conversation' | 'seq' | 'receiver' | 'hidden' | 'shown'>;

const isHiddenFrom = (viewer: string, { hidden, receiver }: Place) => hidden === true && receiver === viewer;

/** What of a page comes after a place, in its direction. */
const behind = <P extends Page>(page: P, seq: number): P =>
  page.after === undefined ? { ...page, before: seq } : { ...page, after: seq };

/**
 * Pages of a log as somebody sees it. What is hidden from him is jumped over, not looked at: whoever is blocked writes as
 * much as he likes, and that must not be the other one's burden.
 */
export function createPages(database: Database) {
  const messages = () => database.collection<MessageDocument>('messages');

  function find<T extends Place>(page: Page, filter: object = {}, projection?: object): Promise<T[]> {
    const { conversation, before, after, skip = 0, limit } = page;
    const seq = { $lt: before, ...(after === undefined ? {} : { $gt: after }) };
    // Made when its turn comes: the driver keeps each cursor until it is used up or closed.
    return database.read(() =>
      messages()
        .find({ conversation, seq, ...filter }, BOUNDED)
        .sort({ seq: after === undefined ? -1 : 1 })
        .project<T>(projection ?? {})
        .skip(skip)
        .limit(limit)
        .toArray(),
    );
  }

  /** The last place of what is hidden in one piece with `hidden`: all of it has the same `shown`. */
  async function endOf({ conversation, receiver, shown, seq }: Place): Promise<number> {
    async function isWithin(place: number): Promise<boolean> {
      const query = { filter: { conversation, seq: place }, projection: PLACE };
      const found = await database.read(() => database.first<Place>('messages', query));
      return found?.hidden === true && found.receiver === receiver && found.shown === shown;
    }
    let within = seq;
    let step = 1;
    while (await isWithin(within + step)) {
      within += step;
      step *= 2;
    }
    for (let beyond = within + step; beyond - within > 1; ) {
      const between = Math.floor((within + beyond) / 2);
      if (await isWithin(between)) within = between;
      else beyond = between;
    }
    return within;
  }

  /** The first `limit` that the viewer sees of a page. */
  async function walk<T extends Place>(page: Page & { viewer: string }, projection?: object): Promise<T[]> {
    const isHidden = (place: Place) => isHiddenFrom(page.viewer, place);
    const seen: T[] = [];
    let rest: Page = page;
    while (seen.length < page.limit) {
      const limit = Math.min(page.limit - seen.length, STEP);
      const found = await find<T>({ ...rest, limit }, {}, projection);
      seen.push(...found.filter((each) => !isHidden(each)));
      const last = found.at(-1);
      if (!last || found.length < limit) break;
      if (!isHidden(last)) {
        rest = behind(rest, last.seq);
      } else if (last.shown === undefined) {
        const unknown = { ...behind(rest, last.seq), limit: page.limit - seen.length };
        return [...seen, ...(await find<T>(unknown, visibleTo(page.viewer), projection))];
      } else {
        rest = behind(rest, page.after === undefined ? last.shown + 1 : await endOf(last));
      }
    }
    return seen;
  }

  async function hidesAny(conversation: string): Promise<boolean> {
    const tail = await database.read(() => readTail(database, conversation));
    return tail !== undefined && tail.sent[0] + tail.sent[1] < tail.seq;
  }

  /** In the order of the page. */
  return async ({ viewer, skip = 0, ...page }: Page): Promise<MessageDocument[]> => {
    if (viewer === undefined) return find({ ...page, skip });
    const walking = { ...page, viewer };
    // Where nothing is hidden, which is almost everywhere, the server passes over what is left out.
    if (skip > 0 && !(await hidesAny(page.conversation))) {
      const found = await find<MessageDocument>({ ...page, skip });
      // Something may be by now.
      if (!found.some((entry) => isHiddenFrom(viewer, entry))) return found;
    }
    if (skip === 0) return walk(walking);
    const passed = await walk({ ...walking, limit: skip }, PLACE);
    const last = passed.at(-1)?.seq;
    if (last === undefined || passed.length < skip) return [];
    return walk(behind(walking, last));
  };
}
