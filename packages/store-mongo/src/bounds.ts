/** An operation that has no answer after this time is UNAVAILABLE: shorter than a client waits for its acknowledgement. */
export const TIMEOUT_MS = 5_000;
/** For every read: the server need not go on longer than anybody waits. */
export const BOUNDED = { maxTimeMS: TIMEOUT_MS };
/** For what is asked for many at once: it leaves time to ask for each. */
export const TOGETHER_BOUNDED = { maxTimeMS: 1_000 };
