import { eventually, open, register, rest, type TestUser } from '@duet/testkit';
import { expect } from 'vitest';

const ACK_WITHIN_MS = 2_000;
/** Between a sender's messages. What is compared at the end stays small enough for tests that take seconds. */
const PACE_MS = 15;

/** A message as a client with a clean conscience remembers it: it was acknowledged under this id. */
interface Acknowledged {
  content: string;
  id: string;
}

interface Pair {
  sender: TestUser;
  receiver: TestUser;
  sockets: ReturnType<typeof open>[];
  acknowledged: Acknowledged[];
}

/** Pairs of users who write all the time. */
export interface Traffic extends Disposable {
  users: TestUser[];
  /** Resolves when `n` more messages are acknowledged in every conversation: it flows. */
  flows(n?: number): Promise<void>;
  /** Lets every sender finish its message, then compares: what was acknowledged is there for both, once, in order. */
  finish(): Promise<void>;
}

/** The whole history with `peer`, oldest first, as REST gives it. */
export async function history(
  url: string,
  me: TestUser,
  peer: TestUser,
): Promise<{ _id: string; seq: number; content: string }[]> {
  const all: { _id: string; seq: number; content: string }[] = [];
  for (let after = 0; ; after = all.at(-1)?.seq ?? 0) {
    const { body } = await rest(url, `/messages/${peer.id}?after=${after}&limit=100`, { token: me.token });
    all.push(...body.data.messages);
    if (body.data.messages.length < 100) return all;
  }
}

/** Sends one message until it is acknowledged, with the same tempId: what a careful client does. */
export async function sendUntilAcknowledged(
  socket: ReturnType<typeof open>,
  receiverId: string,
  content: string,
): Promise<Acknowledged> {
  for (;;) {
    const ack = await socket
      .timeout(ACK_WITHIN_MS)
      .emitWithAck('send_message', { receiverId, content, tempId: content })
      .catch(() => undefined);
    if (ack?.ok) return { content, id: ack.data.message._id };
    if (ack && ack.error.code !== 'UNAVAILABLE') throw new Error(`refused: ${JSON.stringify(ack.error)}`);
  }
}

/**
 * Starts pairs of users who write steadily, over websocket and long polling.
 * @param urlOf where a device connects
 * @param paceMs between an acknowledgement and the next message of a sender
 */
export async function startTraffic(
  urlOf: (device: number) => string,
  { pairs = 4, paceMs = PACE_MS }: { pairs?: number; paceMs?: number } = {},
): Promise<Traffic> {
  let running = true;
  const all = await Promise.all(
    Array.from({ length: pairs }, async (_, i): Promise<Pair> => {
      const [from, to] = [urlOf(2 * i), urlOf(2 * i + 1)];
      const [sender, receiver] = await Promise.all([register(from, 'sender'), register(to, 'receiver')]);
      const transports = i % 4 === 3 ? ['polling'] : ['websocket'];
      // As people's devices do: where a node or nginx was just replaced, the first try may meet the old one's end.
      const sockets = [open(from, sender.token, { transports }), open(to, receiver.token, { transports })];
      await eventually(() => sockets.every(({ connected }) => connected), 'both are connected');
      return { sender, receiver, sockets, acknowledged: [] };
    }),
  );
  const senders = all.map(async ({ sockets, receiver, acknowledged }) => {
    while (running) {
      const content = `message-${acknowledged.length}`;
      acknowledged.push(await sendUntilAcknowledged(sockets[0] as ReturnType<typeof open>, receiver.id, content));
      await new Promise((resolve) => setTimeout(resolve, paceMs));
    }
  });
  // Failures belong to `finish`, not to whichever moment they happen in.
  const finished = Promise.all(senders);
  finished.catch(() => {});

  async function flows(n = 20): Promise<void> {
    const before = all.map(({ acknowledged }) => acknowledged.length);
    await eventually(
      () => all.every(({ acknowledged }, i) => acknowledged.length >= (before[i] as number) + n),
      'messages are acknowledged in every conversation',
    );
  }

  async function finish(): Promise<void> {
    running = false;
    await finished;
    for (const { sender, receiver, acknowledged } of all) {
      for (const [me, peer] of [
        [sender, receiver],
        [receiver, sender],
      ] as const) {
        const stored = await history(urlOf(0), me, peer);
        expect(stored.map(({ content, _id }) => ({ content, id: _id }))).toEqual(acknowledged);
        expect(stored.map(({ seq }) => seq)).toEqual(stored.map((_, i) => i + 1));
      }
    }
  }

  return {
    users: all.flatMap(({ sender, receiver }) => [sender, receiver]),
    flows,
    finish,
    [Symbol.dispose]() {
      running = false;
      for (const { sockets } of all) for (const socket of sockets) socket.disconnect();
    },
  };
}
