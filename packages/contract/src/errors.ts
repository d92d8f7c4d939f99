/**
 * What a client does after a failure, decided by this class alone:
 * - `never`: show it, drop the request; the same request will fail again.
 * - `reauth`: refresh the token once, then sign in again.
 * - `wait`: keep the request, wait `retryAfterMs` plus jitter, send it again.
 * - `same`: the outcome is unknown; repeat with the same `tempId`, which is safe.
 */
export type RetryClass = 'never' | 'reauth' | 'wait' | 'same';

interface ErrorRow {
  readonly status: number;
  readonly retry: RetryClass;
  readonly text: string;
}

/** The one table of errors: code -> HTTP status, retry class and the default sentence for people. */
export const errorTable = {
  VALIDATION_ERROR: { status: 400, retry: 'never', text: 'The request is not valid' },
  MALFORMED_JSON: { status: 400, retry: 'never', text: 'The body is not valid JSON' },
  INVALID_CREDENTIALS: { status: 401, retry: 'never', text: 'Invalid email or password' },
  UNAUTHORIZED: { status: 401, retry: 'reauth', text: 'Authentication is required' },
  TOKEN_EXPIRED: { status: 401, retry: 'reauth', text: 'The token has expired' },
  SESSION_REVOKED: { status: 401, retry: 'reauth', text: 'The session has been ended' },
  FORBIDDEN: { status: 403, retry: 'never', text: 'This is not allowed' },
  NOT_FOUND: { status: 404, retry: 'never', text: 'Not found' },
  CONFLICT: { status: 409, retry: 'never', text: 'This already exists' },
  IDEMPOTENCY_CONFLICT: { status: 409, retry: 'never', text: 'This tempId was used for another message' },
  PAYLOAD_TOO_LARGE: { status: 413, retry: 'never', text: 'The request is too large' },
  UNSUPPORTED_MEDIA: { status: 415, retry: 'never', text: 'The body must be application/json' },
  RATE_LIMITED: { status: 429, retry: 'wait', text: 'Too many requests, try again later' },
  TOO_MANY_CONNECTIONS: { status: 429, retry: 'wait', text: 'Too many connections' },
  INTERNAL: { status: 500, retry: 'same', text: 'Something went wrong, try again' },
  UNAVAILABLE: { status: 503, retry: 'same', text: 'The service is not available, try again' },
} as const satisfies Record<string, ErrorRow>;

export type ErrorCode = keyof typeof errorTable;

/** One bad field of a request: where it stands and what is wrong with it. */
export interface FieldError {
  field: string;
  message: string;
}

export interface DuetErrorOptions {
  /** Replaces the table's sentence; must be fit for a client's eyes. */
  message?: string;
  details?: FieldError[];
  retryAfterMs?: number;
  /** The fault behind it: goes to the log, never to a client. */
  cause?: unknown;
}

/** The only error that rules and adapters throw on purpose. Its message may be shown to a client; its cause may not. */
export class DuetError extends Error {
  readonly code: ErrorCode;
  readonly details: FieldError[] | undefined;
  readonly retryAfterMs: number | undefined;

  constructor(code: ErrorCode, options: DuetErrorOptions = {}) {
    super(options.message ?? errorTable[code].text, { cause: options.cause });
    this.name = 'DuetError';
    this.code = code;
    this.details = options.details;
    this.retryAfterMs = options.retryAfterMs;
  }
}

/** What an acknowledgement or a socket `error` event says of a failure. */
export interface ErrorBody {
  code: ErrorCode;
  message: string;
  retryAfterMs?: number;
}

/** Turns anything thrown into a DuetError; what is not one becomes INTERNAL with the original as its cause. */
export function toDuetError(thrown: unknown): DuetError {
  return thrown instanceof DuetError ? thrown : new DuetError('INTERNAL', { cause: thrown });
}

/** The part of an error that a client may see. */
export function errorBody(error: DuetError): ErrorBody {
  const { code, message, retryAfterMs } = error;
  return retryAfterMs === undefined ? { code, message } : { code, message, retryAfterMs };
}
