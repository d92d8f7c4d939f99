import { randomUUID } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { DuetError, errorTable, openApiDocument, toDuetError } from '@duet/contract';
import cors from 'cors';
import express, { type ErrorRequestHandler, type Express, type RequestHandler, type Router } from 'express';
import helmet from 'helmet';
import type { Log } from '../ops/log.ts';
import type { Metrics } from '../ops/metrics.ts';
import type { OriginRule } from '../origins.ts';
import { createFiles } from './files.ts';
import { CLIENT, createPage, NOTHING, pagesOf, REFERENCE } from './pages.ts';

/** Found by its path: importing the package would run its browser code. */
const SWAGGER_UI = fileURLToPath(new URL('.', import.meta.resolve('swagger-ui-dist/package.json')));
/** The package's own page knows no nonces. */
const REFERENCE_PAGE = `<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8" />
    <title>Duet REST API</title>
    <link rel="icon" href="/icon.svg" type="image/svg+xml" />
    <link rel="stylesheet" href="/api/docs/swagger-ui.css" nonce="{{nonce}}" />
  </head>
  <body>
    <div id="swagger-ui"></div>
    <script src="/api/docs/swagger-ui-bundle.js" nonce="{{nonce}}"></script>
    <script src="/api/docs/swagger-initializer.js" nonce="{{nonce}}"></script>
  </body>
</html>
`;
const REQUEST_ID = /^[\w-]{1,64}$/;
/** Set before it is known whether a file is sent. */
const OF_A_FILE = ['Content-Encoding', 'Content-Type', 'ETag', 'Last-Modified'];
const ASSET_MAX_AGE_MS = 365 * 24 * 3600 * 1000;

export interface AppDeps {
  log: Log;
  metrics: Metrics;
  mayCall: OriginRule;
  trustProxy: number;
  /** Health and metrics. */
  ops: Router;
  /** The contract's routes; undefined while the node waits for its backing services. */
  api: Router | undefined;
  /** Folder of the built web client. */
  web: string;
}

/** The HTTP side of a node: headers, CORS, routes, the web client, and one place that answers errors. */
export function createApp(deps: AppDeps): Express {
  const app = express();
  app.disable('x-powered-by');
  app.set('trust proxy', deps.trustProxy);
  app.set('query parser', 'simple');

  app.use(requestId, securityHeaders());
  app.use(deps.ops);
  app.use('/api', crossOrigin(deps.mayCall), preflightRefused);
  if (deps.api) app.use('/api/docs', reference());
  app.use('/api', keptNowhere, deps.api ?? notYet);
  app.use('/api', notFound);
  app.use(webClient(deps.web));
  app.use(notFound);
  app.use(errorAnswer(deps));
  return app;
}

const requestId: RequestHandler = (req, res, next) => {
  const given = req.get('x-request-id');
  const id = given !== undefined && REQUEST_ID.test(given) ? given : randomUUID();
  res.locals.requestId = id;
  res.set('X-Request-Id', id);
  next();
};

/** What people write to each other would stay on a shared computer after they have signed out. */
const keptNowhere: RequestHandler = (_req, res, next) => {
  res.set('Cache-Control', 'no-store');
  next();
};

function securityHeaders(): RequestHandler {
  return helmet({ contentSecurityPolicy: { useDefaults: false, directives: NOTHING } });
}

function crossOrigin(mayCall: OriginRule): RequestHandler {
  return cors((req, done) => {
    const origin = mayCall(req.headers.origin, req.headers.host);
    done(null, { origin, exposedHeaders: ['X-Request-Id', 'Retry-After'], maxAge: 600 });
  });
}

/** What is left of preflights is not allowed: said by the headers that are missing, and not in the framework's own words. */
const preflightRefused: RequestHandler = (req, res, next) => {
  if (req.method === 'OPTIONS') res.status(204).end();
  else next();
};

/** The REST reference as a page, and the document that it shows. */
function reference(): Router {
  const router = express.Router();
  const document = openApiDocument();
  router.get('/openapi.json', (_req, res) => {
    res.json(document);
  });
  // The package's own file would show a sample of somebody else's service.
  router.get('/swagger-initializer.js', (_req, res) => {
    res.type('js').send(`window.ui = SwaggerUIBundle({ url: '/api/docs/openapi.json', dom_id: '#swagger-ui' });`);
  });
  router.get(
    '/',
    createPage(async () => REFERENCE_PAGE, REFERENCE),
  );
  router.use(express.static(SWAGGER_UI, { maxAge: '1h', index: false }));
  return router;
}

function webClient(folder: string): Router {
  const router = express.Router();
  // File names below assets/ carry a hash of their content, so they may be kept for ever; everything else is asked again.
  router.use(
    '/assets',
    createFiles(`${folder}/assets`, { maxAge: ASSET_MAX_AGE_MS, immutable: true, fallthrough: false }),
  );
  router.get(/^\/([\w-]+\.html)?$/, createPage(pagesOf(folder), CLIENT));
  router.use(createFiles(folder, { cacheControl: false }));
  return router;
}

const notYet: RequestHandler = () => {
  throw new DuetError('UNAVAILABLE', { retryAfterMs: 1_000 });
};

const notFound: RequestHandler = () => {
  throw new DuetError('NOT_FOUND');
};

/** What the framework throws for bad requests, as codes of the table. */
function translate(thrown: unknown): DuetError {
  const { status, type } = thrown as { status?: number; type?: string };
  if (thrown instanceof DuetError || status === undefined || status >= 500) return toDuetError(thrown);
  if (type === 'entity.parse.failed') return new DuetError('MALFORMED_JSON');
  if (status === 404) return new DuetError('NOT_FOUND');
  if (status === 413) return new DuetError('PAYLOAD_TOO_LARGE');
  if (status === 415) return new DuetError('UNSUPPORTED_MEDIA');
  return new DuetError('VALIDATION_ERROR');
}

function errorAnswer({ log, metrics }: AppDeps): ErrorRequestHandler {
  // biome-ignore lint/complexity/useMaxParams: Express tells an error handler by its four parameters.
  return (thrown, req, res, _next) => {
    const error = translate(thrown);
    const { status } = errorTable[error.code];
    metrics.error(error.code);
    if (status >= 500)
      log.error({ err: error, requestId: res.locals.requestId, method: req.method, path: req.path }, 'request failed');
    if (res.headersSent) return res.destroy();
    for (const name of OF_A_FILE) res.removeHeader(name);
    res.set('Cache-Control', 'no-store');
    if (error.retryAfterMs !== undefined) res.set('Retry-After', String(Math.ceil(error.retryAfterMs / 1000)));
    const { code, message, details, retryAfterMs } = error;
    res.status(status).json({
      success: false,
      message,
      code,
      ...(details ? { errors: details } : {}),
      ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
    });
  };
}
