import { describe, expect, test } from 'vitest';
import { type ChatMessage, contiguous, merge, readUpTo } from '../src/thread.ts';

const message = (seq: number | undefined, more: Partial<ChatMessage> = {}): ChatMessage => ({
  key: `key-${seq}`,
  seq,
  id: seq === undefined ? undefined : `id-${seq}`,
  mine: true,
  content: `text ${seq}`,
  createdAt: '2026-01-01T00:00:00.000Z',
  state: 'sent',
  ...more,
});
const seqs = (messages: ChatMessage[]) => messages.map(({ seq }) => seq);

describe('a thread', () => {
  test('W10 messages stand once and by seq, in whatever order they come; what is on its way stands last', () => {
    const sending = message(undefined, { key: 'temp', state: 'sending' });
    const merged = merge([message(4), sending], [message(2), message(5), message(2), message(1)]);
    expect(seqs(merged)).toEqual([1, 2, 4, 5, undefined]);
    const answered = merge(merged, [message(6, { key: 'temp' })]);
    expect(seqs(answered)).toEqual([1, 2, 4, 5, 6]);
  });

  test('W10 a hole is noticed, and closed when it is filled', () => {
    const known = merge([], [message(1), message(2), message(4)]);
    expect(contiguous(known, 0)).toBe(2);
    expect(contiguous(merge(known, [message(3)]), 2)).toBe(4);
  });

  test('W10 read stays read, and marks only own messages up to it', () => {
    const known = [message(1), message(2, { mine: false }), message(3)];
    const read = readUpTo(known, 2);
    expect(read.map(({ state }) => state)).toEqual(['read', 'sent', 'sent']);
    expect(merge(read, [message(1)])[0]?.state).toBe('read');
  });
});
