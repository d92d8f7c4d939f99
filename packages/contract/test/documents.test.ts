import { readFileSync } from 'node:fs';
import SwaggerParser from '@apidevtools/swagger-parser';
import { Parser } from '@asyncapi/parser';
import { describe, expect, test } from 'vitest';
import type { z } from 'zod';
import {
  asyncApiDocument,
  clientEvents,
  errorTable,
  limits,
  openApiDocument,
  routes,
  SyncRequest,
  serverEvents,
  validate,
} from '../src/index.ts';

const file = (name: string) => readFileSync(new URL(`../../../docs/${name}`, import.meta.url), 'utf8');
/** Characters of a username. */
const MAX_USERNAME = 50;
type Json = Record<string, unknown>;
const printed = (document: object) => `${JSON.stringify(document, null, 2)}\n`;

describe('documents', () => {
  test('K1 docs/openapi.json is what the tables say; else run `npm run docs`', () => {
    expect(file('openapi.json')).toBe(printed(openApiDocument()));
  });

  test('K1 the README’s table of limits is that of the contract', () => {
    const spanOf = (ms: number) => (ms < 60_000 ? `${ms / 1_000} s` : `${ms / 60_000} min`);
    const rows = file('../README.md').matchAll(/^\| `(\w+)` *\| ([\d,]+ in \d+ \w+) *\| (\w+) *\|/gm);
    const written = [...rows].map(([, name, often, by]) => `${name}: ${often}, by ${by}`);
    const right = Object.entries(limits).map(
      ([name, { limit, windowMs, by }]) => `${name}: ${limit.toLocaleString('en')} in ${spanOf(windowMs)}, by ${by}`,
    );
    expect(written).toEqual(right);
  });

  test('K1 the README’s table of errors is that of the contract', () => {
    const rows = file('../README.md').matchAll(/^\| (never|reauth|wait|same) +\|[^|]*\|(.*)\|$/gm);
    const written = [...rows].flatMap(([, retry, codes = '']) =>
      [...codes.matchAll(/`([A-Z_]+)`/g)].map(([, code]) => `${code}: ${retry}`),
    );
    const right = Object.entries(errorTable).map(([code, { retry }]) => `${code}: ${retry}`);
    expect(written.sort()).toEqual(right.sort());
  });

  test('K1 docs/asyncapi.json is what the tables say; else run `npm run docs`', () => {
    expect(file('asyncapi.json')).toBe(printed(asyncApiDocument()));
  });

  test('K2 the OpenAPI document is valid and names every route', async () => {
    const api = await SwaggerParser.validate(structuredClone(openApiDocument()) as never);
    const operations = Object.values(api.paths ?? {}).flatMap((path) => Object.values(path ?? {}));
    const names = operations.map((operation) => (operation as { operationId: string }).operationId);
    expect(names.sort()).toEqual(Object.keys(routes).sort());
    const tags = operations.flatMap((operation) => (operation as { tags: string[] }).tags);
    expect(api.tags?.map(({ name }) => name).sort()).toEqual([...new Set(tags)].sort());
  });

  test('K2 the AsyncAPI document is valid and names every event', async () => {
    const { document, diagnostics } = await new Parser().parse(JSON.stringify(asyncApiDocument()));
    expect(diagnostics.filter(({ severity }) => severity === 0)).toEqual([]);
    const names = document
      ?.operations()
      .all()
      .map((operation) => operation.id());
    expect(names?.sort()).toEqual([...Object.keys(clientEvents), ...Object.keys(serverEvents)].sort());
  });
});

describe('what is to come', () => {
  test('K2 the documents say what is taken for what is left out', () => {
    const { paths } = openApiDocument() as { paths: Record<string, { get: { parameters: Json[] } }> };
    const defaults = (path: string) =>
      Object.fromEntries(paths[path]?.get.parameters.map(({ name, schema }) => [name, (schema as Json).default]) ?? []);
    expect(defaults('/messages/{userId}')).toMatchObject({ limit: 50, skip: 0 });
    expect(defaults('/conversations')).toMatchObject({ limit: 50 });
    expect(defaults('/auth/users')).toMatchObject({ limit: 1000 });
  });

  test('K2 no document forbids a field that an answer may have one day', () => {
    for (const document of [openApiDocument(), asyncApiDocument()])
      expect(JSON.stringify(document)).not.toContain('"additionalProperties":false');
  });
});

describe('validation', () => {
  const { payload } = clientEvents.send_message;
  const id = 'a'.repeat(24);

  test('K3 unknown fields are dropped, defaults filled in', () => {
    expect(validate(payload, { receiverId: id, content: 'x', seq: 9 })).toEqual({
      receiverId: id,
      content: 'x',
      messageType: 'text',
    });
  });

  test.each([
    [4_000, true],
    [4_001, false],
  ])('K3 %i code points outside the basic plane: %s', (length, fits) => {
    expect(payload.safeParse({ receiverId: id, content: '𝕏'.repeat(length) }).success).toBe(fits);
  });

  test('K4 an error names the field and never repeats the input', () => {
    const input = { receiverId: 'SECRET-INPUT', content: 'x' };
    expect(() => validate(payload, input)).toThrow(
      expect.objectContaining({ code: 'VALIDATION_ERROR', message: 'receiverId must be 24 hex digits' }),
    );
  });

  test('K4 nor a key that is not one of ours', () => {
    const input = { conversations: { 'SECRET-INPUT': { lastSeq: 1 } } };
    expect(() => validate(SyncRequest, input)).toThrow(
      expect.objectContaining({
        message: 'conversations must have ids as keys',
        details: [{ field: 'conversations', message: 'must have ids as keys' }],
      }),
    );
  });

  const register = { username: 'ada', email: 'ada@example.org', password: 'password123' };
  test.each([
    [
      routes.register.body,
      { ...register, email: `${'a'.repeat(300)}@example.org` },
      'email must have at most 254 characters',
    ],
    [routes.register.body, { ...register, device: 'a\0b' }, 'device must be valid text'],
    [routes.register.body, { ...register, device: '\ud800' }, 'device must be valid text'],
    [routes.login.body, { email: '\0', password: 'x' }, 'email must be valid text'],
    [routes.users.query, { limit: ['1', '2'] }, 'limit must be a whole number'],
    [SyncRequest, { limit: 1.5 }, 'limit must be a whole number'],
    [SyncRequest, { limit: 0 }, 'limit must be at least 1'],
    [SyncRequest, { conversations: { [id]: -1 } }, `conversations.${id} must be at least 0`],
    [SyncRequest, { conversations: [] }, 'conversations must be an object'],
    ...[1.5, '1', [1, 2]].map((known) => [
      SyncRequest,
      { conversations: { [id]: known } },
      `conversations.${id} must be a seq, or a seq and three watermarks`,
    ]),
    [clientEvents.message_delivered.payload, { receipts: 'x' }, 'receipts must be a list'],
  ] as [z.ZodType, unknown, string][])('K4 the sentences are our own: %#', (schema, input, message) => {
    expect(() => validate(schema, input)).toThrow(expect.objectContaining({ code: 'VALIDATION_ERROR', message }));
  });

  test('K3 the cursor behind the longest name is one', () => {
    // One character that is eighteen when names are compared.
    const key = 'ﷺ'.repeat(MAX_USERNAME).normalize('NFKC');
    const cursor = Buffer.from(key).toString('base64url');
    expect(cursor.length).toBeGreaterThan(1_024);
    expect(validate(routes.users.query, { cursor })).toMatchObject({ cursor });
  });

  test('K5 every code has a status, a retry class and a sentence', () => {
    for (const { status, retry, text } of Object.values(errorTable)) {
      expect(status).toBeGreaterThanOrEqual(400);
      expect(['never', 'reauth', 'wait', 'same']).toContain(retry);
      expect(text).not.toBe('');
    }
  });
});
