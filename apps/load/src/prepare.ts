// Pairs of accounts for the scenarios, as the CSV file that they read; each pair has a conversation to read in.
import { randomBytes, randomUUID } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { io } from 'socket.io-client';
import { PASSWORD, register } from './accounts.ts';

/** Pairs that are made side by side: each registration costs the server a slow hash. */
const AT_ONCE = 4;
const ACK_WITHIN_MS = 10_000;
/** As the scenarios' `payload.fields` name them. */
export const FIELDS = ['email', 'password', 'id', 'token', 'peerId', 'peerToken'];

export interface Preparation {
  /** Where the deployment answers. It has to run with RATE_LIMITS=off. */
  url: string;
  pairs: number;
  /** Messages in the conversation of each pair. */
  messages: number;
  /** The CSV file to write. */
  file: string;
}

/**
 * Registers people nobody has met, lets them write to each other, and writes the file.
 * @throws Error when the deployment refuses
 */
export async function prepare({ url, pairs, messages, file }: Preparation): Promise<void> {
  const run = randomBytes(4).toString('hex');
  const rows: string[] = [];
  let next = 0;
  const work = async () => {
    while (next < pairs) {
      const name = `load-${run}-${next++}`;
      const [one, other] = await Promise.all([register(url, name), register(url, `${name}-peer`)]);
      await write(url, one.auth.token as string, { receiverId: other.id, count: messages });
      rows.push([one.email, PASSWORD, one.id, one.auth.token, other.id, other.auth.token].join(','));
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  writeFileSync(file, `${[FIELDS.join(','), ...rows].join('\n')}\n`);
}

async function write(url: string, token: string, to: { receiverId: string; count: number }): Promise<void> {
  if (to.count === 0) return;
  const socket = io(url, { auth: { token }, transports: ['websocket'], forceNew: true });
  try {
    const sends = Array.from({ length: to.count }, (_, i) => ({
      receiverId: to.receiverId,
      content: `Message ${i + 1}, so that there is something to read.`,
      tempId: randomUUID(),
    }));
    const answers = await Promise.all(
      sends.map((payload) => socket.timeout(ACK_WITHIN_MS).emitWithAck('send_message', payload)),
    );
    const refused = answers.find(({ ok }) => !ok);
    if (refused) throw new Error(`a message was refused: ${refused.error.message}`);
  } finally {
    socket.disconnect();
  }
}
