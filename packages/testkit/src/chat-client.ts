import { randomUUID } from 'node:crypto';
import type { Envelope, RouteData, ServerEvent, ServerEventName, User } from '@duet/contract';
import { io, type ManagerOptions, type Socket, type SocketOptions } from 'socket.io-client';

/** How long a test waits for something that should come. Generous: machines are slow, and a pass does not wait for it. */
export const PATIENCE_MS = 35_000;

/** A REST answer as it came over the wire. */
export interface RestAnswer {
  status: number;
  headers: Headers;
  // biome-ignore lint/suspicious/noExplicitAny: a test looks at whatever came
  body: any;
}

export interface RestRequest {
  method?: string;
  token?: string | undefined;
  body?: unknown;
  headers?: Record<string, string>;
}

/** One REST call with a stock client. A string body goes out as it is. */
export async function rest(url: string, path: string, request: RestRequest = {}): Promise<RestAnswer> {
  const { method = request.body === undefined ? 'GET' : 'POST', token, body, headers = {} } = request;
  const response = await fetch(new URL(`/api${path}`, url), {
    method,
    headers: {
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      ...headers,
    },
    ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
  });
  const text = await response.text();
  return { status: response.status, headers: response.headers, body: text === '' ? undefined : JSON.parse(text) };
}

/** A registered user with a token. */
export interface TestUser {
  user: User;
  token: string;
  id: string;
  email: string;
  password: string;
}

/** Registers somebody with a name that nobody else has. */
export async function register(url: string, name = 'user'): Promise<TestUser> {
  const unique = randomUUID().slice(0, 12);
  const email = `${name}.${unique}@example.org`;
  const password = 'password123';
  const { body } = await rest(url, '/auth/register', { body: { username: `${name}-${unique}`, email, password } });
  const envelope = body as Envelope<RouteData<'register'>>;
  if (!envelope.success) throw new Error(`registration failed: ${JSON.stringify(envelope)}`);
  const { user, token } = envelope.data;
  return { user, token, id: user._id, email, password };
}

/** A stock client; not connected yet when it returns. Disposing it disconnects. */
export function open(
  url: string,
  token: unknown,
  options: Partial<ManagerOptions & SocketOptions> = {},
): Socket & Disposable {
  const socket = io(url, {
    auth: { token },
    forceNew: true,
    reconnectionDelay: 100,
    reconnectionDelayMax: 500,
    ...options,
  });
  return Object.assign(socket, { [Symbol.dispose]: () => void socket.disconnect() });
}

/** A stock client that is connected. @throws Error what `connect_error` said */
export async function connect(url: string, token: unknown, options: Partial<ManagerOptions & SocketOptions> = {}) {
  const socket = open(url, token, options);
  await new Promise<void>((resolve, reject) => {
    const refused = (error: Error) => {
      socket.disconnect();
      reject(error);
    };
    socket.once('connect_error', refused);
    socket.once('connect', () => {
      socket.off('connect_error', refused);
      resolve();
    });
  });
  return socket;
}

/** The next event of a name that `matches`; rejects when it does not come. Listen before what causes it. */
export function next<N extends ServerEventName>(
  socket: Socket,
  name: N,
  matches: (payload: ServerEvent<N>) => boolean = () => true,
): Promise<ServerEvent<N>> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      socket.off(name as string, listener);
      reject(new Error(`no such ${name} came`));
    }, PATIENCE_MS);
    function listener(payload: ServerEvent<N>): void {
      if (!matches(payload)) return;
      clearTimeout(timer);
      socket.off(name as string, listener);
      resolve(payload);
    }
    socket.on(name as string, listener);
  });
}

/** Asks again until `condition` holds: for what no event announces. Bounded by PATIENCE_MS. */
export async function eventually(condition: () => Promise<boolean> | boolean, what: string): Promise<void> {
  const end = performance.now() + PATIENCE_MS;
  while (!(await condition())) {
    if (performance.now() > end) throw new Error(`never happened: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** Tries again until `work` does not reject. Bounded as `eventually`. */
export function eventuallyWorks(work: () => Promise<unknown>, what: string): Promise<void> {
  const works = () =>
    work().then(
      () => true,
      () => false,
    );
  return eventually(works, what);
}

/** Everything of one event that a socket has received, in order of arrival. */
export function collect<N extends ServerEventName>(socket: Socket, name: N): ServerEvent<N>[] {
  const received: ServerEvent<N>[] = [];
  socket.on(name as string, (payload: ServerEvent<N>) => received.push(payload));
  return received;
}
