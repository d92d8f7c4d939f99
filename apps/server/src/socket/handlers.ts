import type { ClientEventAnswer, ClientEventName, ClientEventPayload } from '@duet/contract';
import type { Caller, Core } from '@duet/core';

type Handler<N extends ClientEventName> = (
  caller: Caller,
  payload: ClientEventPayload<N>,
) => Promise<ClientEventAnswer<N>>;
export type EventHandlers = { [N in ClientEventName]: Handler<N> };

/** One line for each event: translates, decides nothing. */
export function createEventHandlers({ messages, receipts, sync }: Core): EventHandlers {
  return {
    send_message: messages.send,
    typing_start: (caller, { receiverId }) => messages.typing(caller, receiverId, true),
    typing_stop: (caller, { receiverId }) => messages.typing(caller, receiverId, false),
    message_read: receipts.read,
    message_delivered: receipts.delivered,
    sync: sync.sync,
  };
}
