import type { ClientEventName, ClientEventPayload, ServerEvent, ServerEventName } from '@duet/contract';
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

export interface Followers {
  /** For a socket that asks for it: it is told of its conversations from here on. */
  follow(socket: Socket): void;
  /** The socket's own event was served: what it reads is told to its user's other devices alone. */
  served(socket: Socket, event: ClientEventName, payload: unknown): void;
}

/**
 * `conversation_updated` for sockets that asked for it (`auth.conversations: true`). It is made where it is delivered,
 * out of the events that come by anyway: it costs the other nodes nothing, and those who do not ask for it nothing.
 */
export function createFollowers(
  conversations: Core['conversations'],
  failed: (error: unknown, user: string) => void,
): Followers {
  const followers = new WeakMap<Socket, (peer: string) => void>();

  function follow(socket: Socket): void {
    const caller: Caller = { user: socket.data.user, socket: socket.id };
    const due = new Map<string, ReturnType<typeof setTimeout>>();
    /** Peers whose conversation is being read, and whether it has changed meanwhile. */
    const reading = new Map<string, boolean>();

    async function tell(peer: string): Promise<void> {
      due.delete(peer);
      reading.set(peer, false);
      try {
        const conversation = await conversations.one(caller, peer);
        if (conversation) socket.emit('conversation_updated', { conversation });
      } finally {
        const again = reading.get(peer);
        reading.delete(peer);
        if (again && socket.connected) changed(peer);
      }
    }

    function changed(peer: string): void {
      if (due.has(peer)) return;
      // One after the other: a read that takes its time would be told behind a later one.
      if (reading.has(peer)) return void reading.set(peer, true);
      const told = () => void tell(peer).catch((error) => failed(error, caller.user));
      due.set(peer, setTimeout(told, COALESCE_MS));
    }

    followers.set(socket, changed);
    socket.onAnyOutgoing((event: ServerEventName, payload: unknown) => {
      const peer = tells[event]?.(payload as never, caller.user);
      if (peer !== undefined) changed(peer);
    });
    socket.on('disconnect', () => {
      for (const timer of due.values()) clearTimeout(timer);
    });
  }

  return {
    follow(socket) {
      if (socket.handshake.auth.conversations === true) follow(socket);
    },
    served(socket, event, payload) {
      if (event === 'message_read') followers.get(socket)?.((payload as ClientEventPayload<'message_read'>).senderId);
    },
  };
}
