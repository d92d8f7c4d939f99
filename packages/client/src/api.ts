import type { Envelope, RouteData, RouteInput, RouteName } from '@duet/contract';
import { DuetError, type ErrorCode, errorTable } from '@duet/contract/errors';

type Body<N extends RouteName> = NonNullable<RouteInput<N>['body']>;
export type GetToken = () => string | undefined | Promise<string | undefined>;

export interface ApiOptions {
  /** Where the server is, such as `https://chat.example.org`. */
  url: string;
  getToken: GetToken;
}

function query(parts: Record<string, string | number | undefined>): string {
  const given = Object.entries(parts).filter(([, value]) => value !== undefined && value !== '');
  return given.length === 0 ? '' : `?${new URLSearchParams(given.map(([key, value]) => [key, String(value)]))}`;
}

/** Any code of the table; one that this version does not know yet counts as a fault of the server. */
const codeOf = (code: string): ErrorCode => (code in errorTable ? (code as ErrorCode) : 'INTERNAL');

/**
 * The REST routes as functions. Each rejects with a DuetError whose `code` is one of the contract's table; UNAVAILABLE
 * also when the server cannot be reached.
 */
export function createApi({ url, getToken }: ApiOptions) {
  async function call<N extends RouteName>(method: string, path: string, body?: unknown): Promise<RouteData<N>> {
    const token = await getToken();
    const headers: Record<string, string> = {};
    if (token !== undefined) headers.authorization = `Bearer ${token}`;
    if (body !== undefined) headers['content-type'] = 'application/json';
    const init = { method, headers, ...(body === undefined ? {} : { body: JSON.stringify(body) }) };
    const envelope = await fetch(`${url}/api${path}`, init)
      .then((response) => response.json() as Promise<Envelope<RouteData<N>>>)
      .catch((cause: unknown) => {
        throw new DuetError('UNAVAILABLE', { cause, message: 'The server cannot be reached' });
      });
    if (envelope.success) return envelope.data;
    throw new DuetError(codeOf(envelope.code), {
      message: envelope.message,
      ...(envelope.errors ? { details: envelope.errors } : {}),
      ...(envelope.retryAfterMs === undefined ? {} : { retryAfterMs: envelope.retryAfterMs }),
    });
  }

  return {
    register: (body: Body<'register'>) => call<'register'>('POST', '/auth/register', body),
    login: (body: Body<'login'>) => call<'login'>('POST', '/auth/login', body),
    me: () => call<'me'>('GET', '/auth/me'),
    users: (page: { q?: string; limit?: number; cursor?: string } = {}) =>
      call<'users'>('GET', `/auth/users${query(page)}`),
    conversations: (page: { limit?: number; cursor?: string } = {}) =>
      call<'conversations'>('GET', `/conversations${query(page)}`),
    history: (userId: string, page: { limit?: number; before?: number; after?: number } = {}) =>
      call<'history'>('GET', `/messages/${userId}${query(page)}`),
    markRead: (userId: string) => call<'markRead'>('PUT', `/messages/read/${userId}`),
    unreadCount: () => call<'unreadCount'>('GET', '/messages/unread/count'),
  };
}
export type Api = ReturnType<typeof createApi>;
