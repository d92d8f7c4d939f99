import { z } from 'zod';
import type { LimitName } from './limits.ts';
import {
  Conversation,
  Device,
  Email,
  Id,
  MAX_PAGE,
  MAX_SKIP,
  MAX_USERS_PAGE,
  Message,
  Password,
  Privacy,
  Session,
  Timestamp,
  User,
  Username,
  validText,
  Watermarks,
} from './model.ts';
import { Synced, SyncRequest } from './sync.ts';

export interface RouteRow {
  method: 'get' | 'post' | 'put' | 'delete';
  path: `/${string}`;
  summary: string;
  /** Whether the route takes a bearer token. */
  auth: boolean;
  limit: LimitName;
  params?: z.ZodObject;
  query?: z.ZodObject;
  body?: z.ZodObject;
  status: 200 | 201;
  message: string;
  data: z.ZodObject;
  /** Its answer may be megabytes: a user gets one at a time. */
  long?: boolean;
}

/** A whole number in a query string. Above `max` it is taken as `max`; anything but digits is refused. */
function wholeNumber(min: number, max: number) {
  return z
    .string('must be a whole number')
    .regex(/^\d{1,15}$/, 'must be a whole number')
    .transform((digits) => Math.min(Number(digits), max))
    .pipe(z.int().min(min, `must be at least ${min}`))
    .meta({ type: 'integer', minimum: min, maximum: max });
}

const Tokens = z.object({
  token: z.string(),
  refreshToken: z.string().meta({ description: 'For `POST /auth/refresh`, once' }),
  expiresIn: z.int().meta({ description: 'Seconds until the token expires' }),
});
const Credentials = Tokens.extend({ user: User });
/** Not the rules of registration: an answer must not tell why a password can never be right. */
const GivenPassword = z.string().min(1, 'must not be empty').max(1024, 'is too long');
const ByUser = z.object({ userId: Id });
const Cursor = z
  .string()
  .regex(/^[A-Za-z0-9_-]{1,4096}$/, 'must be a cursor of an earlier answer')
  .meta({ description: '`nextCursor` of the answer before' });

/** The REST routes, below `/api`. The key is the name of handler, metric label and OpenAPI operation. */
export const routes = {
  register: {
    method: 'post',
    path: '/auth/register',
    summary: 'Create an account',
    auth: false,
    limit: 'register',
    body: z.object({ username: Username, email: Email, password: Password, device: Device.optional() }),
    status: 201,
    message: 'User registered successfully',
    data: Credentials,
  },
  login: {
    method: 'post',
    path: '/auth/login',
    summary: 'Sign in',
    auth: false,
    limit: 'login',
    body: z.object({
      email: validText(z.string().max(254, 'is too long')),
      password: GivenPassword,
      device: Device.optional(),
    }),
    status: 200,
    message: 'Login successful',
    data: Credentials,
  },
  refresh: {
    method: 'post',
    path: '/auth/refresh',
    summary: 'A new token and a new refresh token for a refresh token, which is used up',
    auth: false,
    limit: 'refresh',
    body: z.object({ refreshToken: z.string().min(1, 'must not be empty').max(4096, 'is too long') }),
    status: 200,
    message: 'Token refreshed successfully',
    data: Tokens,
  },
  logout: {
    method: 'post',
    path: '/auth/logout',
    summary: 'Sign out on this device',
    auth: true,
    limit: 'api',
    status: 200,
    message: 'Signed out successfully',
    data: z.object({}),
  },
  sessions: {
    method: 'get',
    path: '/auth/sessions',
    summary: 'The devices on which the caller is signed in, the one used last first',
    auth: true,
    limit: 'api',
    status: 200,
    message: 'Sessions fetched successfully',
    data: z.object({ sessions: z.array(Session) }),
    long: true,
  },
  endSession: {
    method: 'delete',
    path: '/auth/sessions/:id',
    summary: 'Sign out on one device: its tokens and its sockets end',
    auth: true,
    limit: 'api',
    params: z.object({ id: Id }),
    status: 200,
    message: 'Session ended successfully',
    data: z.object({}),
  },
  changePassword: {
    method: 'put',
    path: '/auth/password',
    summary: 'Change the password, and sign out on every other device',
    auth: true,
    limit: 'api',
    body: z.object({ currentPassword: GivenPassword, newPassword: Password }),
    status: 200,
    message: 'Password changed successfully',
    data: z.object({}),
  },
  deleteAccount: {
    method: 'delete',
    path: '/auth/me',
    summary: 'Delete the account for good. Its messages stay with those who got them, without a name',
    auth: true,
    limit: 'api',
    body: z.object({ password: GivenPassword }),
    status: 200,
    message: 'Account deleted successfully',
    data: z.object({}),
  },
  me: {
    method: 'get',
    path: '/auth/me',
    summary: 'The caller',
    auth: true,
    limit: 'api',
    status: 200,
    message: 'User profile fetched successfully',
    data: z.object({ user: User }),
  },
  users: {
    method: 'get',
    path: '/auth/users',
    summary: 'Everyone but the caller, by username',
    auth: true,
    limit: 'api',
    query: z.object({
      q: z.string().max(100, 'is too long').optional().meta({ description: 'Only usernames that begin with this' }),
      limit: wholeNumber(1, MAX_USERS_PAGE).default(MAX_USERS_PAGE),
      cursor: Cursor.optional(),
    }),
    status: 200,
    message: 'Users fetched successfully',
    data: z.object({ users: z.array(User), nextCursor: z.string().optional() }),
    long: true,
  },
  privacy: {
    method: 'get',
    path: '/auth/me/privacy',
    summary: 'What the caller shows to others',
    auth: true,
    limit: 'api',
    status: 200,
    message: 'Privacy settings fetched successfully',
    data: z.object({ privacy: Privacy }),
  },
  changePrivacy: {
    method: 'put',
    path: '/auth/me/privacy',
    summary: 'Show or hide something; what is not named stays as it is. Who hides something does not see it of others',
    auth: true,
    limit: 'settings',
    body: Privacy.partial(),
    status: 200,
    message: 'Privacy settings changed successfully',
    data: z.object({ privacy: Privacy }),
  },
  blocks: {
    method: 'get',
    path: '/blocks',
    summary: 'Those whom the caller has blocked, the last one first',
    auth: true,
    limit: 'api',
    status: 200,
    message: 'Blocked users fetched successfully',
    data: z.object({ blocks: z.array(z.object({ user: User, createdAt: Timestamp })) }),
    long: true,
  },
  block: {
    method: 'post',
    path: '/users/:userId/block',
    summary: 'Block a user: nothing of him reaches the caller any more, and he is not told',
    auth: true,
    limit: 'settings',
    params: ByUser,
    status: 200,
    message: 'User blocked',
    data: z.object({ userId: Id }),
  },
  unblock: {
    method: 'delete',
    path: '/users/:userId/block',
    summary: 'Take a block back',
    auth: true,
    limit: 'settings',
    params: ByUser,
    status: 200,
    message: 'User unblocked',
    data: z.object({ userId: Id }),
  },
  conversations: {
    method: 'get',
    path: '/conversations',
    summary: "The caller's conversations, newest first",
    auth: true,
    limit: 'api',
    query: z.object({ limit: wholeNumber(1, MAX_PAGE).default(50), cursor: Cursor.optional() }),
    status: 200,
    message: 'Conversations fetched successfully',
    data: z.object({ conversations: z.array(Conversation), nextCursor: z.string().optional() }),
    long: true,
  },
  sync: {
    method: 'post',
    path: '/sync',
    summary: 'What has happened since: the messages and watermarks that this client does not know',
    auth: true,
    limit: 'sync',
    body: SyncRequest,
    status: 200,
    message: 'Synchronised successfully',
    data: Synced,
    long: true,
  },
  history: {
    method: 'get',
    path: '/messages/:userId',
    summary: 'A page of the conversation with a user: the newest one, oldest message first inside it',
    auth: true,
    limit: 'api',
    params: ByUser,
    query: z.object({
      limit: wholeNumber(1, MAX_PAGE).default(50),
      skip: wholeNumber(0, 2 ** 31 - 1)
        .default(0)
        .meta({
          description: `Messages to leave out, counted from the newest; behind more than ${MAX_SKIP} there are none: use \`before\``,
        }),
      before: wholeNumber(1, 2 ** 31 - 1)
        .optional()
        .meta({ description: 'Only messages with a smaller seq' }),
      after: wholeNumber(0, 2 ** 31 - 1)
        .optional()
        .meta({ description: 'Only messages with a greater seq, the oldest of them first' }),
    }),
    status: 200,
    message: 'Conversation fetched successfully',
    data: z.object({ messages: z.array(Message), count: z.int(), watermarks: Watermarks }),
    long: true,
  },
  markRead: {
    method: 'put',
    path: '/messages/read/:userId',
    summary: 'Mark all messages of a user as read',
    auth: true,
    limit: 'api',
    params: ByUser,
    status: 200,
    message: 'Messages marked as read',
    data: z.object({ modifiedCount: z.int() }),
  },
  unreadCount: {
    method: 'get',
    path: '/messages/unread/count',
    summary: "The caller's unread messages, all conversations together",
    auth: true,
    limit: 'totals',
    status: 200,
    message: 'Unread count fetched successfully',
    data: z.object({ unreadCount: z.int() }),
    long: true,
  },
} as const satisfies Record<string, RouteRow>;

type Routes = typeof routes;
export type RouteName = keyof Routes;
type Part<N extends RouteName, P extends 'params' | 'query' | 'body'> = Routes[N] extends {
  [K in P]: infer S extends z.ZodType;
}
  ? z.output<S>
  : undefined;

/** What a handler gets: validated, with defaults filled in. */
export interface RouteInput<N extends RouteName> {
  params: Part<N, 'params'>;
  query: Part<N, 'query'>;
  body: Part<N, 'body'>;
}
export type RouteData<N extends RouteName> = z.infer<Routes[N]['data']>;

/** Every answer of the API. */
export type Envelope<T> =
  | { success: true; message: string; data: T }
  | {
      success: false;
      message: string;
      code: string;
      errors?: { field: string; message: string }[];
      retryAfterMs?: number;
    };
