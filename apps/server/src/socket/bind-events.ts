import {
  type ClientEventName,
  type ClientEventRow,
  clientEvents,
  DuetError,
  type ErrorCode,
  errorBody,
  errorTable,
  limits,
  TempId,
  toDuetError,
  validate,
} from '@duet/contract';
import type { Caller, Limiter } from '@duet/core';
import type { Socket } from 'socket.io';
import type { Log } from '../ops/log.ts';
import type { Metrics } from '../ops/metrics.ts';
import type { Backlog } from './backlog.ts';
import type { EventHandlers } from './handlers.ts';

export interface EventDeps {
  handlers: EventHandlers;
  /** undefined: no limits. */
  limiter: Limiter | undefined;
  /** An event came that does not exist. */
  unknownEvent: (socket: Socket) => void;
  /** An event was answered with what it asked for. */
  served: (socket: Socket, name: ClientEventName, payload: unknown) => void;
  backlog: Backlog;
  metrics: Metrics;
  log: Log;
}

type Acknowledge = (answer: object) => void;
type Run = (caller: Caller, payload: unknown) => Promise<unknown>;

const eventNames = Object.keys(clientEvents) as ClientEventName[];

/** Splits what a client sent into payload and callback; both may be missing, or anything at all. */
function split(args: unknown[]): { payload: unknown; acknowledge: Acknowledge | undefined } {
  const last = args.at(-1);
  return typeof last === 'function'
    ? { payload: args.length > 1 ? args[0] : undefined, acknowledge: last as Acknowledge }
    : { payload: args[0], acknowledge: undefined };
}

/** Binds every event of the contract; knows none by name. Limits, validation and answers come from the table. */
export function createEventBinder({ handlers, limiter, unknownEvent, served, backlog, metrics, log }: EventDeps) {
  function fail(socket: Socket, event: string, { thrown, args }: { thrown: unknown; args: unknown[] }): ErrorCode {
    const error = toDuetError(thrown);
    const { payload, acknowledge } = split(args);
    metrics.error(error.code);
    if (errorTable[error.code].status >= 500) log.error({ err: error, event, user: socket.data.user }, 'event failed');
    if (acknowledge) {
      acknowledge({ ok: false, error: errorBody(error) });
      return error.code;
    }
    const tempId = (payload as { tempId?: unknown } | null | undefined)?.tempId;
    const known = TempId.safeParse(tempId).success ? { tempId } : {};
    socket.emit('error', { ...errorBody(error), event, ...known });
    return error.code;
  }

  async function take(name: ClientEventName, user: string, cost = 1): Promise<void> {
    const bucket = clientEvents[name].limit;
    const taken = await limiter?.take(`${bucket}:${user}`, limits[bucket], cost);
    if (taken && !taken.ok) throw new DuetError('RATE_LIMITED', { retryAfterMs: taken.retryAfterMs });
  }

  /** Asks the limiter for the events of one socket side by side, and lets them pass in the order in which they came. */
  function createGate(user: string) {
    let before: Promise<unknown> = Promise.resolve();
    return async (name: ClientEventName): Promise<void> => {
      const earlier = before;
      const taken = take(name, user);
      before = Promise.allSettled([earlier, taken]);
      await earlier;
      await taken;
    };
  }

  function listener(
    socket: Socket,
    name: ClientEventName,
    pass: ((name: ClientEventName) => Promise<void>) | undefined,
  ) {
    const { payload: schema, echo, cost, long = false }: ClientEventRow = clientEvents[name];
    const run = handlers[name] as Run;
    const caller: Caller = { user: socket.data.user, socket: socket.id };
    async function answer(valid: unknown, acknowledge: Acknowledge | undefined): Promise<void> {
      const data = await run(caller, valid);
      if (echo && (echo.when === 'always' || !acknowledge)) socket.emit(echo.event, data);
      acknowledge?.({ ok: true, data });
    }
    return async (...args: unknown[]) => {
      const start = performance.now();
      try {
        const { payload, acknowledge } = split(args);
        if (pass) await pass(name);
        // Nothing is a request without fields, as it is in REST.
        const valid = validate(schema, payload === undefined ? {} : payload);
        // The first unit has been taken: what came is counted whether it is valid or not.
        const more = (cost?.(valid as never) ?? 1) - 1;
        if (more > 0) await take(name, caller.user, more);
        if (long) await backlog.inTurn(caller.user, () => answer(valid, acknowledge), socket.conn);
        else await answer(valid, acknowledge);
        served(socket, name, valid);
        metrics.event(name, 'ok', (performance.now() - start) / 1000);
      } catch (thrown) {
        const code = fail(socket, name, { thrown, args });
        metrics.event(name, errorTable[code].retry, (performance.now() - start) / 1000);
      }
    };
  }

  return (socket: Socket): void => {
    const pass = limiter && createGate(socket.data.user);
    for (const name of eventNames) socket.on(name, listener(socket, name, pass));
    socket.onAny((event: string, ...args: unknown[]) => {
      // Own names alone: every object also has a `constructor` and a `toString`.
      if (Object.hasOwn(clientEvents, event)) return;
      fail(socket, event, { thrown: new DuetError('NOT_FOUND', { message: 'Unknown event' }), args });
      unknownEvent(socket);
    });
  };
}
