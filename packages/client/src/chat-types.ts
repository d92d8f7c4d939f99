import type { Api } from './api.ts';
import type { Lifecycle, LifecycleEvents } from './lifecycle.ts';
import type { ChatMessage } from './log.ts';
import type { Runtime } from './runtime.ts';
import type { ChatState, Person } from './state.ts';
import type { OutboxStorage } from './storage.ts';
import type { GetToken } from './tokens.ts';
import type { MessageType } from './wire.ts';

export interface ChatOptions {
  /** Where the server is, such as `https://chat.example.org`. */
  url: string;
  getToken: GetToken;
  /** Where messages wait until the server has them; without it they live as long as the chat. */
  storage?: OutboxStorage;
  /** What tells whether the app is seen; without it the browser's events, where there are any. */
  lifecycle?: Lifecycle;
  /** An id of this device that is kept between starts; not secret. */
  deviceId?: string;
  /** Tried in this order; websocket, then long polling. One that gets no answer stands last in the next try. */
  transports?: ('websocket' | 'polling')[];
  runtime?: Runtime;
}

export interface ChatEvents {
  /** A message of a peer that was not there before: live, or one that was missed and is not read elsewhere. */
  message: { peerId: string; message: ChatMessage; from: Person };
  /** The server does not take a message; `retry` and `discard` are for it. */
  failed: { peerId: string; message: ChatMessage };
  /** The device does not keep messages; they are sent nevertheless, while the app runs. */
  notKept: { error: unknown };
  /** The list has said anew who is online: of others it is not known any more, until `findPeople` is asked again. */
  presence: undefined;
}

/** One user's chat. What it does shows in its state; `subscribe` and `getState` fit React's useSyncExternalStore. */
export interface Chat extends LifecycleEvents {
  getState(): ChatState;
  /** @returns a function that ends the subscription */
  subscribe(listener: () => void): () => void;
  /** @returns a function that ends it */
  on<N extends keyof ChatEvents>(name: N, listener: (payload: ChatEvents[N]) => void): () => void;
  /** The REST routes, with this user's token. */
  api: Api;

  /** Connects, and stays connected until `stop`. Also the way back from `refused`, when there is a new token. */
  start(): void;
  stop(): void;

  /**
   * Loads the newest messages of a conversation; repeated calls do nothing. What cannot be loaded now is loaded when
   * the connection is back.
   * @throws DuetError when it can never be loaded, such as NOT_FOUND
   */
  open(peerId: string): Promise<void>;
  /** Loads the page before the oldest known message. @throws DuetError */
  older(peerId: string): Promise<void>;
  /** Shows the message at once and sends it until the server has answered. @returns its key */
  send(peerId: string, content: string, messageType?: MessageType): string;
  /** Sends a failed message again, as the same message. */
  retry(peerId: string, key: string): void;
  /** Gives a failed message up. */
  discard(peerId: string, key: string): void;
  /** The user has seen what is there of the conversation. */
  read(peerId: string): void;
  /** Call it with each key press: the peer hears of it every few seconds, and of the end after a pause. */
  typing(peerId: string): void;
  /** The user has stopped typing. */
  stopTyping(peerId: string): void;
  /** Searches the directory of users by the beginning of their names. @throws DuetError */
  findPeople(query?: { q?: string; limit?: number; cursor?: string }): Promise<{
    people: Person[];
    nextCursor: string | undefined;
  }>;
}
