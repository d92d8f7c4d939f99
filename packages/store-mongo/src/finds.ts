import type { mongo } from 'mongoose';
import { BOUNDED, isTooLate, TOGETHER_BOUNDED } from './bounds.ts';
import type { ReadLine } from './read-line.ts';
import type { Models } from './schemas.ts';
import { createTogether, type Together } from './together.ts';

export interface FirstQuery {
  filter: mongo.Document;
  sort?: Record<string, 1 | -1>;
  projection?: Record<string, 0 | 1>;
  /** Of a document that a unique index finds: see ReadOptions. A primary that was replaced has no majority to answer with. */
  sure?: boolean;
}

/** Values of the first field of an index, and of others that say which shard holds them. */
export type Key = Record<string, string>;

export interface Finds {
  /** The first document by an index, if there is one: what `find(…).limit(1)` gives. */
  first<T extends mongo.Document>(name: keyof Models, query: FirstQuery): Promise<T | undefined>;
  /**
   * All documents of these keys, which have the same fields; by one question for all where the server is good at that.
   * With `line` each question waits for its turn there.
   */
  all<T extends mongo.Document>(name: keyof Models, keys: Key[], line?: ReadLine): Promise<T[]>;
}

/** As many documents as a bare command may bring: all but the longest lists of whom somebody has blocked. */
const SOME = 1_000;

// A bare command takes nothing from the connection's options.
const MAJORITY = { level: 'majority' } as const;
const LINEARIZABLE = { level: 'linearizable' } as const;

/** What finds the documents of all these keys. */
function among(keys: Key[]): mongo.Document {
  const fields = Object.keys(keys[0] ?? {});
  return Object.fromEntries(fields.map((field) => [field, { $in: [...new Set(keys.map((key) => key[field]))] }]));
}

/** `read`; what has failed, and not by running out of time, is made once more the driver's way, with its repeats. */
async function repeated<T>(read: () => Promise<T>, again: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (error) {
    if (isTooLate(error)) throw error;
    return again();
  }
}

/** Reads by bare commands, which cost the node half as much as the driver's cursors. */
export function createFinds(connected: () => mongo.Db): Finds {
  const togethers = new Map<keyof Models, Together>();

  function togetherIn(name: keyof Models): Together {
    const together = togethers.get(name) ?? createTogether();
    togethers.set(name, together);
    return together;
  }

  const byCursor = <T>(name: keyof Models, filter: mongo.Document, bound: object) =>
    connected().collection(name).find(filter, bound).toArray() as Promise<T[]>;

  async function find<T>(name: keyof Models, filter: mongo.Document, bound: object): Promise<T[]> {
    const command = {
      find: name,
      filter,
      limit: SOME,
      batchSize: SOME,
      singleBatch: true,
      readConcern: MAJORITY,
      ...bound,
    };
    const { cursor } = await connected().command(command);
    return cursor.firstBatch.length < SOME ? cursor.firstBatch : byCursor(name, filter, bound);
  }

  return {
    async first<T extends mongo.Document>(name: keyof Models, query: FirstQuery) {
      const { filter, sure, ...how } = query;
      const options = { ...BOUNDED, ...how, readConcern: sure ? LINEARIZABLE : MAJORITY };
      const command = { find: name, filter, limit: 1, singleBatch: true, ...options };
      const collection = () => connected().collection<T>(name);
      return repeated(
        async () => (await connected().command(command)).cursor.firstBatch[0],
        async () => ((await collection().findOne(filter as mongo.Filter<T>, options)) as T | null) ?? undefined,
      );
    },
    async all<T>(name: keyof Models, keys: Key[], line: ReadLine = (read) => read()): Promise<T[]> {
      const one = (key: Key) =>
        line(() =>
          repeated(
            () => find<T>(name, key, BOUNDED),
            () => byCursor<T>(name, key, BOUNDED),
          ),
        );
      const askEach = async () => (await Promise.all(keys.map(one))).flat();
      if (keys.length < 2) return askEach();
      return togetherIn(name)(() => find(name, among(keys), TOGETHER_BOUNDED), askEach, line);
    },
  };
}
