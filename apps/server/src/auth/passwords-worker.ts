import { readlinkSync } from 'node:fs';
import { constants, setPriority } from 'node:os';
import { compareSync, hashSync } from 'bcryptjs';

/** 2^10 rounds, OWASP's least for bcrypt: about 60 ms on a small core. */
const COST = 10;

/** With a hash: is it this password's? Without: make one. */
export interface HashTask {
  password: string;
  hash?: string;
}

yieldToMessages();

export default function work({ password, hash }: HashTask): string | boolean {
  return hash === undefined ? hashSync(password, COST) : compareSync(password, hash);
}

/** On Linux a thread may be given a lower priority of its own; elsewhere the scheduler has to do. */
function yieldToMessages(): void {
  if (process.platform !== 'linux') return;
  try {
    const thread = Number(readlinkSync('/proc/thread-self').split('/').pop());
    setPriority(thread, constants.priority.PRIORITY_LOW);
  } catch (error) {
    process.emitWarning(`passwords are hashed at ordinary priority: ${(error as Error).message}`);
  }
}
