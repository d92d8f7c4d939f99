import { existsSync, writeFileSync } from 'node:fs';
import { constants, setPriority } from 'node:os';
import type { Account } from '../accounts.ts';
import type { Job, Report } from './jobs.ts';
import { connectLight } from './light-client.ts';

export interface Crowded {
  /** From the first connection that was lost to the last one that was back, in milliseconds. */
  backMs: number;
  /** Messages received live, by their ids, since the start. */
  received: string[];
}

const SESSION = '/proc/self/autogroup';
const AT_ONCE = 50;
/** As the stock client has them: each pause is twice the one before, and half of it more or less. */
const FIRST_PAUSE_MS = 1_000;
const LONGEST_PAUSE_MS = 5_000;
const MESSAGE_ID = /"_id":"([0-9a-f]{24})"/;

const pauseBefore = (attempt: number) =>
  Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** attempt * (0.5 + Math.random()));

/** It stands for thousands of machines: it may be late, and must keep waiting neither those that measure nor the database. */
function comeLast(): void {
  setPriority(constants.priority.PRIORITY_LOW);
  // Where sessions share a core first, the priority of a process counts within its session alone.
  if (existsSync(SESSION)) writeFileSync(SESSION, String(constants.priority.PRIORITY_LOW));
}

/** Everybody connects; the next step ends when all have lost their node and are back at others. */
export async function crowd({ accounts, refuges }: Job & { what: 'crowd' }, report: Report<'crowd'>): Promise<void> {
  comeLast();
  const received = new Set<string>();
  let firstLost = 0;
  let away = 0;
  let allBack = () => {};

  const onEvent = (text: string) => {
    const id = text.startsWith('42["receive_message"') && MESSAGE_ID.exec(text)?.[1];
    if (id) received.add(id);
  };

  async function comeBack(account: Account, attempt = 0): Promise<void> {
    await new Promise((resolve) => setTimeout(resolve, pauseBefore(attempt)));
    try {
      await connectLight(account, { onEvent });
    } catch {
      return comeBack(account, attempt + 1);
    }
    away -= 1;
    if (away === 0) allBack();
  }

  async function connect(account: Account, i: number): Promise<void> {
    const onLost = () => {
      firstLost ||= performance.now();
      // Where a proxy would send it.
      void comeBack({ ...account, url: refuges[i % refuges.length] as string });
    };
    await connectLight(account, { onEvent, onLost });
  }

  for (let start = 0; start < accounts.length; start += AT_ONCE) {
    await Promise.all(accounts.slice(start, start + AT_ONCE).map((account, i) => connect(account, start + i)));
  }
  away = accounts.length;
  const back = new Promise<void>((resolve) => {
    allBack = resolve;
  });
  await report({ backMs: 0, received: [] });
  await back;
  await report({ backMs: performance.now() - firstLost, received: [] });
  await report({ backMs: 0, received: [...received] });
}
