import { z } from 'zod';
import { type ErrorCode, errorTable } from './errors.ts';
import { type RouteRow, routes } from './routes.ts';

type Json = Record<string, unknown>;

/** A schema as JSON Schema 2020-12, shared models as references below `prefix`. */
export function jsonSchema(schema: z.ZodType, io: 'input' | 'output', prefix: string): { schema: Json; models: Json } {
  const { $schema, $defs, ...root } = z.toJSONSchema(schema, {
    io,
    target: 'draft-2020-12',
    unrepresentable: 'any',
    override: ({ zodSchema, jsonSchema: made }) => {
      // Fields will be added: a client that holds answers to these documents must not refuse them.
      if (made.additionalProperties === false) delete made.additionalProperties;
      // The library leaves it out where what is sent is not yet what is meant, as with the digits of a number.
      if (zodSchema instanceof z.ZodDefault) made.default = zodSchema.def.defaultValue;
    },
  }) as Json;
  const moved = (value: unknown) =>
    JSON.parse(JSON.stringify(value ?? {}).replaceAll('"#/$defs/', `"#${prefix}/`)) as Json;
  return { schema: moved(root), models: moved($defs) };
}

const failure = {
  type: 'object',
  required: ['success', 'message', 'code'],
  properties: {
    success: { const: false },
    message: { type: 'string' },
    code: { enum: Object.keys(errorTable) },
    errors: {
      type: 'array',
      items: {
        type: 'object',
        required: ['field', 'message'],
        properties: { field: { type: 'string' }, message: { type: 'string' } },
      },
    },
    retryAfterMs: { type: 'integer', minimum: 0 },
  },
};

function failureCodes(route: RouteRow): ErrorCode[] {
  const codes: ErrorCode[] = ['VALIDATION_ERROR', 'RATE_LIMITED', 'INTERNAL', 'UNAVAILABLE'];
  if (route.auth) codes.push('UNAUTHORIZED', 'TOKEN_EXPIRED', 'SESSION_REVOKED');
  if (route.params) codes.push('NOT_FOUND');
  if (route.body) codes.push('MALFORMED_JSON', 'PAYLOAD_TOO_LARGE', 'UNSUPPORTED_MEDIA');
  if (route.path === '/auth/register') codes.push('CONFLICT', 'FORBIDDEN');
  if (route.path === '/users/:userId/block' && route.method !== 'delete') codes.push('CONFLICT');
  if (route.path === '/auth/refresh') codes.push('UNAUTHORIZED', 'SESSION_REVOKED');
  if (route.path === '/auth/login') codes.push('INVALID_CREDENTIALS');
  if (['/auth/password', '/auth/me'].includes(route.path) && route.body) codes.push('INVALID_CREDENTIALS', 'FORBIDDEN');
  return codes;
}

function failures(route: RouteRow): Json {
  const byStatus = Map.groupBy(failureCodes(route), (code) => errorTable[code].status);
  const entries = [...byStatus].toSorted(([a], [b]) => a - b);
  return Object.fromEntries(
    entries.map(([status, codes]) => [
      status,
      {
        description: codes.join(', '),
        content: { 'application/json': { schema: { $ref: '#/components/schemas/Failure' } } },
      },
    ]),
  );
}

function parameters(route: RouteRow): Json[] {
  const of = (where: 'path' | 'query', schema: z.ZodObject | undefined) =>
    Object.entries(schema?.shape ?? {}).map(([name, field]) => ({
      name,
      in: where,
      required: where === 'path' || !(field as z.ZodType).safeParse(undefined).success,
      schema: jsonSchema(field as z.ZodType, 'input', '/components/schemas').schema,
    }));
  return [...of('path', route.params), ...of('query', route.query)];
}

function operation(name: string, route: RouteRow, models: Json): Json {
  const take = (schema: z.ZodType, io: 'input' | 'output') => {
    const made = jsonSchema(schema, io, '/components/schemas');
    Object.assign(models, made.models);
    return made.schema;
  };
  const envelope = {
    type: 'object',
    required: ['success', 'message', 'data'],
    properties: { success: { const: true }, message: { const: route.message }, data: take(route.data, 'output') },
  };
  return {
    operationId: name,
    summary: route.summary,
    tags: [route.path.split('/')[1]],
    ...(route.auth ? { security: [{ bearer: [] }] } : {}),
    ...(route.params || route.query ? { parameters: parameters(route) } : {}),
    ...(route.body
      ? { requestBody: { required: true, content: { 'application/json': { schema: take(route.body, 'input') } } } }
      : {}),
    responses: {
      [route.status]: { description: route.message, content: { 'application/json': { schema: envelope } } },
      ...failures(route),
    },
  };
}

/** The REST half of the contract as an OpenAPI 3.1 document. */
export function openApiDocument(): Json {
  const models: Json = {};
  const paths: Record<string, Json> = {};
  for (const [name, route] of Object.entries(routes) as [string, RouteRow][]) {
    const path = route.path.replaceAll(/:(\w+)/g, '{$1}');
    paths[path] = { ...paths[path], [route.method]: operation(name, route, models) };
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'Duet REST API',
      version: '1.0.0',
      description: 'One-to-one chat. Live events are described in the AsyncAPI document.',
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    servers: [{ url: '/api' }],
    tags: [...new Set(Object.values(routes).map(({ path }) => path.split('/')[1]))].map((name) => ({ name })),
    paths,
    components: {
      securitySchemes: { bearer: { type: 'http', scheme: 'bearer', bearerFormat: 'JWT' } },
      schemas: { ...models, Failure: failure },
    },
  };
}
