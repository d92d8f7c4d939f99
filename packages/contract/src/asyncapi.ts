import { errorTable } from './errors.ts';
import { clientEvents, serverEvents } from './events.ts';
import { jsonSchema } from './openapi.ts';

type Json = Record<string, unknown>;
const MODELS = '/components/schemas';

/** What the optional callback of a client event gets. */
function acknowledgement(data: Json): Json {
  const error = {
    type: 'object',
    required: ['code', 'message'],
    properties: {
      code: { enum: Object.keys(errorTable) },
      message: { type: 'string' },
      retryAfterMs: { type: 'integer', minimum: 0 },
    },
  };
  return {
    oneOf: [
      { type: 'object', required: ['ok', 'data'], properties: { ok: { const: true }, data } },
      { type: 'object', required: ['ok', 'error'], properties: { ok: { const: false }, error } },
    ],
  };
}

/** The Socket.IO half of the contract as an AsyncAPI 3 document: one channel, an operation for each event. */
export function asyncApiDocument(): Json {
  const models: Json = {};
  const messages: Record<string, Json> = {};
  const operations: Record<string, Json> = {};
  const ref = (name: string) => ({ $ref: `#/channels/socket/messages/${name}` });

  for (const [name, event] of Object.entries(serverEvents)) {
    const made = jsonSchema(event.payload, 'output', MODELS);
    Object.assign(models, made.models);
    messages[name] = { name, title: name, summary: event.summary, payload: made.schema };
    operations[name] = {
      action: 'send',
      summary: event.summary,
      channel: { $ref: '#/channels/socket' },
      messages: [ref(name)],
    };
  }
  for (const [name, event] of Object.entries(clientEvents)) {
    const made = jsonSchema(event.payload, 'input', MODELS);
    Object.assign(models, made.models);
    messages[name] = { name, title: name, summary: event.summary, payload: made.schema };
    const data = jsonSchema(event.data, 'output', MODELS);
    Object.assign(models, data.models);
    const answer = `${name}_acknowledged`;
    messages[answer] = {
      name: answer,
      title: answer,
      summary: `Acknowledges ${name}`,
      payload: acknowledgement(data.schema),
    };
    operations[name] = {
      action: 'receive',
      summary: event.summary,
      channel: { $ref: '#/channels/socket' },
      messages: [ref(name)],
      reply: { channel: { $ref: '#/channels/socket' }, messages: [ref(answer)] },
    };
  }
  return {
    asyncapi: '3.0.0',
    info: {
      title: 'Duet events',
      version: '1.0.0',
      description: 'Socket.IO v4 events. The token goes into the handshake: `io(url, { auth: { token } })`.',
      license: { name: 'Apache-2.0' },
    },
    defaultContentType: 'application/json',
    channels: { socket: { address: '/', description: 'The default Socket.IO namespace', messages } },
    operations,
    components: { schemas: models },
  };
}
