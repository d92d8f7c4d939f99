import { crc32 } from 'node:zlib';
import { errorTable, type Message } from '@duet/contract';
import type { Row } from './history.ts';
import type { Random } from './random.ts';

/** Somebody with an account. */
export interface Person {
  index: number;
  id: string;
  token: string;
}

/** All people of a run, and their numbers by id. */
export interface People {
  all: Person[];
  indexOf(id: string): number;
}

const WORDS = ['moin', 'ça va', 'hmm…', '好的', 'see you', 'ok', '👍🏽', 'לילה טוב', 'x'.repeat(60), 'no "quotes"\\'];

/**
 * A text that names its message, so that whoever reads it knows which one it was meant to be.
 * @param length at least so many characters
 */
export function textOf(tag: number, random: Random, length = 0): string {
  const words = Array.from({ length: 1 + random.below(8) }, () => random.pick(WORDS));
  return `m${tag} ${words.join(' ')}`.padEnd(length, ' …');
}

/** What a client does about a failure with this code; one that it does not know may have been stored. */
export const retryOf = (code: string) => errorTable[code as keyof typeof errorTable]?.retry ?? 'same';

/** Whether a client does not send again what was refused with this code. */
export const isForGood = (code: string): boolean => ['never', 'reauth'].includes(retryOf(code));

export const checksum = (text: string): number => crc32(text);

/** The message as a history has it, for `viewer` in the conversation with `peer`. */
export function rowOf(
  message: Message,
  { viewer, peer, people }: { viewer: number; peer: number; people: People },
): Row {
  const from = people.indexOf(message.sender._id);
  const to = people.indexOf(message.receiver._id);
  const theirs = (from === viewer && to === peer) || (from === peer && to === viewer);
  const tag = /^m(\d+) /.exec(message.content)?.[1];
  return [
    message._id,
    message.seq,
    tag === undefined ? -1 : Number(tag),
    theirs ? from : -1,
    checksum(message.content),
    message.isRead ? 1 : 0,
  ];
}

const REST_WITHIN_MS = 8_000;

/** What REST answered: data, or the code of a refusal; `undefined` when nobody knows. */
export type Answer = { data: unknown } | { code: string } | undefined;

/** One REST call. Never throws: a network that breaks is what this is for. */
export async function call(base: string, path: string, request: { token: string; body?: unknown }): Promise<Answer> {
  try {
    const response = await fetch(new URL(`/api${path}`, base), {
      method: request.body === undefined ? 'GET' : 'POST',
      headers: {
        authorization: `Bearer ${request.token}`,
        ...(request.body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(request.body === undefined ? {} : { body: JSON.stringify(request.body) }),
      signal: AbortSignal.timeout(REST_WITHIN_MS),
    });
    const body = (await response.json()) as { success: boolean; data: unknown; code: string };
    return body.success ? { data: body.data } : { code: body.code };
  } catch {
    return undefined;
  }
}
