import { clientEvents, jsonSchema, routes, serverEvents } from '@duet/contract';

interface Schema {
  $ref?: string;
  const?: unknown;
  enum?: unknown[];
  anyOf?: Schema[];
  type?: string;
  properties?: Record<string, Schema>;
  required?: string[];
  additionalProperties?: Schema | false;
  items?: Schema | false;
  prefixItems?: Schema[];
  description?: string;
}

const comment = ({ description }: Schema): string => (description ? `/** ${description} */\n` : '');

function objectType({ properties = {}, required = [], additionalProperties }: Schema): string {
  const fields = Object.entries(properties).map(([name, field]) =>
    required.includes(name)
      ? `${comment(field)}${name}: ${typeOf(field)};`
      : `${comment(field)}${name}?: ${typeOf(field)} | undefined;`,
  );
  if (additionalProperties) fields.push(`[key: string]: ${typeOf(additionalProperties)};`);
  return fields.length === 0 ? 'Record<string, never>' : `{\n${fields.join('\n')}\n}`;
}

/** A JSON Schema, of the kind that the contract's tables make, as a TypeScript type. @throws Error for any other */
function typeOf(schema: Schema): string {
  if (schema.$ref) return schema.$ref.split('/').at(-1) as string;
  if ('const' in schema) return JSON.stringify(schema.const);
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(' | ');
  if (schema.anyOf) return schema.anyOf.map(typeOf).join(' | ');
  if (schema.prefixItems) return `[${schema.prefixItems.map(typeOf).join(', ')}]`;
  if (schema.type === 'array' && schema.items) return `(${typeOf(schema.items)})[]`;
  if (schema.type === 'object') return objectType(schema);
  if (schema.type === 'integer' || schema.type === 'number') return 'number';
  if (schema.type === 'string' || schema.type === 'boolean') return schema.type;
  throw new Error(`no TypeScript for ${JSON.stringify(schema)}`);
}

/** The declarations of src/wire.ts with nothing to import: what the contract's types are, spelt out. */
export function wireTypes(): string {
  const models: Record<string, Schema> = {};
  const take = (schema: Parameters<typeof jsonSchema>[0], io: 'input' | 'output') => {
    const made = jsonSchema(schema, io, '');
    Object.assign(models, made.models);
    return typeOf(made.schema as Schema);
  };
  const table = (name: string, rows: [string, string][]) =>
    `export interface ${name} {\n${rows.map(([key, type]) => `${key}: ${type};`).join('\n')}\n}`;

  const tables = [
    table(
      'ServerEvents',
      Object.entries(serverEvents).map(([name, { payload }]) => [name, take(payload, 'output')]),
    ),
    table(
      'ClientEvents',
      Object.entries(clientEvents).map(([name, { payload, data }]) => [
        name,
        `{ input: ${take(payload, 'input')}; answer: ${take(data, 'output')} }`,
      ]),
    ),
  ];
  for (const { data } of Object.values(routes)) take(data, 'output');
  const named = Object.entries(models).map(
    ([name, model]) => `${comment(model)}export interface ${name} ${objectType(model)}`,
  );
  return `${[...named, "export type MessageType = Message['messageType'];", ...tables].join('\n\n')}\n`;
}
