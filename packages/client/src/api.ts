import { DuetError, type ErrorCode, errorTable, type FieldError, toDuetError } from './errors.ts';
import { type Runtime, systemRuntime } from './runtime.ts';
import { createTokens, type GetToken, type Tokens } from './tokens.ts';
import type { Conversation, Message, Privacy, User, Watermarks } from './wire.ts';

/** What opens REST and sockets, and what gets the next pair. */
export interface SignedIn {
  token: string;
  refreshToken: string;
}
/** Somebody signed in on one device. */
export interface SignedInDevice {
  _id: string;
  device: string;
  createdAt: string;
  lastUsedAt: string;
  /** Whether it is this one. */
  current: boolean;
}

export interface ApiOptions {
  /** Where the server is, such as `https://chat.example.org`. */
  url: string;
  /** Without it only `register` and `login` are of use. */
  getToken?: GetToken;
  runtime?: Runtime;
}

/**
 * The REST routes as functions. Each rejects with a DuetError whose `code` is one of the contract's table; UNAVAILABLE
 * also when the server cannot be reached. A refused token is refreshed once.
 */
export interface Api {
  register(account: {
    username: string;
    email: string;
    password: string;
    device?: string;
  }): Promise<SignedIn & { user: User }>;
  login(credentials: { email: string; password: string; device?: string }): Promise<SignedIn & { user: User }>;
  /** `createSession` calls it. */
  refresh(used: { refreshToken: string }): Promise<SignedIn>;
  logout(): Promise<unknown>;
  /** The devices on which this user is signed in. */
  sessions(): Promise<{ sessions: SignedInDevice[] }>;
  /** Signs out on one of them. */
  endSession(id: string): Promise<unknown>;
  /** Also signs out on all other devices. */
  changePassword(passwords: { currentPassword: string; newPassword: string }): Promise<unknown>;
  deleteAccount(proof: { password: string }): Promise<unknown>;
  me(): Promise<{ user: User }>;
  /** Those whom this user has blocked, the last one first. */
  blocks(): Promise<{ blocks: { user: User; createdAt: string }[] }>;
  /** Nothing of him reaches this user any more, and he is not told. */
  block(userId: string): Promise<unknown>;
  unblock(userId: string): Promise<unknown>;
  /** What this user shows to others. Who hides something does not see it of others. */
  privacy(): Promise<{ privacy: Privacy }>;
  changePrivacy(shown: Partial<Privacy>): Promise<{ privacy: Privacy }>;
  /** Everyone else, by name; `q` is how the names begin. */
  users(page?: { q?: string; limit?: number; cursor?: string }): Promise<{
    users: User[];
    nextCursor?: string | undefined;
  }>;
  conversations(page?: { limit?: number; cursor?: string }): Promise<{
    conversations: Conversation[];
    nextCursor?: string | undefined;
  }>;
  /** A page of a conversation, oldest first; `before` and `after` are seqs. */
  history(
    userId: string,
    page?: { limit?: number; before?: number; after?: number },
  ): Promise<{ messages: Message[]; count: number; watermarks: Watermarks }>;
  unreadCount(): Promise<{ unreadCount: number }>;
}

type Envelope<T> =
  | { success: true; data: T }
  | { success: false; message: string; code: string; errors?: FieldError[]; retryAfterMs?: number };

/** An answer is waited for so long in all, in so many steps. */
const PATIENCE_MS = 15_000;
const STEPS = 5;

interface Request {
  method: 'GET' | 'POST' | 'PUT' | 'DELETE';
  path: string;
  body?: unknown;
}

function query(parts: Record<string, string | number | undefined>): string {
  const given = Object.entries(parts).filter(([, value]) => value !== undefined && value !== '');
  const pairs = given.map(([key, value]) => `${key}=${encodeURIComponent(String(value))}`);
  return pairs.length === 0 ? '' : `?${pairs.join('&')}`;
}

/** Any code of the table; one that this version does not know yet counts as a fault of the server. */
export const codeOf = (code: string): ErrorCode => (code in errorTable ? (code as ErrorCode) : 'INTERNAL');

/**
 * Gives up after a while. The timers of a device that was suspended fire before it takes what has arrived meanwhile: so
 * the time is counted in steps, of which such a pause is one.
 * @returns a function that calls it off
 */
function giveUpLater(runtime: Runtime, giveUp: () => void): () => void {
  let cancel = () => {};
  const step = (left: number) => {
    cancel = runtime.after(PATIENCE_MS / STEPS, left === 1 ? giveUp : () => step(left - 1));
  };
  step(STEPS);
  return () => cancel();
}

/** A request, and what answers it. */
interface Call extends Request {
  url: string;
  token: string | undefined;
  runtime: Runtime;
}

async function request<T>({ url, method, path, body, token, runtime }: Call): Promise<T> {
  const headers: Record<string, string> = {};
  if (token !== undefined) headers.authorization = `Bearer ${token}`;
  if (body !== undefined) headers['content-type'] = 'application/json';
  // The platform would wait for ever on a connection that only looks open.
  const patience = new AbortController();
  const end = giveUpLater(runtime, () => patience.abort());
  const init = { method, headers, signal: patience.signal };
  const envelope = await fetch(`${url}/api${path}`, body === undefined ? init : { ...init, body: JSON.stringify(body) })
    .then((response) => response.json() as Promise<Envelope<T>>)
    .catch((cause: unknown) => {
      throw new DuetError('UNAVAILABLE', { cause, message: 'The server cannot be reached' });
    })
    .finally(end);
  if (envelope.success) return envelope.data;
  throw new DuetError(codeOf(envelope.code), {
    message: envelope.message,
    ...(envelope.errors ? { details: envelope.errors } : {}),
    ...(envelope.retryAfterMs === undefined ? {} : { retryAfterMs: envelope.retryAfterMs }),
  });
}

/** The REST routes alone, as for signing in. */
export function createApi({ url, getToken = () => undefined, runtime = systemRuntime }: ApiOptions): Api {
  return apiWith(url, createTokens(getToken), runtime);
}

/** The same with tokens that others use as well, as a chat does: one refresh is then for all. */
export function apiWith(url: string, tokens: Tokens, runtime = systemRuntime): Api {
  async function call<T>(what: Request): Promise<T> {
    try {
      return await request<T>({ ...what, url, runtime, token: await tokens.get() });
    } catch (thrown) {
      const error = toDuetError(thrown);
      if (errorTable[error.code].retry !== 'reauth') throw error;
      const token = await tokens.refresh().catch(() => undefined);
      if (token === undefined) throw error;
      return request<T>({ ...what, url, runtime, token });
    }
  }
  return {
    register: (body) => call({ method: 'POST', path: '/auth/register', body }),
    login: (body) => call({ method: 'POST', path: '/auth/login', body }),
    refresh: (body) => call({ method: 'POST', path: '/auth/refresh', body }),
    logout: () => call({ method: 'POST', path: '/auth/logout' }),
    sessions: () => call({ method: 'GET', path: '/auth/sessions' }),
    endSession: (id) => call({ method: 'DELETE', path: `/auth/sessions/${id}` }),
    changePassword: (body) => call({ method: 'PUT', path: '/auth/password', body }),
    deleteAccount: (body) => call({ method: 'DELETE', path: '/auth/me', body }),
    me: () => call({ method: 'GET', path: '/auth/me' }),
    blocks: () => call({ method: 'GET', path: '/blocks' }),
    block: (userId) => call({ method: 'POST', path: `/users/${userId}/block` }),
    unblock: (userId) => call({ method: 'DELETE', path: `/users/${userId}/block` }),
    privacy: () => call({ method: 'GET', path: '/auth/me/privacy' }),
    changePrivacy: (body) => call({ method: 'PUT', path: '/auth/me/privacy', body }),
    users: (page = {}) => call({ method: 'GET', path: `/auth/users${query(page)}` }),
    conversations: (page = {}) => call({ method: 'GET', path: `/conversations${query(page)}` }),
    history: (userId, page = {}) => call({ method: 'GET', path: `/messages/${userId}${query(page)}` }),
    unreadCount: () => call({ method: 'GET', path: '/messages/unread/count' }),
  };
}
