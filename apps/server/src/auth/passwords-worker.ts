import { readlinkSync } from 'node:fs';
import { constants, setPriority } from 'node:os';
import { compareSync, hashSync } from 'bcryptjs';

/** With a hash: is it this password's? With a cost: make one of 2^cost rounds. */
export type HashTask = { password: string } & ({ hash: string } | { cost: number });

yieldToMessages();

export default function work(task: HashTask): string | boolean {
  const { password } = task;
  return 'hash' in task ? compareSync(password, task.hash) : hashSync(password, task.cost);
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
