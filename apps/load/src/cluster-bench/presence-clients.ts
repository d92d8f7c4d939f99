import { pause } from '../sockets.ts';
import type { Job, Report } from './jobs.ts';
import { connectLight, type LightClient } from './light-client.ts';

export interface PresenceCounted {
  /** `user_status` events that all clients together were sent in this step. */
  frames: number;
}

const AT_ONCE = 50;
/** A step is over when nothing has come for this long. */
const QUIET_MS = 3_000;
/** The end of a grace, and the reaping behind it. */
const GRACE_MS = 12_000;

/** Everybody connects, and tells when it is quiet; then movers go, and tell; then they come back. */
export async function presence({ accounts, movers }: Job & { what: 'presence' }, report: Report<'presence'>) {
  let frames = 0;
  const onEvent = (text: string) => {
    if (text.startsWith('42["user_status"')) frames += 1;
  };
  const clients: LightClient[] = [];
  const connect = async (i: number) => {
    const account = accounts[i];
    if (account) clients[i] = await connectLight(account, { onEvent });
  };

  async function counted(leastMs: number): Promise<void> {
    await pause(leastMs);
    for (let before = -1; before !== frames; ) {
      before = frames;
      await pause(QUIET_MS);
    }
    const result = { frames };
    frames = 0;
    await report(result);
  }

  for (let start = 0; start < accounts.length; start += AT_ONCE) {
    await Promise.all(Array.from({ length: AT_ONCE }, (_, i) => connect(start + i)));
  }
  await counted(0);
  for (const i of movers) clients[i]?.leave();
  await counted(GRACE_MS);
  await Promise.all(movers.map(connect));
  await counted(0);
}
