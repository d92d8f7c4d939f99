import { compareSync, hashSync } from 'bcryptjs';
import { yieldToAll } from '../priority.ts';

/** With a hash: is it this password's? With a cost: make one of 2^cost rounds. */
export type HashTask = { password: string } & ({ hash: string } | { cost: number });

yieldToAll();

export default function work(task: HashTask): string | boolean {
  const { password } = task;
  return 'hash' in task ? compareSync(password, task.hash) : hashSync(password, task.cost);
}
