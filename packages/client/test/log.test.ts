import { describe, expect, test } from 'vitest';
import { createBook } from '../src/book.ts';
import {
  addOutgoing,
  addPage,
  addStanding,
  addStretch,
  arrive,
  emptyLog,
  fromOutbox,
  type Log,
  raise,
  readElsewhere,
} from '../src/log.ts';
import { createStore, initialState } from '../src/state.ts';
import type { Message, Watermarks } from '../src/wire.ts';

const ME = 'a'.repeat(24);
const PEER = 'b'.repeat(24);
const person = (_id: string) => ({ _id, username: 'somebody', isOnline: true });

function message(seq: number, mine = false, more: Partial<Message> = {}): Message {
  const [sender, receiver] = mine ? [ME, PEER] : [PEER, ME];
  return {
    _id: seq.toString(16).padStart(24, '0'),
    sender: person(sender),
    receiver: person(receiver),
    content: `text ${seq}`,
    isRead: false,
    messageType: 'text',
    createdAt: '2026-01-01T00:00:00.000Z',
    seq,
    ...more,
  };
}
const from = (first: number, last: number, mine = false) =>
  Array.from({ length: last - first + 1 }, (_, i) => message(first + i, mine));
const marks = (readSeq: number, peerReadSeq = 0, peerDeliveredSeq = 0): Watermarks => ({
  readSeq,
  peerReadSeq,
  peerDeliveredSeq,
});
const seqs = (log: Log) => log.messages.map(({ seq }) => seq);
const arriveAll = (log: Log, ...messages: Message[]) =>
  messages.reduce((before, each) => arrive(before, PEER, each), log);
const sending = (tempId: string) =>
  fromOutbox({ tempId, peerId: PEER, content: tempId, messageType: 'text', createdAt: '2026-01-01T00:00:00.000Z' });

describe('a log', () => {
  test('U4 each message stands once and by seq, in whatever order they come; none is shown before what precedes it', () => {
    const log = arriveAll(emptyLog, message(3), message(1), message(1), message(5), message(3));
    expect(seqs(log)).toEqual([1]);
    expect(seqs(arriveAll(log, message(2)))).toEqual([1, 2, 3]);
    expect(seqs(arriveAll(log, message(4), message(2)))).toEqual([1, 2, 3, 4, 5]);
  });

  test('U4 a hole is closed by a page, whichever of what came ahead it holds', () => {
    const log = arriveAll(addPage(emptyLog, PEER, from(11, 20)), message(23), message(24));
    expect(seqs(log)).toEqual(seqs(addPage(emptyLog, PEER, from(11, 20))));
    expect(seqs(addPage(log, PEER, from(21, 22))).at(-1)).toBe(24);
    expect(addPage(log, PEER, from(21, 23)).ahead).toEqual([]);
  });

  test('U4 pages that touch become one stretch; one that does not takes its place if it is newer', () => {
    const log = addPage(emptyLog, PEER, from(11, 20));
    expect(seqs(addPage(log, PEER, from(1, 10)))).toEqual(seqs(addPage(emptyLog, PEER, from(1, 20))));
    expect(seqs(addPage(log, PEER, from(15, 25))).at(-1)).toBe(25);
    expect(seqs(addPage(log, PEER, from(31, 33)))).toEqual([31, 32, 33]);
    expect(seqs(addPage(log, PEER, from(1, 3)))).toEqual(seqs(log));
  });

  test('U18 places that are for others alone leave no hole: what was asked for behind or before a place lies next to it', () => {
    const log = arriveAll(addPage(emptyLog, PEER, from(5, 8)), message(12));
    expect(seqs(log)).toEqual([5, 6, 7, 8]);
    const behind = addStretch(log, PEER, { messages: [message(11), message(12)], after: 8 });
    expect(seqs(behind)).toEqual([5, 6, 7, 8, 11, 12]);
    expect(behind.ahead).toEqual([]);
    // Live messages that came while the question was under way.
    const later = addStretch(arriveAll(log, message(9)), PEER, { messages: [message(9), message(12)], after: 8 });
    expect(seqs(later)).toEqual([5, 6, 7, 8, 9, 12]);
    expect(seqs(addStretch(behind, PEER, { messages: [message(1), message(2)], before: 5 }))).toEqual([
      1, 2, 5, 6, 7, 8, 11, 12,
    ]);
    // What was asked for behind a place that is not known any more does not lie next to anything.
    expect(seqs(addStretch(log, PEER, { messages: from(20, 21), after: 19 }))).toEqual([20, 21]);
  });

  test('U4 an answered message takes the place of the one on its way, also when its place is not known yet', () => {
    const log = addOutgoing(arriveAll(emptyLog, message(1)), sending('temp'));
    const ahead = arriveAll(log, message(3, true, { tempId: 'temp' }));
    expect(ahead.outgoing.map(({ key, state }) => [key, state])).toEqual([['temp', 'sent']]);
    expect(raise(ahead, { peerReadSeq: 3 }).outgoing[0]?.state).toBe('read');
    const placed = arriveAll(ahead, message(2));
    expect(placed.outgoing).toEqual([]);
    expect(placed.messages.map(({ key }) => key).at(-1)).toBe('temp');
    const far = addOutgoing(addPage(emptyLog, PEER, from(90, 99)), sending('old'));
    expect(arriveAll(far, message(5, true, { tempId: 'old' })).outgoing).toEqual([]);
  });

  test('U4 an answered message whose place turns out to be far above what is shown does not stand below it', () => {
    const answered = arriveAll(addOutgoing(emptyLog, sending('old')), message(2, true, { tempId: 'old' }));
    expect(answered.outgoing.map(({ key }) => key)).toEqual(['old']);
    const listed = { messages: from(62, 62), lastSeq: 62, unreadCount: 60, watermarks: marks(2) };
    const log = addStanding(answered, PEER, listed);
    expect([seqs(log), log.ahead, log.outgoing]).toEqual([[62], [], []]);
    expect(addPage(log, PEER, from(61, 62)).outgoing).toEqual([]);
  });

  test('U28 a message that is known changes nothing: neither at its place, nor ahead of it, nor above what is shown', () => {
    const own = message(3, true, { tempId: 'temp' });
    const placed = arriveAll(addOutgoing(addPage(emptyLog, PEER, from(2, 2)), sending('temp')), own);
    expect([seqs(placed), placed.outgoing]).toEqual([[2, 3], []]);
    const ahead = arriveAll(addOutgoing(emptyLog, sending('temp')), own);
    expect([seqs(ahead), ahead.outgoing.length]).toEqual([[], 1]);
    for (const log of [placed, ahead]) expect(arrive(log, PEER, own)).toBe(log);
    expect(arrive(placed, PEER, message(1))).toBe(placed);
  });

  test('U1 own messages are sent, delivered, read, and never go back', () => {
    const states = (log: Log) => log.messages.map(({ state }) => state);
    const log = raise(addPage(emptyLog, PEER, from(1, 3, true)), { peerReadSeq: 1, peerDeliveredSeq: 2 });
    expect(states(log)).toEqual(['read', 'delivered', 'sent']);
    expect(states(raise(log, { peerReadSeq: 0, peerDeliveredSeq: 1 }))).toEqual(['read', 'delivered', 'sent']);
    expect(states(raise(log, { peerReadSeq: 3 }))).toEqual(['read', 'read', 'read']);
    expect(log.messages[0]).toBe(raise(log, { peerReadSeq: 2 }).messages[0]);
  });

  test('U5 unread is counted where everything unread is known, else it goes on from what the server counted', () => {
    const known = addStanding(emptyLog, PEER, {
      messages: from(1, 5),
      lastSeq: 5,
      unreadCount: 3,
      watermarks: marks(2),
    });
    expect([known.unread, arriveAll(known, message(6)).unread, raise(known, { readSeq: 5 }).unread]).toEqual([3, 4, 0]);
    const page = { messages: from(81, 100), lastSeq: 100, unreadCount: 60, watermarks: marks(40) };
    const long = addStanding(emptyLog, PEER, page);
    const more = arriveAll(long, message(101), message(102, true), message(103));
    expect([long.unread, more.unread, arriveAll(more, message(101)).unread]).toEqual([60, 62, 62]);
    expect(addStanding(more, PEER, { ...page, messages: [] }).unread).toBe(62);
    expect(readElsewhere(more, 60)).toBeUndefined();
    expect(readElsewhere(more, 101)?.unread).toBe(1);
  });

  test('U5 a standing from before what was read here changes nothing', () => {
    const log = raise(arriveAll(emptyLog, message(1), message(2)), { readSeq: 2 });
    const stale = { messages: [], lastSeq: 2, unreadCount: 2, watermarks: marks(0) };
    expect([addStanding(log, PEER, stale).unread, addStanding(log, PEER, stale).marks.readSeq]).toEqual([0, 2]);
  });

  test('U16 after a reset what was known is void, and what was not stored yet is still to be sent', () => {
    const log = addOutgoing(raise(addPage(emptyLog, PEER, from(1, 9)), { readSeq: 9 }), sending('temp'));
    const standing = { messages: from(1, 4), lastSeq: 4, unreadCount: 2, watermarks: marks(2), reset: true } as const;
    const after = addStanding(log, PEER, standing);
    expect([seqs(after), after.unread, after.outgoing.length]).toEqual([[1, 2, 3, 4], 2, 1]);
    // Nobody noticed until the log was as long as before.
    const other = message(8, false, { createdAt: '2026-01-02T00:00:00.000Z' });
    const rewritten = arriveAll(log, other);
    expect([seqs(rewritten), rewritten.ahead.length, rewritten.outgoing.length]).toEqual([[], 1, 1]);
    expect(seqs(addPage(log, PEER, [message(7), other, message(9)]))).toEqual([7, 8, 9]);
  });
});

describe('a book', () => {
  test('U28 a message of which two events come, as of an own one on another device, is told once', () => {
    const store = createStore(initialState);
    const news: string[] = [];
    const delivered: string[] = [];
    const book = createBook({
      store,
      onMessage: (_, { content }) => news.push(content),
      onDelivered: (_, id) => delivered.push(id),
    });
    book.complete();
    const states: unknown[] = [];
    store.subscribe(() => states.push(store.getState()));
    const [theirs, own, ahead] = [message(1), message(2, true, { tempId: 'temp' }), message(4, true)];
    for (const each of [theirs, own, ahead]) {
      const before = states.length;
      for (let count = 0; count < 2; count += 1) expect(book.arrived(each, ME)).toBe(PEER);
      expect(states).toHaveLength(before + 1);
    }
    expect(news).toEqual(['text 1']);
    expect(delivered).toEqual([theirs._id]);
    expect(store.getState().threads[PEER]?.messages.map(({ key }) => key)).toEqual([theirs._id, 'temp']);
    // A name that has changed is told nevertheless, and the thread stays as it is.
    const thread = store.getState().threads[PEER];
    book.arrived({ ...theirs, sender: { ...theirs.sender, username: 'renamed' } }, ME);
    expect(store.getState().people[PEER]?.username).toBe('renamed');
    expect(store.getState().threads[PEER]).toBe(thread);
  });

  test('U39 who has come or gone since the list was asked for is shown as was told, not as the list says', () => {
    const book = createBook({ store: createStore(initialState), onMessage: () => {}, onDelivered: () => {} });
    const [before, after] = ['2026-01-01T00:00:00.000Z', '2026-01-02T00:00:00.000Z'];
    const peer = {
      ...person(PEER),
      email: '',
      isOnline: false,
      lastSeen: before,
      createdAt: '2025-01-01T00:00:00.000Z',
    };
    const standing = { messages: [message(1)], lastSeq: 1, unreadCount: 1, watermarks: marks(0) };
    const presence = () => [book.personOf(PEER).isOnline, book.personOf(PEER).lastSeen];
    const asked = book.ask();
    book.noteStatus(PEER, true, after);
    book.stand([{ userId: PEER, peer, standing }], asked);
    book.noteUsers([peer], asked);
    book.answered(asked);
    expect([book.personOf(PEER).username, ...presence()]).toEqual(['somebody', true, after]);
    book.stand([{ userId: PEER, peer, standing }], book.ask());
    expect(presence()).toEqual([false, before]);
    const hidden = book.ask();
    book.hidePresence();
    book.stand([{ userId: PEER, peer: { ...peer, isOnline: true }, standing }], hidden);
    expect(presence()).toEqual([false, undefined]);
  });

  test('U41 what another tab gives up and this one does not have is no change', () => {
    const store = createStore(initialState);
    const book = createBook({ store, onMessage: () => {}, onDelivered: () => {} });
    book.outgoing(PEER, sending('a'));
    const { threads } = store.getState();
    book.dropped(PEER, 'b');
    book.dropped(ME, 'b');
    expect(store.getState().threads).toBe(threads);
    book.dropped(PEER, 'a');
    expect(store.getState().threads[PEER]?.messages).toEqual([]);
  });

  test('U41 what does not change stays the same object: when somebody comes, and when a list or a page says what is known', () => {
    const store = createStore(initialState);
    const book = createBook({ store, onMessage: () => {}, onDelivered: () => {} });
    const peer = { ...person(PEER), email: '', lastSeen: '', createdAt: '2026-01-01T00:00:00.000Z' };
    const standing = { messages: from(1, 3), lastSeq: 3, unreadCount: 3, watermarks: marks(0) };
    book.stand([{ userId: PEER, peer, standing }]);
    book.paged(PEER, { messages: from(1, 3), watermarks: marks(0) });
    const { threads, conversations } = store.getState();
    book.stand([{ userId: PEER, peer, standing: { ...standing, messages: [] } }]);
    book.paged(PEER, { messages: from(2, 3), watermarks: marks(0) });
    book.raise(PEER, { readSeq: 0 });
    expect(store.getState().conversations).toBe(conversations);
    expect(store.getState().threads).toBe(threads);
    book.noteStatus(PEER, false, '2026-01-02T00:00:00.000Z');
    expect(store.getState().conversations).not.toBe(conversations);
    expect(store.getState().threads).toBe(threads);
    book.arrived(message(1, false, { sender: { ...person('c'.repeat(24)) } }), ME);
    expect(store.getState().threads).not.toBe(threads);
    expect(store.getState().threads[PEER]).toBe(threads[PEER]);
  });
});
