import { describe, expect, test } from 'vitest';
import { createHistory, type History, type Line, type Marks, type Row } from '../src/torture/history.ts';
import { INVARIANTS, type Invariant, judge } from '../src/torture/judge/index.ts';
import { lacksOf } from '../src/torture/run.ts';

const ANNE = '0.0';
const BEN = '1.0';
const BEN_TOO = '1.1';
const CRC = 1;
const row = (seq: number, from: number, tag = seq - 1): Row => [`id-${tag}`, seq, tag, from, CRC, 0];

/** What a conversation of two people with four messages looks like when all is well; each part may be told otherwise. */
interface Story {
  /** What happens before the end, beyond the messages that were sent and acknowledged. */
  meanwhile: (history: History) => void;
  /** What each reads at the end. */
  pages: [anne: Row[], ben: Row[]];
  synced: [anne: Row[], ben: Row[]];
  models: [anne: Row[], ben: Row[]];
  marks: [anne: Marks, ben: Marks];
  unread: [anne: number, ben: number];
  /** Who is shown online at the end. */
  online: number[];
}

const messages = [row(1, 0), row(2, 0), row(3, 1), row(4, 0)];
const good: Story = {
  meanwhile: () => {},
  pages: [messages, messages],
  synced: [messages, messages],
  models: [messages, messages],
  marks: [
    [0, 0, 0],
    [0, 0, 0],
  ],
  unread: [1, 3],
  online: [0, 1],
};

function send(
  history: History,
  proc: string,
  { to, answer, tag = answer[2] }: { to: number; answer: Row; tag?: number },
): void {
  history.invoke(proc, 'send', { to, tag, crc: CRC }).ok(answer);
}

/** A whole history, with a clock that moves by 1 ms a line. */
function tell(changes: Partial<Story> = {}): Line[] {
  const story = { ...good, ...changes };
  const lines: Line[] = [];
  const history = createHistory((line) => lines.push(line));
  history.info('', 'person', { person: 0, id: 'anne' });
  history.info('', 'person', { person: 1, id: 'ben' });
  history.info('', 'conversation', { users: [0, 1] });
  for (const proc of [ANNE, BEN]) history.info(proc, 'connect', { transport: 'websocket' });
  send(history, ANNE, { to: 1, answer: row(1, 0) });
  send(history, ANNE, { to: 1, answer: row(2, 0) });
  send(history, BEN, { to: 0, answer: row(3, 1) });
  history.info('', 'phase', 'healed');
  send(history, ANNE, { to: 1, answer: row(4, 0) });
  story.meanwhile(history);
  for (const [person, proc] of [ANNE, BEN].entries()) {
    const peer = 1 - person;
    const [pages, synced, model] = [story.pages[person], story.synced[person], story.models[person]] as Row[][];
    const [marks, unread] = [story.marks[person] as Marks, story.unread[person] as number];
    history.info(proc, 'model', { peer, rows: (model as Row[]).map(([id, , tag]) => [id, tag]) });
    const thread = { peer, rows: synced as Row[], lastSeq: synced?.at(-1)?.[1] ?? 0, unread, marks };
    history.invoke(proc, 'sync', { chain: 1, known: {}, final: true }).ok({ threads: [thread], complete: true });
    history.invoke(proc, 'page', { peer, after: 0, limit: 100, final: true }).ok({ rows: pages as Row[], marks });
    history.invoke(proc, 'list', { final: true }).ok([{ peer, last: (synced as Row[]).at(-1) as Row, unread, marks }]);
    history.invoke(proc, 'unread', { final: true }).ok(unread);
  }
  history.invoke('', 'presence', { node: 'node0' }).ok(story.online);
  return lines.map((line, i) => ({ ...line, t: i }));
}

/** Anne writes to Ben in the probe, and these devices hear of it. */
function probed(heardBy: string[], before: (history: History) => void = () => {}): Line[] {
  return tell({
    ...everywhere([...messages, row(5, 0)]),
    unread: [1, 4],
    meanwhile(history) {
      history.info(BEN_TOO, 'connect', { transport: 'websocket' });
      history.info('', 'phase', 'probe');
      before(history);
      send(history, ANNE, { to: 1, answer: row(5, 0) });
      for (const proc of heardBy) history.info(proc, 'live', { peer: 0, row: row(5, 0) });
      history.info('', 'phase', 'end');
      for (const proc of [BEN, BEN_TOO]) history.info(proc, 'disconnect', { reason: 'io client disconnect' });
    },
  });
}

/** Ben is told by sync of a conversation, and of none of its messages. */
function syncOf(history: History, peer: number, lastSeq: number): void {
  const thread = { peer, rows: [], lastSeq, unread: 3, marks: [0, 0, 0] as Marks };
  history.invoke(BEN, 'sync', { chain: 9, known: { 0: 4 } }).ok({ threads: [thread], complete: false });
}

const EVERY_MS = 2_500;

/** Anne writes twelve times after the faults, and waits so long for each answer. */
function sentAfterFaults(tookMs: (n: number) => number): Line[] {
  const more = Array.from({ length: 12 }, (_, n) => row(5 + n, 0));
  const lines = tell({
    ...everywhere([...messages, ...more]),
    unread: [1, 15],
    meanwhile(history) {
      for (const answer of more) send(history, ANNE, { to: 1, answer });
    },
  });
  const first = lines.findIndex((line) => line.f === 'send' && line.type === 'invoke' && line.args.tag === 4);
  return lines.map((line, i) => {
    const n = Math.floor((i - first) / 2);
    if (line.f !== 'send' || n < 0) return line;
    return { ...line, t: line.t + n * EVERY_MS + (line.type === 'ok' ? tookMs(n) : 0) };
  });
}

const both = (rows: Row[]): [Row[], Row[]] => [rows, rows];
const everywhere = (rows: Row[]): Partial<Story> => ({ pages: both(rows), synced: both(rows), models: both(rows) });
const read = (rows: Row[], tags: number[]): Row[] =>
  rows.map((each) => (tags.includes(each[2]) ? ([...each.slice(0, 5), 1] as unknown as Row) : each));
const marksOf = (seq: number): Partial<Story> => ({
  marks: [
    [0, seq, seq],
    [seq, 0, 0],
  ],
});
const broken = (lines: Line[]): string[] => Object.keys(judge(lines).violations).sort();

type BadHistory = [promise: Invariant, what: string, lines: () => Line[]];

/** Histories that break a promise, each by one change of what the good one tells. */
const bad: BadHistory[] = [
  [
    'I1',
    'an acknowledged message that one side does not read',
    () => tell({ pages: [messages, messages.slice(0, 3)] }),
  ],
  ['I1', 'an acknowledged message that sync does not tell', () => tell({ synced: [messages.slice(0, 3), messages] })],
  [
    'I1',
    'a message that is answered with one that was there, and is nowhere',
    () => tell({ meanwhile: (history) => send(history, ANNE, { to: 1, answer: row(1, 0), tag: 4 }) }),
  ],
  [
    'I2',
    'two messages of which each is answered with the other',
    () =>
      tell({
        ...everywhere([...messages, row(5, 0), row(6, 0)]),
        unread: [1, 5],
        meanwhile(history) {
          const [one, other] = [4, 5].map((tag) => history.invoke(ANNE, 'send', { to: 1, tag, crc: CRC }));
          one?.ok(row(6, 0));
          other?.ok(row(5, 0));
        },
      }),
  ],
  ['I2', 'a message that is there twice', () => tell(everywhere([...messages, ['id-x', 5, 0, 0, CRC, 0]]))],
  ['I2', 'a message that nobody wrote', () => tell(everywhere([...messages, row(5, 0)]))],
  ['I2', 'a text that was changed', () => tell({ pages: [messages, messages.map((each) => each.with(4, 9) as Row)] })],
  [
    'I2',
    'a message that is there although it was refused',
    () =>
      tell({
        ...everywhere([...messages, row(5, 0)]),
        unread: [1, 4],
        meanwhile: (history) => history.invoke(ANNE, 'send', { to: 1, tag: 4, crc: CRC }).fail('RATE_LIMITED'),
      }),
  ],
  [
    'I3',
    'two messages that changed places',
    () => tell(everywhere([row(1, 0, 1), row(2, 0, 0), row(3, 1), row(4, 0)])),
  ],
  ['I3', 'a hole', () => tell(everywhere([row(1, 0), row(2, 0), row(4, 1, 2), row(5, 0, 3)]))],
  [
    'I3',
    'another order for the other side',
    () => tell({ pages: [messages, [row(1, 0), row(2, 1, 2), row(3, 0, 1), row(4, 0)]] }),
  ],
  [
    'I4',
    'an answer that stands before what it answers',
    () =>
      tell({
        ...everywhere([...messages, row(5, 1, 5), row(6, 0, 4)]),
        unread: [2, 4],
        meanwhile(history) {
          send(history, ANNE, { to: 1, answer: row(6, 0, 4) });
          history.info(BEN, 'live', { peer: 0, row: row(6, 0, 4) });
          send(history, BEN, { to: 0, answer: row(5, 1, 5) });
        },
      }),
  ],
  [
    'I5',
    'a reading that is behind what was shown before it began',
    () =>
      tell({
        meanwhile: (history) => history.invoke(BEN, 'page', { peer: 0, limit: 100 }).ok({ rows: messages.slice(0, 3) }),
      }),
  ],
  [
    'I5',
    'a sync that says it is complete and is not',
    () =>
      tell({
        meanwhile: (history) =>
          history.invoke(BEN, 'sync', { chain: 7, known: { 0: 3 } }).ok({ threads: [], complete: true }),
      }),
  ],
  ['I6', 'a client that shows less than the store has', () => tell({ models: [messages, messages.slice(0, 3)] })],
  [
    'I6',
    'a sync that passes one over',
    () =>
      tell({
        meanwhile(history) {
          const thread = { peer: 0, rows: [row(1, 0), row(3, 1)], lastSeq: 4, unread: 3, marks: [0, 0, 0] as Marks };
          history.invoke(BEN, 'sync', { chain: 7, known: {} }).ok({ threads: [thread], complete: true });
        },
      }),
  ],
  ['I7', 'an unread count that is not what is unread', () => tell({ unread: [1, 2] })],
  ['I7', 'a message that is shown as read and is not', () => tell({ pages: [messages, read(messages, [0])] })],
  [
    'I8',
    'a mark that nobody has set',
    () => tell({ ...marksOf(2), unread: [1, 1], pages: both(read(messages, [0, 1])) }),
  ],
  [
    'I8',
    'a mark that falls',
    () =>
      tell({
        meanwhile(history) {
          history.invoke(BEN, 'read', { peer: 0, seq: 2 }).ok({ seq: 2 });
        },
      }),
  ],
  [
    'I9',
    'somebody who is shown online without a socket',
    () => {
      const lines = tell({ meanwhile: (history) => history.info(BEN, 'disconnect', { reason: 'transport close' }) });
      return lines.map((line) => (line.f === 'presence' ? { ...line, t: 40_000 + line.t } : line));
    },
  ],
  [
    'I9',
    'a node that does not say who is online',
    () => tell({ meanwhile: (history) => history.invoke('', 'presence', { node: 'node1' }).info('no answer') }),
  ],
  [
    'I9',
    'a node that does not say any more who is online',
    () =>
      tell({
        meanwhile(history) {
          history.invoke('', 'presence', { node: 'node1' }).ok([0, 1]);
          history.info('', 'phase', 'quiet');
          history.invoke('', 'presence', { node: 'node1' }).info('no answer');
        },
      }),
  ],
  [
    'I10',
    'a message of other people',
    () => tell({ meanwhile: (history) => history.info(BEN, 'live', { peer: -1, row: row(9, -1) }) }),
  ],
  [
    'I10',
    'a list with a conversation of a stranger',
    () =>
      tell({
        meanwhile: (history) =>
          history.invoke(BEN, 'list', {}).ok([
            { peer: 0, last: row(4, 0), unread: 3, marks: [0, 0, 0] },
            { peer: 2, last: row(4, 0), unread: 3, marks: [0, 0, 0] },
          ]),
      }),
  ],
  ['I10', 'a sync with a thread of a stranger', () => tell({ meanwhile: (history) => syncOf(history, 2, 7) })],
  ['I6', 'a sync that knows of more than there is', () => tell({ meanwhile: (history) => syncOf(history, 0, 99) })],
  [
    'I2',
    'a list that shows what nobody wrote',
    () =>
      tell({
        meanwhile: (history) =>
          history.invoke(BEN, 'list', {}).ok([{ peer: 0, last: row(99, 0), unread: 3, marks: [0, 0, 0] }]),
      }),
  ],
  [
    'I8',
    'a message that was marked as read, with an answer that says otherwise',
    () => tell({ meanwhile: (history) => history.invoke(BEN, 'read', { peer: 0, seq: 4 }).ok({ seq: 0 }) }),
  ],
  [
    'I8',
    'messages that were delivered, with an answer that says otherwise',
    () => tell({ meanwhile: (history) => history.invoke(BEN, 'delivered', { marks: [[0, 4]] }).ok([[0, 0]]) }),
  ],
  [
    'I11',
    'a message that never gets an answer',
    () =>
      tell({
        meanwhile: (history) => history.invoke(ANNE, 'send', { to: 1, tag: 4, crc: CRC }).info('no answer'),
      }),
  ],
  [
    'I11',
    'a client that finds no connection any more',
    () => tell({ meanwhile: (history) => history.info(ANNE, 'unsettled', { connected: false, waiting: 1 }) }),
  ],
  [
    'I11',
    'a socket that is left behind',
    () => tell({ meanwhile: (history) => history.info('', 'leftover', { node: 'node0', sockets: 1 }) }),
  ],
  ...[2, -1].map(
    (stranger): BadHistory => [
      'I9',
      `somebody who never had a socket and is shown online (${stranger})`,
      () => tell({ online: [0, 1, stranger] }),
    ],
  ),
  ['I11', 'sends that are quick once, and then never again', () => sentAfterFaults((n) => (n === 0 ? 5 : 25_000))],
  ['I13', 'a message that a device does not hear of', () => probed([BEN])],
  ['I13', 'a message that a device hears of twice', () => probed([BEN, BEN_TOO, BEN_TOO])],
];

describe('the judge', () => {
  test('T1 a history in which all is well breaks no promise', () => {
    expect(judge(tell()).violations).toEqual({});
  });

  test('T1 marks that were set, and are shown as set, break no promise', () => {
    const lines = tell({
      ...marksOf(2),
      pages: both(read(messages, [0, 1])),
      unread: [1, 1],
      meanwhile(history) {
        history.invoke(BEN, 'read', { peer: 0, seq: 2 }).ok({ seq: 2 });
        history.info(ANNE, 'read_receipt', { peer: 1, seq: 2 });
      },
    });
    expect(judge(lines).violations).toEqual({});
  });

  test('T1 a try without an outcome may have happened, and a repeat is answered with the same message', () => {
    const lines = tell({
      ...everywhere([...messages, row(5, 0)]),
      unread: [1, 4],
      meanwhile(history) {
        history.invoke(ANNE, 'send', { to: 1, tag: 4, crc: CRC }).info('no answer');
        send(history, ANNE, { to: 1, answer: row(5, 0) });
        send(history, ANNE, { to: 1, answer: row(5, 0) });
      },
    });
    expect(judge(lines)).toMatchObject({ violations: {}, figures: { acknowledged: 5, unknown: 1, repeated: 1 } });
  });

  test('T1 what was refused for a while may be there when another try had no outcome, or was acknowledged', () => {
    const lines = tell({
      ...everywhere([...messages, row(5, 0), row(6, 0)]),
      unread: [1, 5],
      meanwhile(history) {
        history.invoke(ANNE, 'send', { to: 1, tag: 4, crc: CRC }).info('no answer');
        history.invoke(ANNE, 'send', { to: 1, tag: 4, crc: CRC }).fail('RATE_LIMITED');
        send(history, ANNE, { to: 1, answer: row(5, 0) });
        send(history, ANNE, { to: 1, answer: row(6, 0) });
        history.invoke(ANNE, 'send', { to: 1, tag: 5, crc: CRC }).fail('RATE_LIMITED');
      },
    });
    expect(judge(lines)).toMatchObject({ violations: {}, figures: { refused: 2 } });
  });

  test('T1 whoever hears of a message once, or knows that he may have missed it, was told live', () => {
    expect(judge(probed([BEN_TOO, BEN])).violations).toEqual({});
    for (const knows of ['resync', 'disconnect'] as const) {
      const lines = probed([BEN], (history) => history.info(BEN_TOO, knows, { reason: 'transport close' } as never));
      expect(judge(lines).violations).toEqual({});
    }
  });

  test('T1 sends that are slow at first, and then quick for good, break no promise', () => {
    const { violations, figures } = judge(sentAfterFaults((n) => (n < 4 ? 25_000 : 5)));
    expect({ violations, figures }).toMatchObject({
      violations: {},
      figures: { recoveredAfterMs: 8_000, sentRecovered: 8 },
    });
  });

  test('T1 a tag that was taken and never sent breaks no promise', () => {
    const lines = tell({
      ...everywhere([...messages, row(5, 0, 9)]),
      unread: [1, 4],
      meanwhile: (history) => send(history, ANNE, { to: 1, answer: row(5, 0, 9) }),
    });
    expect(judge(lines)).toMatchObject({ violations: {}, figures: { acknowledged: 5 } });
  });

  test.for(bad)('T2 %s is broken by %s', ([promise, , lines]) => {
    expect(broken(lines())).toContain(promise);
  });

  // By the words, because whatever has no answer also spoils the p99.
  test.for([
    ['VALIDATION_ERROR', 'message 4 of 0.0 was refused for good (VALIDATION_ERROR)'],
    ['UNAUTHORIZED', 'message 4 of 0.0 was refused for good (UNAUTHORIZED)'],
    ['RATE_LIMITED', '1 messages never got an answer, the first is 4'],
  ] as const)('T2 I11 is broken by a message that is refused with %s and not sent again', ([code, words]) => {
    const lines = tell({
      meanwhile: (history) => history.invoke(ANNE, 'send', { to: 1, tag: 4, crc: CRC }).fail(code),
    });
    expect(judge(lines).violations.I11?.examples).toContainEqual(expect.stringContaining(words));
  });

  test('T6 a run proves nothing when little was sent after the faults, or few listened at the end', () => {
    const { figures } = judge(probed([BEN, BEN_TOO]));
    expect(figures).toMatchObject({ acknowledged: 5, sentRecovered: 2, probes: 2, probesJudged: 2 });
    const enough = { ...figures, sentRecovered: 15 };
    expect(lacksOf(enough, 5)).toEqual([]);
    expect(lacksOf(enough, 6)).toEqual(['5 messages were acknowledged, 6 are needed']);
    expect(lacksOf(figures, 5)).toEqual(['2 sends say that all goes on after the faults']);
    const deaf = probed([], (history) => {
      for (const proc of [BEN, BEN_TOO]) history.info(proc, 'resync', null);
    });
    expect(judge(deaf).violations).toEqual({});
    expect(lacksOf({ ...judge(deaf).figures, sentRecovered: 15 }, 5)).toEqual([
      '0 of 2 times somebody listened when messages were to be heard live',
    ]);
    expect(lacksOf({ ...judge(tell()).figures, sentRecovered: 15 }, 4)).toEqual([
      '0 of 0 times somebody listened when messages were to be heard live',
    ]);
  });

  test('T2 every promise has a history that breaks it', () => {
    expect(new Set(bad.map(([promise]) => promise))).toEqual(new Set(Object.keys(INVARIANTS)));
  });
});
