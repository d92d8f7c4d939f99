import type { RouteData, RouteInput, RouteName } from '@duet/contract';
import type { Caller, Core } from '@duet/core';

type Handler<N extends RouteName> = (input: RouteInput<N>, caller: Caller) => Promise<RouteData<N>>;
export type RouteHandlers = { [N in RouteName]: Handler<N> };

/** One line for each route: translates, decides nothing. */
export function createRouteHandlers({ accounts, messages, receipts, conversations, sync }: Core): RouteHandlers {
  return {
    register: ({ body }) => accounts.register(body),
    login: ({ body }) => accounts.login(body),
    me: (_, caller) => accounts.me(caller),
    users: ({ query }, caller) => accounts.list(caller, query),
    conversations: ({ query }, caller) => conversations.list(caller, query),
    sync: ({ body }, caller) => sync.sync(caller, body),
    history: (input, caller) => messages.history(caller, input),
    markRead: ({ params }, caller) => receipts.readAll(caller, params.userId),
    unreadCount: (_, caller) => conversations.unread(caller),
  };
}
