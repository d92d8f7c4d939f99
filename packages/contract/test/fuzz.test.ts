import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { z } from 'zod';
import { clientEvents, DuetError, type RouteRow, routes, validate } from '../src/index.ts';

/** Every schema that looks at what a client sends. */
const schemas: [string, z.ZodType][] = [
  ...Object.entries(clientEvents).map(([name, { payload }]): [string, z.ZodType] => [name, payload]),
  ...(Object.entries(routes) as [string, RouteRow][]).flatMap(([name, route]) =>
    (['params', 'query', 'body'] as const).flatMap((part): [string, z.ZodType][] => {
      const schema = route[part];
      return schema ? [[`${name}, ${part}`, schema]] : [];
    }),
  ),
];

const id = fc.stringMatching(/^[0-9a-f]{24}$/);
/** What a field may be filled with: sometimes what belongs there. */
const filling = fc.oneof(
  id,
  fc.string({ unit: 'binary', maxLength: 200 }),
  fc.constantFrom('__proto__', 'constructor', 'text', 'all', 'newest', '7', '-0', '1e3', '0x1', ' '),
  fc.integer(),
  fc.double(),
  fc.boolean(),
  fc.constantFrom(null, undefined),
  fc.dictionary(fc.oneof(id, fc.constantFrom('__proto__', '$ne')), fc.oneof(fc.nat(), fc.array(fc.nat()))),
  fc.array(fc.record({ messageId: id, senderId: id }, { requiredKeys: [] }), { maxLength: 3 }),
  fc.anything({ maxDepth: 3 }),
);

function inputsOf(schema: z.ZodType) {
  const keys = Object.keys((schema as z.ZodObject).shape ?? {});
  const shaped = fc.record(Object.fromEntries(keys.map((key) => [key, filling])), { requiredKeys: [] });
  return fc.oneof(
    { weight: 3, arbitrary: shaped },
    { weight: 1, arbitrary: fc.anything({ withNullPrototype: true, withBigInt: true, withMap: true }) },
  );
}

describe('whatever a client sends', () => {
  test.each(schemas)(
    'X11 %s takes it or refuses it with its code, and what was taken is taken again as it is',
    (_, schema) => {
      fc.assert(
        fc.property(inputsOf(schema), (input) => {
          let taken: unknown;
          try {
            taken = validate(schema, input);
          } catch (error) {
            expect(error).toBeInstanceOf(DuetError);
            expect((error as DuetError).code).toBe('VALIDATION_ERROR');
            return;
          }
          expect(({} as { polluted?: unknown }).polluted).toBeUndefined();
          const { shape } = schema as z.ZodObject;
          for (const key of Object.keys(taken as object)) expect(Object.hasOwn(shape, key)).toBe(true);
          // A number in a query is one after it was read: it was text before.
          if (Object.values(taken as object).some((value) => typeof value === 'number') && !('payload' in shape))
            return;
          expect(validate(schema, taken)).toEqual(taken);
        }),
        { numRuns: 300 },
      );
    },
  );
});
