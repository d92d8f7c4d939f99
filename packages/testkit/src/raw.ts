import { connect, type Socket } from 'node:net';

/** Bytes as no library would send them, and what comes back until the server closes or `enough` of it is there. */
export async function sendRaw(
  url: string,
  bytes: string | Buffer,
  enough: (answer: string) => boolean = () => false,
): Promise<string> {
  const { hostname, port } = new URL(url);
  const socket = connect({ host: hostname, port: Number(port) });
  let answer = '';
  socket.on('data', (chunk) => {
    answer += chunk.toString('latin1');
    if (enough(answer)) socket.destroy();
  });
  // The end is what is waited for; whether it came as a reset does not matter.
  socket.on('error', () => {});
  const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
  socket.write(bytes);
  await closed;
  return answer;
}

/** The status of the first answer in raw bytes. */
export const statusOf = (answer: string): number => Number(/^HTTP\/1\.1 (\d{3})/.exec(answer)?.[1]);

/** What asks a server for a WebSocket. */
export const upgradeRequest = (host: string, path: string): string =>
  `GET ${path} HTTP/1.1\r\nHost: ${host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
  'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n';

/** A WebSocket whose frames are made by hand. */
export interface RawWebSocket extends Disposable {
  tcp: Socket;
  /** One frame; `final: false` for a part of a message, which then goes on with opcode 0. */
  frame(opcode: number, payload: string | Uint8Array, final?: boolean): void;
  /** A text message: an Engine.IO packet. */
  send(text: string): void;
  /** Everything that has come, as it stands in the frames. */
  received(): string;
  /** Resolves when the server has ended it. */
  closed: Promise<void>;
}

const TEXT = 1;

function encode(opcode: number, payload: Buffer, final: boolean): Buffer {
  const head = [(final ? 0x80 : 0) | opcode];
  // Clients have to mask; a mask of zeros changes nothing.
  if (payload.length < 126) head.push(0x80 | payload.length);
  else if (payload.length < 65_536) head.push(0x80 | 126, payload.length >> 8, payload.length & 0xff);
  else head.push(0x80 | 127, 0, 0, 0, 0, ...[24, 16, 8, 0].map((shift) => (payload.length >>> shift) & 0xff));
  return Buffer.concat([Buffer.from([...head, 0, 0, 0, 0]), payload]);
}

/**
 * Opens an Engine.IO session over a WebSocket.
 * @param auth of the CONNECT packet; without it none is sent
 * @throws Error with what came when it is refused
 */
export async function openRawWebSocket(url: string, auth?: object): Promise<RawWebSocket> {
  const { hostname, host, port } = new URL(url);
  const tcp = connect({ host: hostname, port: Number(port) });
  tcp.on('error', () => {});
  let received = '';
  tcp.on('data', (chunk) => {
    received += chunk.toString('latin1');
  });
  const closed = new Promise<void>((resolve) => tcp.once('close', () => resolve()));
  tcp.write(upgradeRequest(host, '/socket.io/?EIO=4&transport=websocket'));
  const contains = (text: string) =>
    new Promise<void>((resolve, reject) => {
      const look = () => {
        if (received.includes(text)) resolve();
        else if (received.includes('44{') || tcp.destroyed) reject(new Error(`refused: ${received}`));
      };
      tcp.on('data', look).once('close', look);
      look();
    });
  const socket: RawWebSocket = {
    tcp,
    frame: (opcode, payload, final = true) => void tcp.write(encode(opcode, Buffer.from(payload), final)),
    send: (text) => socket.frame(TEXT, text),
    received: () => received,
    closed,
    [Symbol.dispose]: () => void tcp.destroy(),
  };
  await contains('"sid"');
  if (auth) {
    socket.send(`40${JSON.stringify(auth)}`);
    await contains('40{"sid"');
  }
  return socket;
}
