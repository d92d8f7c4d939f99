export { type Api, createApi } from './api.ts';
export { type Chat, type ChatOptions, type ChatState, createChat } from './chat.ts';
export type { ConnectionState } from './connection.ts';
export type { ChatMessage, Thread } from './thread.ts';
