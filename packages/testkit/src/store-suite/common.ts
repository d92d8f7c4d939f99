import { randomBytes } from 'node:crypto';
import { DuetError } from '@duet/contract';
import { conversationOf, type Draft, type Entry, type Store, type UserRecord } from '@duet/core';
import { expect } from 'vitest';

/** An empty database of its own and a store on it. */
export interface StoreUnderTest {
  store: Store;
  /** Opens one more store on the same database, while others are open or after; absent where a database dies with its store. */
  reopen?(): Promise<Store>;
  /** Takes an entry of a log out of the database, as no store does; absent where the suite of the store below has it. */
  lose?(entry: { conversation: string; seq: number }): Promise<void>;
  /** Takes a row out of the inbox in the same way. */
  loseRow?(row: { user: string; conversation: string }): Promise<void>;
  /** Takes `shown` out of the entries from a place on, as versions stored them that did not know it; absent as `lose` is. */
  forgetShown?(from: { conversation: string; seq: number }): Promise<void>;
  /** Closes every store that was opened and removes the database. */
  close(): Promise<void>;
}

/**
 * Stores on one database.
 * @param make gives one more
 * @param remove is called when all are closed
 */
export async function storesOn(
  make: () => Store | Promise<Store>,
  remove: () => void = () => {},
): Promise<StoreUnderTest & { reopen: () => Promise<Store> }> {
  const stores: Store[] = [];
  const reopen = async () => {
    const store = await make();
    stores.push(store);
    return store;
  };
  return {
    store: await reopen(),
    reopen,
    async close() {
      for (const store of stores) await store.close();
      remove();
    },
  };
}

export const START = Date.UTC(2026, 0, 1);
export const newId = () => randomBytes(12).toString('hex');
export const byBytes = (one: string, other: string) => Buffer.compare(Buffer.from(one), Buffer.from(other));

/** Two users, the lower id first, and drafts between them. */
export function pair(low = newId(), high = newId()) {
  const { id, users } = conversationOf(low, high);
  let made = 0;
  function draft(sender: string, content = `text ${made}`, tempId = newId()): Draft {
    const receiver = sender === users[0] ? users[1] : users[0];
    made += 1;
    return { conversation: id, sender, receiver, content, messageType: 'text', tempId, createdAt: START + made };
  }
  return { id, low: users[0], high: users[1], draft };
}

export function user(fields: Partial<UserRecord> = {}): UserRecord {
  const id = newId();
  return {
    id,
    username: `User ${id}`,
    usernameKey: `user ${id}`,
    email: `${id}@Example.com`,
    emailKey: `${id}@example.com`,
    passwordHash: `$2b$12$${id}`,
    tokensAfter: 0,
    createdAt: START,
    lastSeen: START,
    ...fields,
  };
}

export const seqs = (entries: Entry[]) => entries.map((entry) => entry.seq);
export const upTo = (count: number) => Array.from({ length: count }, (_, i) => i + 1);
export const bySeq = (one: Entry, other: Entry) => one.seq - other.seq;

/** What each text must survive: storage gives back exactly what came. */
export const TEXTS = [
  'plain',
  '👩‍👩‍👧‍👦 🇩🇪 👍🏽 😀',
  `e${'\u0301'.repeat(50)} Z\u0335\u0321`,
  '\u{1F600}'.repeat(4000),
  `'single' "double" \`back\` \\ \\n ; -- /* */`,
  '$where $gt $$ROOT a.b.c .. $',
  '  blanks\tand\r\nlines \u2028 kept  ',
  '\u202Eright to left\u202C שלום \uFEFF \u200B',
  '{"$ne":null}',
  '%_ NULL undefined ?1 :name',
];

/** The code of the DuetError that a promise rejects with, and the fields that it names. */
export async function codeOf(promise: Promise<unknown>): Promise<{ code: string; fields: string[] }> {
  const error = await promise.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(DuetError);
  const { code, details } = error as DuetError;
  return { code, fields: (details ?? []).map(({ field }) => field) };
}
