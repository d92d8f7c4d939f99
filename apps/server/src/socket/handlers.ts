import type { ClientEventAnswer, ClientEventName, ClientEventPayload } from '@duet/contract';
import type { Caller, Core } from '@duet/core';

type Handler<N extends ClientEventName> = (
  caller: Caller,
  payload: ClientEventPayload<N>,
) => Promise<ClientEventAnswer<N>>;
export type EventHandlers = { [N in ClientEventName]: Handler<N> };

/**
 * One line for each event: translates, decides nothing.
 * @param renew what belongs to the socket itself
 */
export function createEventHandlers(core: Core, renew: EventHandlers['renew']): EventHandlers {
  const { messages, receipts, sync } = core;
  return {
    send_message: messages.send,
    typing_start: (caller, { receiverId }) => messages.typing(caller, receiverId, true),
    typing_stop: (caller, { receiverId }) => messages.typing(caller, receiverId, false),
    message_read: receipts.read,
    message_delivered: receipts.delivered,
    sync: sync.sync,
    renew,
  };
}
