import type { Limiter, Presence } from '@duet/core';

/** What a worker may ask its primary: method -> arguments -> answer. Sent over the IPC channel, structured-cloned. */
export interface PrimaryMethods {
  beat: Presence['beat'];
  drop: Presence['drop'];
  online: Presence['online'];
  reap: Presence['reap'];
  mostSockets: Presence['mostSockets'];
  take: Limiter['take'];
  /** The whole machine's metrics, in Prometheus' text format. */
  metrics: () => Promise<string>;
}
export type Method = keyof PrimaryMethods;

/** Messages of this channel carry this mark: Socket.IO's own share the pipe. */
const MARK = 'duet';

export interface Call {
  type: typeof MARK;
  id: number;
  method: Method;
  args: unknown[];
}
export interface Answer {
  type: typeof MARK;
  id: number;
  result?: unknown;
  failed?: true;
}
export interface Ready {
  type: typeof MARK;
  ready: true;
}

/** A worker has got the connection that was sent under this key. */
export interface Taken {
  type: typeof MARK;
  taken: string;
}

export const call = (id: number, method: Method, args: unknown[]): Call => ({ type: MARK, id, method, args });
export const answerTo = (id: number, result: unknown): Answer => ({ type: MARK, id, result });
export const failureOf = (id: number): Answer => ({ type: MARK, id, failed: true });
export const taken = (key: string): Taken => ({ type: MARK, taken: key });
export const ready = (): Ready => ({ type: MARK, ready: true });

const marked = (message: unknown): message is { type: string } =>
  typeof message === 'object' && message !== null && (message as { type?: unknown }).type === MARK;
export const isCall = (message: unknown): message is Call => marked(message) && 'method' in message;
export const isAnswer = (message: unknown): message is Answer =>
  marked(message) && 'id' in message && !('method' in message);
export const isTaken = (message: unknown): message is Taken => marked(message) && 'taken' in message;
export const isReady = (message: unknown): message is Ready => marked(message) && 'ready' in message;
