import type { RouteData, RouteInput, RouteName } from '@duet/contract';
import type { Caller, Core } from '@duet/core';

/** Who calls, and what the User-Agent header says of the device. */
export type RestCaller = Caller & { agent: string };
type Handler<N extends RouteName> = (input: RouteInput<N>, caller: RestCaller) => Promise<RouteData<N>>;
export type RouteHandlers = { [N in RouteName]: Handler<N> };

/** One line for each route: translates, decides nothing. */
export function createRouteHandlers(core: Core): RouteHandlers {
  const { accounts, sessions, privacy, messages, receipts, conversations, sync } = core;
  return {
    register: ({ body }, { agent }) => accounts.register(body, agent),
    login: ({ body }, { agent }) => accounts.login(body, agent),
    refresh: ({ body }) => sessions.refresh(body),
    logout: (_, caller) => accounts.logout(caller),
    sessions: (_, caller) => sessions.list(caller),
    endSession: ({ params }, caller) => sessions.end(caller, params.id),
    changePassword: ({ body }, caller) => accounts.changePassword(caller, body),
    deleteAccount: ({ body }, caller) => accounts.delete(caller, body),
    me: (_, caller) => accounts.me(caller),
    users: ({ query }, caller) => accounts.list(caller, query),
    privacy: (_, caller) => privacy.settings(caller),
    changePrivacy: ({ body }, caller) => privacy.change(caller, body),
    blocks: (_, caller) => privacy.blocks(caller),
    block: ({ params }, caller) => privacy.block(caller, params.userId),
    unblock: ({ params }, caller) => privacy.unblock(caller, params.userId),
    conversations: ({ query }, caller) => conversations.list(caller, query),
    sync: ({ body }, caller) => sync.sync(caller, body),
    history: (input, caller) => messages.history(caller, input),
    markRead: ({ params }, caller) => receipts.readAll(caller, params.userId),
    unreadCount: (_, caller) => conversations.unread(caller),
  };
}
