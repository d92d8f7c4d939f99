import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { constants, setPriority } from 'node:os';

/** How Node names the threads in which V8 collects garbage and compiles. */
const HELPER = 'node-V8Worker';
/** Of what the event loop gets, a tenth, where both want the same core. */
export const HELPER_PRIORITY = 10;

/** On Linux a thread has a priority of its own; elsewhere the scheduler has to do. */
function lower(threads: () => string[], priority: number, what: string): void {
  if (process.platform !== 'linux') return;
  try {
    for (const thread of threads()) setPriority(Number(thread), priority);
  } catch (error) {
    process.emitWarning(`${what} at ordinary priority: ${(error as Error).message}`);
  }
}

const nameOf = (thread: string): string => readFileSync(`/proc/self/task/${thread}/comm`, 'utf8').trim();

/**
 * Lets the event loop come before the helpers of its own process that collect garbage and compile. Where a node has
 * one core, four of them that mark a large heap leave a fifth of it to messages, for a tenth of a second; this way what
 * they do takes longer and is felt less. They keep a share: a short collection waits for what a helper has begun.
 */
export function putMessagesFirst(): void {
  const helpers = () => readdirSync('/proc/self/task').filter((thread) => nameOf(thread) === HELPER);
  lower(helpers, HELPER_PRIORITY, 'garbage is collected');
}

/** Lets the thread that calls it come after all others. */
export function yieldToAll(): void {
  const self = () => [readlinkSync('/proc/thread-self').split('/').pop() as string];
  lower(self, constants.priority.PRIORITY_LOW, 'passwords are hashed');
}
