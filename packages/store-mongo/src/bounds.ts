import { mongo } from 'mongoose';

/** An operation that has no answer after this time is UNAVAILABLE: shorter than a client waits for its acknowledgement. */
export const TIMEOUT_MS = 5_000;
/**
 * The server gives up before its caller does, and says so. Were the limits the same, the caller would always be first, and
 * what goes on without him would cost a connection each time.
 */
export const READ_MS = 3_000;
export const MAJORITY_MS = 4_000;
/** An operation that has waited so long for a connection would have too little time left. */
export const QUEUE_MS = 3_000;
/** A connection whose server says nothing, not even that it has given up, is given up, and with it what was asked on it. */
export const SILENCE_MS = 7_000;
/** For every read: the server need not go on longer than anybody waits. */
export const BOUNDED = { maxTimeMS: READ_MS };
/** For what is asked for many at once: it leaves time to ask for each. */
export const TOGETHER_BOUNDED = { maxTimeMS: 1_000 };

const MAX_TIME_EXPIRED = 50;
/** The driver does not export its class. */
const QUEUE_TIMEOUT = 'MongoWaitQueueTimeoutError';

/** Whether no server has said anything in time: it has too much to do, or is away. */
export function isSilence(error: unknown): boolean {
  return (
    error instanceof mongo.MongoNetworkTimeoutError ||
    error instanceof mongo.MongoServerSelectionError ||
    (error instanceof Error && error.name === QUEUE_TIMEOUT)
  );
}

/** Whether an operation has used up its time: what is asked once more would be too late, and one more burden. */
export function isTooLate(error: unknown): boolean {
  return isSilence(error) || (error instanceof mongo.MongoServerError && error.code === MAX_TIME_EXPIRED);
}
