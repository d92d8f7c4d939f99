import { clientEvents } from '@duet/contract';
import { connect, openRawWebSocket, register, type TestUser } from '@duet/testkit';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Stage, startStage } from './hostile-cases/stage.ts';

const RUNS = 150;
const text = fc.string({ unit: 'binary', maxLength: 60 });
const eventName = fc.oneof(fc.constantFrom(...Object.keys(clientEvents), 'error', 'disconnect', '__proto__', ''), text);

/** Packets as a client makes them, with anything in them. */
const packet = fc
  .record({
    engine: fc.constantFrom('4', '4', '4', '4', '2', '3', '5', '6', '0', '1', ''),
    type: fc.constantFrom('2', '2', '2', '3', '0', '1', '4', '5', '6', '7', ''),
    attachments: fc.constantFrom('', '', '', '0-', '1-', '11-', '99999999-', '-1-', 'x-'),
    namespace: fc.constantFrom('', '', '', '/,', '/admin,', '/__proto__,', ','),
    id: fc.constantFrom('', '', '0', '7', '99999999999999999999', '-1'),
    data: fc.oneof(
      fc.tuple(eventName, fc.jsonValue({ maxDepth: 3 })).map((event) => JSON.stringify(event)),
      fc.jsonValue({ maxDepth: 3 }).map((value) => JSON.stringify(value)),
      text,
    ),
  })
  .map(({ engine, type, attachments, namespace, id, data }) => engine + type + attachments + namespace + id + data);

/** A packet that something happened to on its way. */
const damaged = fc
  .tuple(packet, fc.nat(80), text)
  .map(([whole, at, more]) => whole.slice(0, at) + more + whole.slice(at + 1));

const frame = fc.oneof(
  { weight: 4, arbitrary: fc.record({ opcode: fc.constant(1), payload: fc.oneof(packet, damaged, text) }) },
  { weight: 1, arbitrary: fc.record({ opcode: fc.nat(15), payload: fc.uint8Array({ maxLength: 130 }) }) },
);

describe('whatever comes over a connection', () => {
  let stage: Stage & AsyncDisposable;
  beforeAll(async () => {
    stage = await startStage();
  });
  afterAll(() => stage?.[Symbol.asyncDispose]());

  async function unharmed(): Promise<void> {
    await stage.unharmed();
    await stage.flat();
  }

  test('X12 frames and packets that are made up cost their sender the connection at most', async () => {
    const frames = fc.array(frame, { minLength: 1, maxLength: 12 });
    await fc.assert(
      fc.asyncProperty(frames, fc.boolean(), async (sent, isKnown) => {
        using socket = await openRawWebSocket(stage.url, ...(isKnown ? [{ token: stage.mallory.token }] : []));
        for (const { opcode, payload } of sent) socket.frame(opcode, payload);
        socket.tcp.end();
        await socket.closed;
      }),
      { numRuns: RUNS, interruptAfterTimeLimit: 40_000 },
    );
    await unharmed();
  });

  test('X12 payloads of events that are made up are answered, each with its code', async () => {
    const people: TestUser[] = [stage.bob, await register(stage.url, 'peer')];
    using socket = await connect(stage.url, stage.mallory.token, { transports: ['websocket'] });
    const field = fc.oneof(fc.constantFrom(...people.map(({ id }) => id)), fc.jsonValue({ maxDepth: 2 }), text);
    const payload = fc.oneof(
      fc.record(
        {
          receiverId: field,
          content: field,
          messageType: field,
          tempId: field,
          messageId: field,
          senderId: field,
          conversations: field,
          receipts: fc.oneof(field, fc.array(fc.record({ messageId: field, senderId: field }), { maxLength: 3 })),
          limit: field,
          cursor: field,
        },
        { requiredKeys: [] },
      ),
      fc.jsonValue({ maxDepth: 4 }),
    );
    const event = fc.constantFrom(...Object.keys(clientEvents));
    await fc.assert(
      fc.asyncProperty(event, payload, async (name, data) => {
        const ack = await socket.timeout(10_000).emitWithAck(name, data);
        if (ack.ok) return;
        expect(['VALIDATION_ERROR', 'NOT_FOUND', 'IDEMPOTENCY_CONFLICT', 'UNAUTHORIZED']).toContain(ack.error.code);
      }),
      { numRuns: 2 * RUNS, interruptAfterTimeLimit: 40_000 },
    );
    await unharmed();
  });

  test('X12 polls and requests to the path of sockets that are made up are refused', async () => {
    const query = fc.dictionary(
      fc.constantFrom('EIO', 'transport', 'sid', 't', 'j', 'b64', '__proto__'),
      fc.oneof(fc.constantFrom('3', '4', 'polling', 'websocket', '__proto__'), text.map(encodeURIComponent)),
    );
    const method = fc.constantFrom('GET', 'POST', 'PUT', 'DELETE', 'OPTIONS', 'PATCH');
    await fc.assert(
      fc.asyncProperty(query, method, damaged, async (parts, verb, body) => {
        const pairs = Object.entries(parts).map(([key, value]) => `${key}=${value}`);
        const answer = await fetch(`${stage.url}/socket.io/?${pairs.join('&')}`, {
          method: verb,
          ...(verb === 'GET' ? {} : { body }),
        });
        await answer.arrayBuffer();
        expect(answer.status).toBeLessThan(500);
      }),
      { numRuns: RUNS, interruptAfterTimeLimit: 40_000 },
    );
    await unharmed();
  });
});
