import type { Fanout } from '@duet/core';
import type { Server } from 'socket.io';

const USER = 'user:';
/** The room of a user's sockets. */
export const roomOf = (user: string): string => USER + user;
/** The room of those who hear of others that they come and go. */
export const WATCHERS = 'watchers';

/**
 * Live events to rooms: the only place that emits to anyone but the socket at hand.
 * @param alone no other process may hold sockets, so a room without sockets here has none anywhere
 */
export function createFanout(io: Server, alone: boolean): Fanout {
  const { adapter } = io.of('/');

  /** Encoding a message for nobody would cost as much as for somebody. */
  function isEmpty(room: string, except: string | undefined): boolean {
    const members = adapter.rooms.get(room);
    if (members === undefined) return true;
    return members.size === 1 && except !== undefined && members.has(except);
  }

  return {
    toUser(user, { name, payload }, { except } = { except: undefined }) {
      const room = roomOf(user);
      if (alone && isEmpty(room, except)) return;
      // One room and no acknowledgement: what costs the nodes of that room alone.
      const target = except === undefined ? io.to(room) : io.to(room).except(except);
      target.emit(name, payload);
    },
    toWatchers({ name, payload }) {
      io.to(WATCHERS).emit(name, payload);
    },
    toRoom(room, { name, payload }) {
      io.to(room ?? []).emit(name, payload);
    },
    toLocal({ name, payload }) {
      io.local.emit(name, payload);
    },
  };
}
