import type { Message } from '@duet/contract';
import type { Socket } from 'socket.io-client';
import type { History, Row } from './history.ts';
import { pause, type Random } from './random.ts';
import { checksum, isForGood, type Person, retryOf } from './wire.ts';

/** Longer than a node waits for its store. */
const ACK_WITHIN_MS = 6_000;
const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 5_000;

export interface Letter {
  to: Person;
  tag: number;
  content: string;
}

type Ack = { ok: true; data: { message: Message } } | { ok: false; error: { code: string; retryAfterMs?: number } };

export interface OutboxDeps {
  proc: string;
  run: string;
  socket: Socket;
  connected: () => Promise<void>;
  history: History;
  random: Random;
  acknowledged: (letter: Letter, message: Message) => Row;
}

/**
 * Keeps a message until it is acknowledged, with the same tempId all the time: what every client of this server must do.
 * Each try is an operation of its own in the history.
 */
export function createOutbox({ proc, run, socket, connected, history, random, acknowledged }: OutboxDeps) {
  const waiting = new Map<number, Letter>();
  const tempIdOf = (tag: number) => `${run}-${tag}`;

  /** @returns how long to wait before the next try; undefined when none is needed */
  async function attempt({ to, tag, content }: Letter): Promise<number | undefined> {
    const pending = history.invoke(proc, 'send', { to: to.index, tag, crc: checksum(content) });
    let ack: Ack;
    try {
      const payload = { receiverId: to.id, content, tempId: tempIdOf(tag) };
      ack = (await socket.timeout(ACK_WITHIN_MS).emitWithAck('send_message', payload)) as Ack;
    } catch {
      pending.info('no answer');
      return 0;
    }
    if (ack.ok) {
      pending.ok(acknowledged({ to, tag, content }, ack.data.message));
      return undefined;
    }
    const { code, retryAfterMs = 0 } = ack.error;
    if (retryOf(code) === 'same') pending.info(code);
    else pending.fail(code);
    return isForGood(code) ? undefined : retryAfterMs;
  }

  return {
    /** Resolves when the message is acknowledged, or refused for good. */
    async send(letter: Letter): Promise<void> {
      waiting.set(letter.tag, letter);
      for (let longest = FIRST_PAUSE_MS; ; longest = Math.min(2 * longest, LONGEST_PAUSE_MS)) {
        await connected();
        const wait = await attempt(letter);
        if (wait === undefined) break;
        await pause(wait + random.next() * longest);
      }
      waiting.delete(letter.tag);
    },
    /** Whether this device has asked for it, and waits for the answer. */
    hasAsked: ({ tempId }: Message): boolean => [...waiting.keys()].some((tag) => tempIdOf(tag) === tempId),
    /** How many messages have no answer yet. */
    size: () => waiting.size,
  };
}
