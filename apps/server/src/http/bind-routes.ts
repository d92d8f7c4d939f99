import { DuetError, type LimitName, limits, type RouteName, type RouteRow, routes, validate } from '@duet/contract';
import type { Caller, Claims, Limiter } from '@duet/core';
import { json, type Request, type RequestHandler, type Response, Router } from 'express';
import { rateLimit } from 'express-rate-limit';
import { networkOf } from '../addresses.ts';
import type { Metrics } from '../ops/metrics.ts';
import type { Backlog } from '../socket/backlog.ts';
import type { RestCaller, RouteHandlers } from './handlers.ts';

/** Longest request body, in bytes: a message of 4,000 code points escaped as JSON, with room. */
const MAX_BODY = 64 * 1024;
/** What is kept of a User-Agent header, in characters. */
const MAX_AGENT = 200;

export interface RouteDeps {
  handlers: RouteHandlers;
  authenticate: (token: string) => Promise<Claims>;
  /** undefined: no limits. */
  limiter: Limiter | undefined;
  backlog: Backlog;
  metrics: Metrics;
}

/** Binds every route of the contract; knows none by name. Limits, authentication, validation and envelope come from the table. */
export function bindRoutes(deps: RouteDeps): Router {
  const router = Router();
  const limit = limitsFor(deps.limiter);
  const body = [requireJson, json({ limit: MAX_BODY, type: 'application/json' })];
  router.use(noteArrival);

  for (const [name, route] of Object.entries(routes) as [RouteName, RouteRow][]) {
    const byUser = limits[route.limit].by === 'user';
    router[route.method](
      route.path,
      ...(byUser ? [] : limit(route.limit)),
      ...(route.auth ? [authenticated(deps.authenticate)] : []),
      ...(byUser ? limit(route.limit) : []),
      ...(route.body ? body : []),
      answer(name, route, deps),
    );
  }
  return router;
}

function answer(name: RouteName, route: RouteRow, { handlers, backlog, metrics }: RouteDeps): RequestHandler {
  // The table ties input and handler together by name; within the loop that tie cannot be expressed as a type.
  const handle = handlers[name] as (input: unknown, caller: RestCaller) => Promise<unknown>;
  return async (req, res) => {
    const input = {
      params: route.params && validate(route.params, req.params),
      query: route.query && validate(route.query, req.query),
      body: route.body && validate(route.body, req.body ?? {}),
    };
    const agent = (req.get('user-agent') ?? '').slice(0, MAX_AGENT);
    const caller = callerOf(res);
    const write = async () => {
      const data = await handle(input, { ...caller, agent });
      res.status(route.status).json({ success: true, message: route.message, data });
    };
    await (route.long ? backlog.inTurn(caller.user, write, res) : write());
    metrics.request(name, (performance.now() - res.locals.arrivedAt) / 1000);
  };
}

const noteArrival: RequestHandler = (_req, res, next) => {
  res.locals.arrivedAt = performance.now();
  next();
};

const callerOf = (res: Response): Caller => res.locals.caller ?? { user: '' };

function authenticated(authenticate: RouteDeps['authenticate']): RequestHandler {
  return async (req, res, next) => {
    // Of two, proxy and node could each believe another one.
    const [authorization = '', second] = req.headersDistinct.authorization ?? [];
    const token = second === undefined ? /^Bearer ([^\s,]+)$/i.exec(authorization)?.[1] : undefined;
    if (token === undefined) throw new DuetError('UNAUTHORIZED');
    const { user, session } = await authenticate(token);
    res.locals.caller = { user, session } satisfies Caller;
    next();
  };
}

/** A body of another type is refused rather than ignored: it would look like one with every field missing. */
const requireJson: RequestHandler = (req, _res, next) => {
  const hasBody = req.headers['transfer-encoding'] !== undefined || Number(req.headers['content-length'] ?? 0) > 0;
  if (hasBody && !req.is('application/json')) throw new DuetError('UNSUPPORTED_MEDIA');
  next();
};

function limitsFor(limiter: Limiter | undefined): (name: LimitName) => RequestHandler[] {
  if (!limiter) return () => [];
  return (name) => {
    const { limit, windowMs, by } = limits[name];
    return [
      rateLimit({
        limit,
        windowMs,
        standardHeaders: 'draft-8',
        legacyHeaders: false,
        // It warns about a forwarded address that no proxy was configured for, which is simply not believed here, and about
        // keys that it has not made itself.
        validate: { xForwardedForHeader: false, keyGeneratorIpFallback: false },
        keyGenerator: (req, res) => `${name}:${by === 'user' ? callerOf(res).user : networkOf(req.ip)}`,
        store: bucketStore(limiter, { limit, windowMs }),
        handler: (req) => {
          const resetTime = (req as Request & { rateLimit: { resetTime: Date } }).rateLimit.resetTime;
          throw new DuetError('RATE_LIMITED', { retryAfterMs: Math.max(1, resetTime.getTime() - Date.now()) });
        },
      }),
    ];
  };
}

/** The cluster's token buckets as express-rate-limit's store, so that REST and events are limited by the same means. */
function bucketStore(limiter: Limiter, rule: { limit: number; windowMs: number }) {
  return {
    localKeys: false,
    async increment(key: string) {
      const { ok, remaining, retryAfterMs } = await limiter.take(key, rule);
      const totalHits = ok ? Math.max(1, rule.limit - remaining) : rule.limit + 1;
      return { totalHits, resetTime: new Date(Date.now() + retryAfterMs) };
    },
    // Nothing is given back: a bucket refills by itself.
    decrement() {},
    resetKey() {},
  };
}
