import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';

/**
 * Stands between one node and Redis, passes every byte on as it is, and counts the messages that Redis pushes to the
 * node. Counted on the wire, so the figure is exact for any adapter and costs the node nothing.
 */
export interface Tap extends AsyncDisposable {
  /** For REDIS_URL of the node. */
  url: string;
  /** Messages of channels, received so far. */
  received(): number;
}

const PUSH = 0x3e;
const AGGREGATES: Record<string, number> = { '*': 1, '>': 1, '~': 1, '%': 2 };
const BULKS = new Set(['$', '=', '!']);
const MESSAGES = /^>\d+\r\n\$\d+\r\n[ps]?message\r\n/;
/** Long enough for the head of a push. */
const HEAD = 32;

/** The end of the value that begins at `at`, or undefined when it is not all there yet (RESP3). */
function endOf(buffer: Buffer, at: number): number | undefined {
  const lineEnd = buffer.indexOf('\r\n', at);
  if (lineEnd === -1) return undefined;
  const type = String.fromCharCode(buffer[at] as number);
  const rest = lineEnd + 2;
  if (BULKS.has(type)) {
    const length = Number(buffer.toString('latin1', at + 1, lineEnd));
    const end = length < 0 ? rest : rest + length + 2;
    return end <= buffer.length ? end : undefined;
  }
  let end: number | undefined = rest;
  const children = (AGGREGATES[type] ?? 0) * Number(buffer.toString('latin1', at + 1, lineEnd));
  for (let i = 0; i < children && end !== undefined; i++) end = end < buffer.length ? endOf(buffer, end) : undefined;
  return end;
}

/** Counts messages in what Redis sends, however it is cut into chunks. */
export function createMessageCounter(): { read(chunk: Buffer): void; count(): number } {
  let count = 0;
  let left: Buffer = Buffer.alloc(0);
  return {
    read(chunk) {
      const buffer = left.length === 0 ? chunk : Buffer.concat([left, chunk]);
      let at = 0;
      for (let end = endOf(buffer, at); end !== undefined; end = endOf(buffer, at)) {
        if (buffer[at] === PUSH && MESSAGES.test(buffer.toString('latin1', at, at + HEAD))) count += 1;
        at = end;
      }
      left = buffer.subarray(at);
    },
    count: () => count,
  };
}

/** @param redisUrl the server behind the tap */
export async function startTap(redisUrl: string): Promise<Tap> {
  const { hostname, port } = new URL(redisUrl);
  const sockets = new Set<Socket>();
  const counters: (() => number)[] = [];
  const server = createServer((node) => {
    const redis = connect({ host: hostname, port: Number(port), noDelay: true });
    const { read, count } = createMessageCounter();
    counters.push(count);
    redis.on('data', read);
    node.setNoDelay(true);
    for (const [from, to] of [
      [node, redis],
      [redis, node],
    ] as const) {
      sockets.add(from);
      from.pipe(to);
      from.on('error', () => {});
      from.on('close', () => {
        sockets.delete(from);
        to.destroy();
      });
    }
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port: own } = server.address() as { port: number };
  return {
    url: `redis://127.0.0.1:${own}`,
    received: () => counters.reduce((sum, count) => sum + count(), 0),
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}
