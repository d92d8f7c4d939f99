import type { ServerEvent, ServerEventName } from '@duet/contract';
import type { Caller, Core } from '@duet/core';
import type { Socket } from 'socket.io';

/** Changes of one conversation within this time are told together. */
const COALESCE_MS = 250;

type Tells = { [N in ServerEventName]?: (payload: ServerEvent<N>, me: string) => string };

const peerOf = ({ message }: ServerEvent<'receive_message'>, me: string): string =>
  message.sender._id === me ? message.receiver._id : message.sender._id;

/** Events that change what a list of conversations shows, and whose conversation it is. */
const tells: Tells = {
  receive_message: peerOf,
  message_sent: peerOf,
  message_read_receipt: ({ readerId }) => readerId,
  message_delivered_receipt: ({ receiverId }) => receiverId,
  conversation_read: ({ userId }) => userId,
};

/**
 * `conversation_updated` for a socket that asked for it (`auth.conversations: true`). It is made where it is delivered,
 * out of the events that come by anyway: it costs the other nodes nothing, and those who do not ask for it nothing.
 */
export function followConversations(
  socket: Socket,
  conversations: Core['conversations'],
  failed: (error: unknown) => void,
): void {
  if (socket.handshake.auth.conversations !== true) return;
  const caller: Caller = { user: socket.data.user, socket: socket.id };
  const due = new Map<string, ReturnType<typeof setTimeout>>();

  async function tell(peer: string): Promise<void> {
    due.delete(peer);
    const conversation = await conversations.one(caller, peer);
    if (conversation) socket.emit('conversation_updated', { conversation });
  }

  function changed(peer: string): void {
    if (due.has(peer)) return;
    due.set(
      peer,
      setTimeout(() => void tell(peer).catch(failed), COALESCE_MS),
    );
  }

  socket.onAnyOutgoing((event: ServerEventName, payload: unknown) => {
    const peer = tells[event]?.(payload as never, caller.user);
    if (peer !== undefined) changed(peer);
  });
  // What this socket reads itself is told to its user's other devices alone.
  socket.onAny((event: string, payload: { senderId?: unknown } | undefined) => {
    if (event === 'message_read' && typeof payload?.senderId === 'string') changed(payload.senderId);
  });
  socket.on('disconnect', () => {
    for (const timer of due.values()) clearTimeout(timer);
  });
}
