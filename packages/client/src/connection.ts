import { io } from 'socket.io-client';
import { codeOf } from './api.ts';
import { DuetError, type ErrorBody, type ErrorCode, errorTable } from './errors.ts';
import { backoff, elapsed, type Runtime } from './runtime.ts';
import type { Tokens } from './tokens.ts';
import type { ClientEvents, ServerEvents } from './wire.ts';

/**
 * - `connecting`: the first try after `start` or `foreground`, or with a new token after the server refused the last one
 * - `offline`: not connected; it is tried again by itself unless the app is in the background or stopped
 * - `refused`: the server does not accept the user; nothing is tried until `start` is called again
 */
export type ConnectionState = 'connecting' | 'online' | 'offline' | 'refused';

/** No acknowledgement after this time: none will come. */
const ACK_MS = 10_000;
/** For a token, then for a way to the server, and then for the server to let the user in. */
const CONNECT_MS = 20_000;
/** The app is asked for a token once more when it has said nothing for as long as this: it may be asking its user. */
const ASK_AGAIN_MS = 60_000;
const FIRST_RETRY_MS = 2_000;
/** A connection that lasted as long as this was a good one: what failed before it is forgotten. */
const STEADY_MS = 10_000;
/** A token that was got longer ago than this may have expired when it is refused. */
const FRESH_MS = 60_000;
/**
 * New tokens that are tried one after the other where they are said to be nobody's: not every node may know the key, and
 * a proxy may lead a device to the same one until that is started anew. With their pauses it takes about a minute.
 */
const MAX_RENEWALS = 7;

export interface ConnectionDeps {
  url: string;
  tokens: Tokens;
  /** Not secret; keeps a device on one node where a proxy hashes it. */
  deviceId: string;
  transports: ('websocket' | 'polling')[];
  runtime: Runtime;
  onState: (state: ConnectionState) => void;
}

type Ack<T> = { ok: true; data: T } | { ok: false; error: { code: string; message: string; retryAfterMs?: number } };

/**
 * One socket, and the only place that decides when to connect it: the library's own way would let clients that were cut
 * off together come back together, and goes on for ever with a token that was refused.
 */
export function createConnection({ url, tokens, deviceId, transports, runtime, onState }: ConnectionDeps) {
  let state: ConnectionState = 'offline';
  let wanted = false;
  /** Counts tries, so that what belongs to an earlier one is ignored. */
  let attempt = 0;
  let failures = 0;
  /** When a token was last got in place of one that was refused; never, once a connection has lasted. */
  let renewedAt = Number.NEGATIVE_INFINITY;
  /** How often that was so, each time soon after the last one. */
  let renewals = 0;
  /** Nothing is under way, and no reason to wait but a network that may be back. */
  let mayWake = false;
  let onlineSince = 0;
  /** Packets of any kind from the server: a connection on which none comes is not one. */
  let heard = 0;
  let token: string | undefined;
  /** The token that was asked for and that no try has used, and when that was. */
  let asking: { token: Promise<string | undefined>; since: number } | undefined;
  let cancel = () => {};

  const socket = io(url, {
    auth: (give) => give({ token }),
    autoConnect: false,
    forceNew: true,
    query: { k: deviceId },
    reconnection: false,
    transports,
    tryAllTransports: true,
  });
  socket.io.timeout(false); // `giveUp` ends a try

  function become(next: ConnectionState): void {
    if (state === next) return;
    state = next;
    onState(next);
  }

  /** Ends whatever is going on; the library's buffer must not send later what has been given up. */
  function cut(): void {
    attempt += 1;
    mayWake = false;
    cancel();
    socket.disconnect();
    socket.sendBuffer = [];
  }

  function settle(): void {
    if (state !== 'online' || elapsed(runtime, onlineSince) < STEADY_MS) return;
    failures = 0;
    renewedAt = Number.NEGATIVE_INFINITY;
  }

  /** What the app takes longer for than a try may take is for the next one. Of two answers the first one counts. */
  function ask(): Promise<string | undefined> {
    if (asking && elapsed(runtime, asking.since) < ASK_AGAIN_MS) return asking.token;
    const answers = asking ? [asking.token, tokens.get()] : [tokens.get()];
    const mine = { token: Promise.race(answers), since: runtime.now() };
    asking = mine;
    mine.token.catch(() => {
      if (asking === mine) asking = undefined;
    });
    return mine.token;
  }

  async function open(refresh = false): Promise<void> {
    cut();
    const mine = attempt;
    cancel = runtime.after(CONNECT_MS, () => retry());
    const given = await (refresh ? tokens.refresh() : ask()).catch(() => 'failed' as const);
    if (mine !== attempt) return;
    asking = undefined;
    if (given === undefined) return refuse();
    // The token could not be had, as when it must be refreshed over a network that is not there.
    if (given === 'failed') return retry();
    if (refresh) renewedAt = runtime.now();
    token = given;
    cancel();
    cancel = runtime.after(CONNECT_MS, giveUp);
    socket.connect();
  }

  /** The library tries the other transport after an error alone, and a websocket that is swallowed on the way is none. */
  function giveUp(): void {
    if (socket.io.engine.readyState === 'open') {
      cancel = runtime.after(CONNECT_MS, () => retry());
      return;
    }
    const [first, ...others] = socket.io.opts.transports as typeof transports;
    socket.io.opts.transports = [...others, ...(first ? [first] : [])];
    retry();
  }

  function retry(atLeastMs = 0, refresh = false): void {
    settle();
    cut();
    become('offline');
    if (!wanted) return;
    cancel = runtime.after(atLeastMs + backoff(failures, FIRST_RETRY_MS, runtime.random), () => void open(refresh));
    failures += 1;
    mayWake = !refresh;
  }

  function refuse(): void {
    cut();
    wanted = false;
    become('refused');
  }

  /**
   * The token was refused: a new one is got once. If a node says of that one that nobody it knows has signed it, others
   * are got, with pauses: so it is while the key is changed on one node after the other.
   */
  function renew(code?: ErrorCode): void {
    settle();
    if (elapsed(runtime, renewedAt) >= FRESH_MS) renewals = 0;
    renewals += 1;
    if (renewals > (code === 'UNAUTHORIZED' ? MAX_RENEWALS : 1)) refuse();
    else if (renewals > 1) retry(0, true);
    else {
      void open(true);
      // What has gone is not online: the next connection is told, and has to last before `settle` counts it. Told only
      // now, so that whoever stops the chat when told so ends this try as well.
      if (state === 'online') become('connecting');
    }
  }

  socket.on('connect', () => {
    cancel();
    onlineSince = runtime.now();
    socket.io.engine.on('packet', () => {
      heard += 1;
    });
    become('online');
  });
  socket.on('disconnect', (reason) => {
    if (reason !== 'io client disconnect') retry();
  });
  socket.on('connect_error', (error: Error & { data?: Partial<ErrorBody> }) => {
    const { code, retryAfterMs } = error.data ?? {};
    const retryClass = code === undefined ? 'same' : errorTable[codeOf(code)].retry;
    if (retryClass === 'reauth') renew(code);
    else if (retryClass === 'never') refuse();
    else retry(retryAfterMs);
  });

  return {
    /** Connects, and stays connected until `stop`. */
    start(): void {
      if (wanted) return;
      wanted = true;
      failures = 0;
      renewedAt = Number.NEGATIVE_INFINITY;
      become('connecting');
      void open();
    },
    stop(): void {
      wanted = false;
      asking = undefined;
      cut();
      become('offline');
    },
    /** The network may be back: tries now instead of when the pause ends. What is under way goes on. */
    wake(): void {
      if (mayWake) void open();
    },
    renew: (): void => renew(),
    isOnline: (): boolean => socket.connected,
    on<N extends keyof ServerEvents>(name: N, listener: (payload: ServerEvents[N]) => void): void {
      socket.on(name as string, listener);
    },
    /**
     * Sends an event and waits for its acknowledgement. When none comes in `patienceMs`, and nothing else has either,
     * the connection only looks open, and is made anew.
     * @throws DuetError what the server answered; UNAVAILABLE when no answer came: the outcome is unknown
     */
    async emit<N extends keyof ClientEvents>(
      name: N,
      payload: ClientEvents[N]['input'],
      patienceMs = ACK_MS,
    ): Promise<ClientEvents[N]['answer']> {
      if (!socket.connected) throw new DuetError('UNAVAILABLE');
      const before = { attempt, heard };
      const answer = socket.timeout(patienceMs).emitWithAck(name, payload) as Promise<Ack<ClientEvents[N]['answer']>>;
      const ack = await answer.catch((cause: unknown) => {
        if (before.attempt === attempt && before.heard === heard) retry();
        throw new DuetError('UNAVAILABLE', { cause });
      });
      if (ack.ok) return ack.data;
      const { code, message, retryAfterMs } = ack.error;
      throw new DuetError(codeOf(code), retryAfterMs === undefined ? { message } : { message, retryAfterMs });
    },
  };
}
export type Connection = ReturnType<typeof createConnection>;
