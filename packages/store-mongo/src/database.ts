import { DuetError } from '@duet/contract';
import { type ConnectOptions, Mongoose, mongo } from 'mongoose';
import { BOUNDED, MAJORITY_MS, QUEUE_MS, SILENCE_MS, TIMEOUT_MS } from './bounds.ts';
import { createFinds, type Finds } from './finds.ts';
import { createReadLine, type ReadLine } from './read-line.ts';
import { defineModels, type Models } from './schemas.ts';

/**
 * A heartbeat of the driver that has had no outcome for this long will have none. When a connection closes at the moment
 * at which a command is written to it, driver 7.8 waits for a `drain` that never comes; if that was a heartbeat, the
 * server stays unknown for ever.
 */
const DEAF_AFTER_MS = 10_000;
/** Updates that travel together. */
export const MAX_UPDATES = 64;
const CONNECTIONS = 50;
/** Reads of conversations under way at once, and those for receipts; the other connections are for everything else. */
const READS_AT_ONCE = 32;
const RECEIPT_READS_AT_ONCE = 8;
/** A read that has waited so long would have too little time left. */
const READ_PATIENCE_MS = 2_000;
const DUPLICATE_KEY = 11_000;

const options: ConnectOptions = {
  // Acknowledged means: on the disks of a majority. Without `j` a majority could forget together.
  writeConcern: { w: 'majority', journal: true, wtimeoutMS: MAJORITY_MS },
  // What a read shows must not be rolled back later: a repeat is answered by reading.
  readConcern: { level: 'majority' },
  readPreference: 'primary',
  retryWrites: true,
  retryReads: true,
  serverSelectionTimeoutMS: 3_000,
  connectTimeoutMS: 3_000,
  socketTimeoutMS: SILENCE_MS,
  heartbeatFrequencyMS: 2_000,
  maxPoolSize: CONNECTIONS,
  // What nobody waits for any more must not stand before what somebody does.
  waitQueueTimeoutMS: QUEUE_MS,
  maxIdleTimeMS: 60_000,
  appName: 'duet',
  autoIndex: false,
  bufferCommands: false,
};

/** Over `options`, for what takes as long as it takes. */
const UNHURRIED: ConnectOptions = { writeConcern: { w: 'majority' }, socketTimeoutMS: 0, maxPoolSize: 1 };

export interface Database extends Finds {
  /** The driver's own collection: no path hydrates documents. */
  collection<T extends mongo.Document>(name: keyof Models): mongo.Collection<T>;
  /** What conversations are read with: many, for one answer. They wait for each other, and messages do not. */
  read: ReadLine;
  /** The same for receipts: a group of them stands or falls together, so none of its reads is turned away early. */
  readForReceipts: ReadLine;
  /** What the clock of the server says that writes go to, in milliseconds since 1970. */
  now(): Promise<number>;
  /** The result of `work`; whatever the driver throws becomes UNAVAILABLE. `close` waits for it. */
  answer<T>(work: () => Promise<T>): Promise<T>;
  /** Connects if need be, makes missing indexes once, and asks the server. @throws DuetError UNAVAILABLE */
  ready(): Promise<void>;
  close(): Promise<void>;
  /** For tools and tests. */
  client(): mongo.MongoClient;
}

/**
 * A connection that comes up by `ready` and then mends itself. Nothing is shared with other stores of the process.
 * @param uri a `mongodb://` address with the name of the database
 * @param extra options of the driver, over those that are set here
 */
export function createDatabase(uri: string, extra: ConnectOptions = {}): Database {
  const mongoose = new Mongoose({ strictQuery: 'throw', sanitizeFilter: true });
  const connection = mongoose.createConnection();
  /** For indexes alone. */
  const builder = mongoose.createConnection();
  const models = defineModels(builder);
  let opening: Promise<void> | undefined;
  const underWay = new Set<Promise<unknown>>();
  let closed = false;
  /** When the heartbeats that have no outcome yet were begun, by the address of their server. */
  const heartbeats = new Map<string, number>();
  /** The connection was given up, and there is no new one yet. */
  let lost = false;
  let mending: Promise<void> | undefined;

  function answer<T>(work: () => Promise<T>): Promise<T> {
    const running = closed ? Promise.reject(new Error('closed')) : Promise.try(work);
    const answered = new Promise<T>((resolve, reject) => {
      const fail = (error: unknown) => {
        mend();
        reject(error instanceof DuetError ? error : new DuetError('UNAVAILABLE', { cause: error }));
      };
      // The driver's own limits are for one try at one server; a caller waits for all tries together.
      const timer = setTimeout(() => fail(new Error(`no answer within ${TIMEOUT_MS} ms`)), TIMEOUT_MS);
      running.then(resolve, fail).finally(() => clearTimeout(timer));
    });
    // The answer, not the work: an operation of a deaf driver never ends.
    underWay.add(answered);
    const ended = () => underWay.delete(answered);
    answered.then(ended, ended);
    return answered;
  }

  /** Whether the driver has stopped to look at a server. */
  function isDeaf(): boolean {
    return [...heartbeats.values()].some((startedAt) => performance.now() - startedAt > DEAF_AFTER_MS);
  }

  function listen(client: mongo.MongoClient): void {
    heartbeats.clear();
    // The driver calls the address of the server `connectionId` here.
    client.on('serverHeartbeatStarted', ({ connectionId }) => heartbeats.set(connectionId, performance.now()));
    client.on('serverHeartbeatSucceeded', ({ connectionId }) => heartbeats.delete(connectionId));
    client.on('serverHeartbeatFailed', ({ connectionId }) => heartbeats.delete(connectionId));
    client.on('serverClosed', ({ address }) => heartbeats.delete(address));
  }

  /** Makes a connection anew whose driver has gone deaf. What fails meanwhile calls again. */
  function mend(): void {
    if (closed || mending || !(lost || isDeaf())) return;
    lost = true;
    mending = connection
      .close()
      .then(open)
      .then(
        () => {
          lost = false;
        },
        () => {},
      )
      .finally(() => {
        mending = undefined;
      });
  }

  function connected(): mongo.Db {
    const { db } = connection;
    if (!db || lost) throw new Error('not connected');
    return db;
  }

  /**
   * Makes missing indexes, over a connection of its own that is not given up while the server says nothing: with many
   * messages an index takes minutes.
   */
  async function makeIndexes(): Promise<void> {
    try {
      await builder.openUri(uri, { ...options, ...extra, ...UNHURRIED });
      for (const model of Object.values(models)) await model.createIndexes();
    } finally {
      await builder.close();
    }
  }

  async function open(): Promise<void> {
    // First: nothing may be written while nothing is unique.
    await makeIndexes();
    await connection.openUri(uri, { ...options, ...extra });
    listen(connection.getClient());
  }

  return {
    ...createFinds(connected),
    answer,
    read: createReadLine({ atOnce: READS_AT_ONCE, patienceMs: READ_PATIENCE_MS, givenUpMs: SILENCE_MS }),
    readForReceipts: createReadLine({
      atOnce: RECEIPT_READS_AT_ONCE,
      patienceMs: TIMEOUT_MS,
      givenUpMs: SILENCE_MS,
    }),
    collection: <T extends mongo.Document>(name: keyof Models) => connected().collection<T>(name),
    now: async () => ((await connected().command({ hello: 1 })).localTime as Date).getTime(),
    ready: () =>
      answer(async () => {
        opening ??= open().catch(async (error) => {
          opening = undefined;
          await connection.close().catch(() => {});
          throw error;
        });
        await opening;
        await connected().command({ ping: 1, ...BOUNDED });
      }),
    async close() {
      closed = true;
      await Promise.allSettled([...underWay, mending]);
      await Promise.all([connection.close(), builder.close()]);
    },
    client: () => connection.getClient(),
  };
}

/** An upsert; of two that race to insert, the one that was refused finds the document when it is made again. */
export async function upserted(update: () => Promise<unknown>): Promise<void> {
  try {
    await update();
  } catch (error) {
    if (!isDuplicate(error)) throw error;
    await update();
  }
}

/** Whether a unique value was taken, and nothing else went wrong. */
export function isDuplicate(error: unknown): boolean {
  return error instanceof mongo.MongoServerError && error.code === DUPLICATE_KEY && !failedToSpread(error);
}

function failedToSpread(error: mongo.MongoServerError): boolean {
  const result = error instanceof mongo.MongoBulkWriteError ? error.result : undefined;
  return result?.getWriteConcernError() !== undefined;
}

/**
 * Which inserts of a bulk write were refused by a unique index; the others have been made, those before it if it was
 * ordered. Of updates it says no more than that at least one was refused.
 * @throws the error itself when anything else went wrong, such as a write that did not reach a majority
 */
export function duplicates(error: unknown): number[] {
  if (!(error instanceof mongo.MongoBulkWriteError) || failedToSpread(error)) throw error;
  const writeErrors = [error.writeErrors].flat();
  if (writeErrors.length === 0 || writeErrors.some(({ code }) => code !== DUPLICATE_KEY)) throw error;
  return writeErrors.map(({ index }) => index);
}
