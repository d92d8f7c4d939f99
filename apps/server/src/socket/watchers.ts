import type { ServerEvent } from '@duet/contract';
import type { Core } from '@duet/core';
import type { Socket } from 'socket.io';
import { WATCHERS } from './fanout.ts';

/** How the text of the event begins that tells a user's sockets what he shows of himself. */
const CHANGED = '2["privacy_changed",';

/** Keeps out of the room of watchers whoever hides himself: he does not hear of others that they come and go. */
export function createWatchers({ watches }: Core['privacy']) {
  return {
    /** For a socket that hears by now what its user changes at other nodes. @throws DuetError UNAVAILABLE */
    async admit(socket: Socket): Promise<void> {
      if (!(await watches(socket.data.user))) await socket.leave(WATCHERS);
    },
    /** A packet that goes to the socket, as text: a change comes by here, wherever it was made. */
    overhear(socket: Socket, packet: string): void {
      if (!packet.startsWith(CHANGED)) return;
      const [, { privacy }] = JSON.parse(packet.slice(1)) as [string, ServerEvent<'privacy_changed'>];
      void (privacy.lastSeen ? socket.join(WATCHERS) : socket.leave(WATCHERS));
    },
  };
}
