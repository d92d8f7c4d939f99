import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';

/** A way to a server that can be made bad: what a phone's network does. */
export interface TcpProxy extends AsyncDisposable {
  url: string;
  /** Connections made so far. */
  connections(): number;
  /** What the server sends and `matches` is lost, as long as this is set; all of it arrives in whole frames here. */
  lose(matches: ((text: string) => boolean) | undefined): void;
  /** What the server sends arrives so much later, in milliseconds. */
  delay(ms: number): void;
  /** Connections that exist say nothing any more, in either direction, and stay open. New ones work. */
  freeze(): void;
  /**
   * What clients send over connections that exist stays on its way, also when they have given the connection up, until
   * the returned function is called: bytes that the system sends again. New ones work.
   */
  hold(): () => void;
  /** New connections lead there. */
  lead(target: string): void;
  /** How often something was sent into a frozen connection. */
  swallowed(): number;
  /** Ends all connections without a word. */
  cut(): void;
}

/** Passes TCP connections on to a server of this machine. */
export async function startTcpProxy(target: string): Promise<TcpProxy> {
  let to = new URL(target);
  const pairs = new Set<Socket[]>();
  let count = 0;
  let swallowed = 0;
  let isLost: ((text: string) => boolean) | undefined;
  let delayMs = 0;
  const server = createServer((client) => {
    count += 1;
    const upstream = connect({ host: to.hostname, port: Number(to.port) });
    const pair = [client, upstream];
    pairs.add(pair);
    client.on('data', (chunk: Buffer) => {
      if (pairs.has(pair)) upstream.write(chunk);
      else if (held.has(pair)) held.get(pair)?.push(chunk);
      else swallowed += 1;
    });
    const pass = (chunk: Buffer) => pairs.has(pair) && !isLost?.(chunk.toString('latin1')) && client.write(chunk);
    upstream.on('data', (chunk: Buffer) => {
      if (delayMs > 0) setTimeout(pass, delayMs, chunk);
      else pass(chunk);
    });
    for (const socket of pair) {
      socket.on('error', () => {}); // 'close' follows
      socket.on('close', () => {
        if (pairs.delete(pair)) for (const each of pair) each.destroy();
        else frozen.delete(pair);
      });
    }
  }).listen(0, '127.0.0.1');
  const frozen = new Set<Socket[]>();
  const held = new Map<Socket[], Buffer[]>();
  await once(server, 'listening');
  const end = (some: Iterable<Socket[]>) => {
    for (const pair of [...some]) for (const socket of pair) socket.destroy();
  };
  const cut = () => {
    end(pairs);
    end(frozen);
    end(held.keys());
  };
  return {
    url: `http://127.0.0.1:${(server.address() as { port: number }).port}`,
    connections: () => count,
    lose(matches) {
      isLost = matches;
    },
    delay(ms) {
      delayMs = ms;
    },
    freeze() {
      for (const pair of pairs) frozen.add(pair);
      pairs.clear();
    },
    hold() {
      const mine = [...pairs];
      for (const pair of mine) held.set(pair, []);
      pairs.clear();
      return () => {
        for (const pair of mine) pair[1]?.end(Buffer.concat(held.get(pair) ?? []));
      };
    },
    lead(target) {
      to = new URL(target);
    },
    swallowed: () => swallowed,
    cut,
    async [Symbol.asyncDispose]() {
      cut();
      server.close();
      await once(server, 'close');
    },
  };
}
