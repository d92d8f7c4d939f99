import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { Duplex } from 'node:stream';

/** For the head and for the whole of a request. Node waits 60 and 300 s, which a slow flood makes use of. */
const HEAD_WITHIN_MS = 10_000;
const REQUEST_WITHIN_MS = 30_000;
const LOOK_EVERY_MS = 2_000;
/** An idle connection, in which browsers and programs may ask for more. Node closes after 5 s. */
const IDLE_FOR_MS = 75_000;
/**
 * One of a proxy is kept longer than proxies keep theirs (nginx and many load balancers of clouds 60 s, Caddy 2 min,
 * Google's 10). Were the node the first to close it, a request might be on its way that no proxy may send twice: 502.
 */
const IDLE_FOR_PROXIES_MS = 620_000;
/** An answer of which nothing is taken for so long is for nobody. Polls are answered sooner, with a ping. */
const READ_WITHIN_MS = 60_000;
/** Where Engine.IO listens. */
const SOCKETS = '/socket.io/';

export interface Connections {
  http: Server;
  /** Resolves when no request is under way; of connections that others have taken the server itself counts none. */
  answered(): Promise<void>;
  /** Ends all that are left, whatever they wait for. */
  end(): void;
}

/**
 * The HTTP server of a node, which does not listen yet.
 * @param proxies how many stand before it
 */
export function createHttpServer({ proxies = 0, readWithinMs = READ_WITHIN_MS } = {}): Connections {
  /** Node knows nothing of them any more. */
  const upgraded = new Set<Duplex>();
  const http: Server = createServer({
    headersTimeout: HEAD_WITHIN_MS,
    requestTimeout: REQUEST_WITHIN_MS,
    keepAliveTimeout: proxies > 0 ? IDLE_FOR_PROXIES_MS : IDLE_FOR_MS,
    connectionsCheckingInterval: LOOK_EVERY_MS,
    // Another request that asks for it is answered as if it had not: no limit of HTTP would hold what is made of it.
    shouldUpgradeCallback: ({ url }) => http.listenerCount('upgrade') > 1 && (url?.startsWith(SOCKETS) ?? false),
  });
  http.on('upgrade', (_: IncomingMessage, socket: Duplex) => {
    upgraded.add(socket);
    socket.once('close', () => upgraded.delete(socket));
  });
  http.setTimeout(readWithinMs);
  let underWay = 0;
  let onAnswered: (() => void) | undefined;
  http.on('request', (_, res) => {
    underWay += 1;
    res.once('close', () => {
      underWay -= 1;
      if (underWay === 0) onAnswered?.();
    });
  });
  return {
    http,
    answered: () =>
      new Promise((resolve) => {
        onAnswered = resolve;
        if (underWay === 0) resolve();
      }),
    end() {
      http.closeAllConnections();
      for (const socket of upgraded) socket.destroy();
    },
  };
}
