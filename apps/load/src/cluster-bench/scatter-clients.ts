import { connectAll, newTempId, TEXT } from '../sockets.ts';
import type { Job, Report } from './jobs.ts';

/** Messages under way, all senders together. */
const IN_FLIGHT = 200;

/** A number below `n`, the same row of them in every run. */
function createDice(seed = 1): (n: number) => number {
  let state = seed;
  return (n) => {
    // Park and Miller's generator: enough to spread messages.
    state = (state * 48_271) % 2_147_483_647;
    return state % n;
  };
}

/**
 * Each message goes from somebody to somebody else, both drawn by lot. A step ends when all are acknowledged and, where
 * the receivers are connected, delivered: then nothing is under way that could be counted later.
 */
export async function scatter(job: Job & { what: 'scatter' }, report: Report<'scatter'>): Promise<void> {
  const sockets = await connectAll(job.accounts);
  const dice = createDice();
  /** What is still to come for each message: an acknowledgement, and a delivery where somebody is there. */
  let left = 0;
  let done = () => {};
  let send = () => {};
  const arrived = () => {
    left -= 1;
    send();
    if (left === 0) done();
  };
  for (const socket of sockets) {
    socket.on('message_sent', arrived);
    socket.on('receive_message', arrived);
  }
  await report(null);

  for (const { ids, connected } of job.receivers) {
    const each = connected ? 2 : 1;
    let unsent = job.messages;
    left = unsent * each;
    const all = new Promise<void>((resolve) => {
      done = resolve;
    });
    send = () => {
      while (unsent > 0 && left - unsent * each < IN_FLIGHT * each) {
        const from = dice(sockets.length);
        const receiverId = ids[dice(ids.length)];
        if (receiverId === job.accounts[from]?.id) continue;
        unsent -= 1;
        sockets[from]?.emit('send_message', { receiverId, content: TEXT, tempId: newTempId() });
      }
    };
    send();
    await all;
    await report(null);
  }
}
