import type { Account } from '../accounts.ts';

/** A client of which ten thousand fit into one process: it connects, stays, and hears. */
export interface LightClient {
  leave(): void;
}

export interface Hearing {
  /** Gets the text of each event. */
  onEvent: (text: string) => void;
  /** The connection ended, and not because it was left. */
  onLost?: () => void;
}

/**
 * Speaks Socket.IO's protocol as far as that takes (Engine.IO 4 over a WebSocket). Resolves when it is connected.
 * @throws Error when it is refused, or the connection is lost before
 */
export function connectLight({ url, auth }: Account, { onEvent, onLost }: Hearing): Promise<LightClient> {
  const socket = new WebSocket(`${url.replace('http', 'ws')}/socket.io/?EIO=4&transport=websocket`);
  let connected = false;
  let left = false;
  return new Promise((resolve, reject) => {
    const leave = () => {
      left = true;
      socket.close();
    };
    socket.onclose = () => {
      if (!connected) reject(new Error(`no connection to ${url}`));
      else if (!left) onLost?.();
    };
    socket.onmessage = (message) => {
      const data = String(message.data);
      if (data === '2') socket.send('3');
      else if (data.startsWith('42')) onEvent(data);
      else if (data.startsWith('44')) leave();
      else if (data.startsWith('40')) {
        connected = true;
        resolve({ leave });
      } else if (data.startsWith('0')) socket.send(`40${JSON.stringify(auth)}`);
    };
  });
}
