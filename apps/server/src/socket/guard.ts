import { type ClientEventAnswer, type ClientEventPayload, DuetError, type ErrorCode, errorBody } from '@duet/contract';
import type { Caller, Claims, Clock, Core } from '@duet/core';
import type { Server, Socket } from 'socket.io';
import { roomOf } from './fanout.ts';

const CHECK_MS = 1_000;
/** How long before its end a client hears that its token expires: this, or a third of what is left of a short one. */
const NOTICE_MS = 60_000;
const SHARE = 1 / 3;
/** How the text of the event begins that tells a user's sockets what is over. */
const ENDED = '2["session_ended",';

/** Lets sockets in with a token, and ends them with it. */
export interface Guard {
  /** Notes on the socket whose it is. @throws DuetError UNAUTHORIZED, TOKEN_EXPIRED, SESSION_REVOKED */
  authenticate(socket: Socket): Promise<void>;
  /**
   * From here on the socket is closed when its token expires or its session ends.
   * @returns false when that has happened while it was on its way in: it is closed
   */
  watch(socket: Socket): boolean;
  /**
   * A packet that goes to the socket, as text. What ends on another node is told to the user's room, and so comes by
   * here; a listener to events would have every packet of other nodes put out of words again.
   */
  overhear(socket: Socket, packet: string): void;
  /** Gives a socket a new token of its user. @throws DuetError as `authenticate`; FORBIDDEN when it is somebody else's */
  renew(caller: Caller, payload: ClientEventPayload<'renew'>): Promise<ClientEventAnswer<'renew'>>;
}

/** What is known of a socket beside its user. */
interface Pass {
  user: string;
  session: string;
  expiresAt: number;
  /** When its client is told that the token expires; undefined once that is done. */
  noticeAt: number | undefined;
}
const passOf = (socket: Socket): Pass => socket.data as Pass;

function say(socket: Socket, code: ErrorCode): void {
  socket.emit('error', { ...errorBody(new DuetError(code)), event: 'connect' });
}

/** Guards the sockets of a server: it looks each second what has expired, and hears from `core` what has ended. */
export function guardSockets(io: Server, core: Core, clock: Clock): Guard {
  const namespace = io.of('/');
  /** Nothing expires before, and nobody has to be told. */
  let next = Number.POSITIVE_INFINITY;

  function admit(socket: Socket, { user, session, expiresAt }: Claims): void {
    const noticeAt = expiresAt - Math.min(NOTICE_MS, (expiresAt - clock.now()) * SHARE);
    Object.assign(socket.data, { user, session, expiresAt, noticeAt } satisfies Pass);
    next = Math.min(next, noticeAt);
  }

  /** The client does not come back by itself: it has to sign in. */
  function end(socket: Socket): void {
    say(socket, 'SESSION_REVOKED');
    socket.disconnect(true);
  }

  /** A lost connection to the client, which comes back by itself with the token that it then has. */
  function expire(socket: Socket): void {
    say(socket, 'TOKEN_EXPIRED');
    socket.conn.close();
  }

  /** @returns when the socket is to be looked at again */
  function look(socket: Socket, now: number): number {
    const pass = passOf(socket);
    if (pass.expiresAt <= now) expire(socket);
    else if (pass.noticeAt !== undefined && pass.noticeAt <= now) {
      pass.noticeAt = undefined;
      socket.emit('token_expiring', { expiresAt: new Date(pass.expiresAt).toISOString() });
    }
    return pass.noticeAt ?? pass.expiresAt;
  }

  const stop = clock.every(CHECK_MS, () => {
    const now = clock.now();
    if (now < next) return;
    next = Number.POSITIVE_INFINITY;
    for (const socket of namespace.sockets.values()) next = Math.min(next, look(socket, now));
  });
  io.httpServer.once('close', stop);

  core.sessions.onEnded(({ user, id }) => {
    for (const socketId of [...(namespace.adapter.rooms.get(roomOf(user)) ?? [])]) {
      const socket = namespace.sockets.get(socketId);
      if (socket && (id === user || passOf(socket).session === id)) end(socket);
    }
  });

  return {
    async authenticate(socket) {
      const { token } = socket.handshake.auth;
      if (typeof token !== 'string' || token === '') throw new DuetError('UNAUTHORIZED');
      await core.sessions.listening();
      admit(socket, await core.accounts.authenticate(token));
    },
    watch(socket) {
      const { user, session, noticeAt, expiresAt } = passOf(socket);
      // Others may have been looked at while it was on its way in, where nobody looks.
      next = Math.min(next, noticeAt ?? expiresAt);
      if (!core.sessions.hasEnded(user, session)) return true;
      end(socket);
      return false;
    },
    overhear(socket, packet) {
      if (!packet.startsWith(ENDED)) return;
      const { user } = passOf(socket);
      const [, { sessionIds }] = JSON.parse(packet.slice(1)) as [string, { sessionIds: string[] }];
      // When all of the user's sockets have been told.
      setImmediate(() => {
        for (const id of sessionIds) core.sessions.heard({ user, id });
      });
    },
    async renew({ user, socket: id }, { token }) {
      const claims = await core.accounts.authenticate(token);
      if (claims.user !== user) throw new DuetError('FORBIDDEN');
      const socket = id === undefined ? undefined : namespace.sockets.get(id);
      if (socket) {
        admit(socket, claims);
        if (core.sessions.hasEnded(user, claims.session)) end(socket);
      }
      return { expiresAt: new Date(claims.expiresAt).toISOString() };
    },
  };
}
