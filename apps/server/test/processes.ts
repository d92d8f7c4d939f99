import { readFileSync } from 'node:fs';
import { eventually, type ServerProcess } from '@duet/testkit';

/** The processes that a process has started: the workers of a node. */
export function childrenOf(pid: number): number[] {
  const text = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8');
  return text.trim().split(' ').filter(Boolean).map(Number);
}

/** Its resident bytes. */
export const residentOf = (pid: number): number =>
  Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) * 1024;

/** What a node says of itself, to a connection of its own: how many of its workers serve. */
export async function readyOf({ url }: ServerProcess): Promise<number> {
  const answer = await fetch(`${url}/metrics`, { headers: { connection: 'close' } });
  return Number(/^duet_ready (.*)$/m.exec(await answer.text())?.[1]);
}

/** All workers serve, and get connections in turn from here on; the first of them has the node greet. */
export const allServe = (server: ServerProcess): Promise<void> =>
  eventually(async () => (await readyOf(server)) === 1, 'all serve');
