import { type RowKey, UNMARKED, type Watermark, type WatermarkKind } from '@duet/core';
import { TOGETHER_BOUNDED } from './bounds.ts';
import type { Database } from './database.ts';
import type { FirstQuery } from './finds.ts';
import type { ReadLine } from './read-line.ts';
import { markId, type StepDocument } from './schemas.ts';
import { createTogether } from './together.ts';

/** From so many on, marks are asked for by one question: it costs about as much as this many of the small ones. */
const TOGETHER = 12;
/** As many steps as one answer brings: the old ones of a mark go with the next one that is taken a while later. */
const BATCH = 1_000;

const STEP = { _id: 0, mark: 1, n: 1, from: 1, seq: 1, at: 1 } as const;
type Step = Watermark & { mark: string };

export interface Mark {
  kind: WatermarkKind;
  key: RowKey;
}

/** Reads of watermarks, each of which waits for its turn in `line`. */
export function createMarks(database: Database, line: ReadLine) {
  const together = createTogether();

  /** The user stands in every filter: it is the shard key. */
  const filterOf = ({ kind, key: { user, conversation } }: Mark) => ({ mark: markId(user, conversation, kind), user });

  async function highest(mark: Mark): Promise<Step | undefined> {
    const query: FirstQuery = { filter: filterOf(mark), sort: { n: -1 }, projection: STEP };
    return line(() => database.first<Step>('watermarks', query));
  }

  const highestOfEach = async (marks: Mark[]): Promise<Step[]> =>
    (await Promise.all(marks.map(highest))).filter((step) => step !== undefined);

  function allSteps(marks: Mark[]): Promise<Step[]> {
    const filters = marks.map(filterOf);
    const filter = {
      mark: { $in: filters.map(({ mark }) => mark) },
      user: { $in: [...new Set(filters.map(({ user }) => user))] },
    };
    return database
      .collection<StepDocument>('watermarks')
      .find(filter, TOGETHER_BOUNDED)
      .project<Step>(STEP)
      .batchSize(BATCH)
      .toArray();
  }

  /** How far each of these marks has come, in their order. */
  return async (marks: Mark[]): Promise<Watermark[]> => {
    const askEach = () => highestOfEach(marks);
    const steps = await (marks.length < TOGETHER ? askEach() : together(() => allSteps(marks), askEach, line));
    const found = new Map<string, Watermark>();
    for (const { mark, ...step } of steps) if (step.n > (found.get(mark)?.n ?? 0)) found.set(mark, step);
    return marks.map((mark) => found.get(filterOf(mark).mark) ?? UNMARKED);
  };
}
