export { type Api, type ApiOptions, createApi, type SignedIn, type SignedInDevice } from './api.ts';
export { createChat } from './chat.ts';
export type { Chat, ChatEvents, ChatOptions } from './chat-types.ts';
export type { ConnectionState } from './connection.ts';
export { DuetError, type ErrorCode, errorTable, type FieldError, type RetryClass } from './errors.ts';
export { indexedDbStorage } from './indexed-db.ts';
export {
  type AppStateLike,
  appStateLifecycle,
  browserLifecycle,
  type Lifecycle,
  type LifecycleEvents,
} from './lifecycle.ts';
export type { ChatMessage } from './log.ts';
export type { Runtime } from './runtime.ts';
export { createSession, type Session, type SessionOptions, type SessionStore } from './session.ts';
export type { ChatState, Conversation, Person, Thread } from './state.ts';
export {
  type KeyValueStore,
  keyValueStorage,
  memoryStorage,
  type OutboxStorage,
  type Outgoing,
  type Place,
} from './storage.ts';
export type { Tabs } from './tabs.ts';
export { type GetToken, type Holder, holderOf } from './tokens.ts';
export type { Message, MessageType, Privacy, User } from './wire.ts';
