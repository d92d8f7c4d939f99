import type {
  Ack,
  ClientEventAnswer,
  ClientEventInput,
  ClientEventName,
  ServerEvent,
  ServerEventName,
} from '@duet/contract';
import { DuetError, type ErrorBody, errorTable } from '@duet/contract/errors';
import { io } from 'socket.io-client';
import type { GetToken } from './api.ts';

/** `refused`: the server does not accept the token; nothing is tried until `start` is called again. */
export type ConnectionState = 'connecting' | 'online' | 'offline' | 'refused';

const ACK_TIMEOUT_MS = 10_000;
const RETRY_MS = 2_000;

export interface ConnectionOptions {
  url: string;
  getToken: GetToken;
  /** Not secret; keeps a device on one node where a proxy hashes it. */
  deviceId: string;
  onState: (state: ConnectionState) => void;
}

const jitter = (ms: number): number => ms * (1 + Math.random());

/** One socket that keeps itself connected: waits longer after each failure, with jitter, so that a crowd does not return at once. */
export function createConnection({ url, getToken, deviceId, onState }: ConnectionOptions) {
  let retry: ReturnType<typeof setTimeout> | undefined;
  const socket = io(url, {
    autoConnect: false,
    auth: (give) => void Promise.resolve(getToken()).then((token) => give({ token })),
    query: { k: deviceId },
    reconnectionDelay: 1_000,
    reconnectionDelayMax: 30_000,
    randomizationFactor: 0.5,
  });

  function connectIn(ms: number): void {
    clearTimeout(retry);
    retry = setTimeout(() => socket.connect(), jitter(ms));
  }

  socket.on('connect', () => onState('online'));
  socket.on('disconnect', (reason) => {
    onState('offline');
    // The library comes back by itself after a lost connection, but not after one that the server ended on purpose.
    if (reason === 'io server disconnect') connectIn(RETRY_MS);
  });
  socket.on('connect_error', (error: Error & { data?: Partial<ErrorBody> }) => {
    const code = error.data?.code;
    if (code === undefined || !(code in errorTable)) return onState('offline');
    const { retry: retryClass } = errorTable[code];
    if (retryClass === 'never' || retryClass === 'reauth') return onState('refused');
    onState('offline');
    connectIn(error.data?.retryAfterMs ?? RETRY_MS);
  });

  return {
    start(): void {
      onState('connecting');
      socket.connect();
    },
    stop(): void {
      clearTimeout(retry);
      socket.disconnect();
    },
    /** The device may be reachable again: try now instead of when the pause ends. */
    nudge(): void {
      if (!socket.connected && socket.active) socket.disconnect().connect();
    },
    isOnline: (): boolean => socket.connected,
    on<N extends ServerEventName>(name: N, listener: (payload: ServerEvent<N>) => void): void {
      socket.on(name as string, listener);
    },
    /**
     * Sends an event and waits for its acknowledgement.
     * @throws DuetError what the server answered; UNAVAILABLE when no answer came: the outcome is unknown
     */
    async emit<N extends ClientEventName>(name: N, payload: ClientEventInput<N>): Promise<ClientEventAnswer<N>> {
      const ack = await (
        socket.timeout(ACK_TIMEOUT_MS).emitWithAck(name, payload) as Promise<Ack<ClientEventAnswer<N>>>
      ).catch((cause: unknown) => {
        throw new DuetError('UNAVAILABLE', { cause });
      });
      if (ack.ok) return ack.data;
      const { code, message, retryAfterMs } = ack.error as ErrorBody;
      throw new DuetError(
        code in errorTable ? code : 'INTERNAL',
        retryAfterMs === undefined ? { message } : { message, retryAfterMs },
      );
    },
  };
}
export type Connection = ReturnType<typeof createConnection>;
