import { join } from 'node:path';
import { conversationOf, type Draft } from '@duet/core';
import { temporaryFolder } from '@duet/testkit';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { backUp, createSqliteStore } from '../src/index.ts';

const [ALICE, BOB] = ['a'.repeat(24), 'b'.repeat(24)] as const;
const { id: conversation } = conversationOf(ALICE, BOB);

const draft = (n: number): Draft => ({
  conversation,
  sender: ALICE,
  receiver: BOB,
  content: 'x'.repeat(3_000),
  messageType: 'text',
  tempId: `${n}`,
  createdAt: n,
});
const drafts = (count: number): Draft[] => Array.from({ length: count }, (_, n) => draft(n));

describe('backups beside whoever writes', () => {
  let folder: ReturnType<typeof temporaryFolder>;
  let file: string;
  let copy: string;
  beforeEach(() => {
    folder = temporaryFolder();
    file = join(folder.path, 'data', 'duet.db');
    copy = join(folder.path, 'copy.db');
  });
  afterEach(() => folder[Symbol.dispose]());

  async function countOf(path: string): Promise<number> {
    const store = createSqliteStore({ file: path });
    const { messages } = await store.admin.counts();
    await store.close();
    return messages;
  }

  test('Z1 a large database that is written to all the time is copied in one go, as it was at its beginning', async () => {
    // Of more pages than are copied in one step.
    const before = 4_000;
    const store = createSqliteStore({ file });
    await store.messages.append(drafts(before));
    const parts: number[] = [];
    await backUp(file, copy, (part) => {
      if (part <= (parts.at(-1) ?? 0)) throw new Error('it has begun anew');
      parts.push(part);
      void store.messages.append([draft(before + parts.length)]);
    });
    expect(parts.length).toBeGreaterThan(2);
    await store.close();
    expect(await countOf(copy)).toBe(before);
    expect(await countOf(file)).toBe(before + parts.length);
  });
});
