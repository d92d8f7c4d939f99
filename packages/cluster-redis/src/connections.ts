import { DuetError } from '@duet/contract';
import type { Clock } from '@duet/core';
import { Redis } from 'ioredis';

/** A command that has no answer after this time fails: live events and presence are hints, nobody waits long for them. */
export const COMMAND_TIMEOUT_MS = 1_000;
/** A connection on which nothing has been answered for this long is given up and made again. */
const SILENCE_MS = 5_000;
const MAX_PAUSE_MS = 2_000;
/** Redis that takes no writes is left for the one that its address now stands for, as often as this. */
const LEAVE_EVERY_MS = 10_000;

/** What happened to the connections, for the log. */
export type Report = (what: 'redis lost' | 'redis back', error?: Error) => void;

export interface Connections {
  /** Publishes live events. */
  pub: Redis;
  /** Holds the subscriptions of this node's rooms. */
  sub: Redis;
  /** Presence and limits. */
  state: Redis;
  /** Resolves when all three can be used. @throws DuetError UNAVAILABLE */
  ready(): Promise<void>;
  close(): void;
}

/**
 * Three connections, because one that subscribes can do nothing else, and a slow script must not hold up messages.
 * `pub` and `state` keep no queue while they are away: what is late is worthless, and a queue would grow without end.
 * `sub` keeps one, and never gives a command up: a subscription that is lost would make a room deaf for good.
 * @param url one Redis server of version 7 or newer
 */
export function createConnections(url: string, report: Report, { elapsed }: Pick<Clock, 'elapsed'>): Connections {
  let leftAt = Number.NEGATIVE_INFINITY;
  /**
   * After a failover the connections to the server that was the primary stay open, and it answers: but nobody writes to
   * it, and other nodes publish elsewhere. Not at each refusal: while there is no primary at all, who listens here at
   * least hears the others who do.
   */
  function isDemoted({ message }: Error): boolean {
    if (!message.startsWith('READONLY') || elapsed() - leftAt < LEAVE_EVERY_MS) return false;
    leftAt = elapsed();
    for (const client of [pub, sub]) client.disconnect(true);
    return true;
  }
  const common = {
    maxRetriesPerRequest: null,
    // Says who the driver is, which Redis 7.0 does not know, and which a user of few rights may not.
    disableClientInfo: true,
    connectTimeout: 3_000,
    retryStrategy: (times: number) => Math.min(50 * 2 ** Math.min(times, 10), MAX_PAUSE_MS) * (0.5 + Math.random() / 2),
  };
  const impatient = {
    ...common,
    enableOfflineQueue: false,
    // Redis may have done what it had no time to answer, and what was late once would come twice.
    autoResendUnfulfilledCommands: false,
    commandTimeout: COMMAND_TIMEOUT_MS,
    socketTimeout: SILENCE_MS,
  };
  const pub = new Redis(url, impatient);
  const sub = new Redis(url, common);
  // One write for all commands of a turn of the event loop.
  const state = new Redis(url, { ...impatient, enableAutoPipelining: true, reconnectOnError: isDemoted });
  const all = [pub, sub, state];
  watch(sub, report);
  // Every failure is the affair of whoever asked; without a listener it would end the process.
  for (const client of all) client.on('error', () => {});

  return {
    pub,
    sub,
    state,
    async ready() {
      const waiting = all.find(({ status }) => status !== 'ready');
      if (waiting) throw new DuetError('UNAVAILABLE', { cause: new Error(`the connection is ${waiting.status}`) });
      await answer(() => heard(state));
    },
    close() {
      for (const client of all) client.disconnect();
    },
  };
}

function watch(client: Redis, report: Report): void {
  let lost = false;
  let why: Error | undefined;
  client.on('error', (error) => {
    why = bare(error);
  });
  client.on('close', () => {
    if (!lost) report('redis lost', why);
    lost = true;
  });
  client.on('ready', () => {
    if (lost) report('redis back');
    lost = false;
  });
}

/** An error for the log. The driver's own holds the command that failed, which may be the one that says the password. */
const bare = ({ message, code }: NodeJS.ErrnoException) => new Error(message || code);

/**
 * Resolves when Redis has answered everything that was sent before. An error is an answer, too: a Redis that cannot save
 * refuses even a ping, and serves subscriptions all the same.
 */
export async function heard(client: Redis): Promise<void> {
  await client.ping().catch((error: Error) => {
    if (error.name !== 'ReplyError') throw error;
  });
}

/** The result of `work`; whatever the driver throws becomes UNAVAILABLE. */
export async function answer<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    throw new DuetError('UNAVAILABLE', { cause });
  }
}
