// A server that speaks MongoDB's protocol and keeps everything in memory, as a process of its own. It keeps unique
// indexes and answers what the product asks; nothing more. With a database on the generator's core, the database would be
// what is measured.
import { once } from 'node:events';
import { createServer } from 'node:net';
import { mongo } from 'mongoose';
import { answer, type Document } from './memory-collections.ts';

const { BSON } = mongo;

const OP_REPLY = 1;
const OP_QUERY = 2004;
const OP_MSG = 2013;
const HEADER = 16;
/** Flags, then a section of kind 0. */
const BEFORE_MESSAGE = Buffer.alloc(5);
/** Flags, cursor, where it starts, and that it is one document. */
const BEFORE_REPLY = Buffer.alloc(20);
BEFORE_REPLY.writeInt32LE(1, 16);

/** A command and the document sequences that travel beside it (OP_MSG), or the driver's first greeting (OP_QUERY). */
function read(message: Buffer, opcode: number): Document {
  if (opcode === OP_QUERY) {
    const at = message.indexOf(0, HEADER + 4) + 1 + 8;
    return BSON.deserialize(message.subarray(at, at + message.readInt32LE(at)));
  }
  let command: Document = {};
  for (let at = HEADER + 4; at < message.length; ) {
    const kind = message[at++];
    const end = at + message.readInt32LE(at);
    if (kind === 0) {
      command = { ...BSON.deserialize(message.subarray(at, end)), ...command };
    } else {
      const nameEnd = message.indexOf(0, at + 4);
      const documents: Document[] = [];
      for (let from = nameEnd + 1; from < end; ) {
        const size = message.readInt32LE(from);
        documents.push(BSON.deserialize(message.subarray(from, from + size)));
        from += size;
      }
      command[message.toString('latin1', at + 4, nameEnd)] = documents;
    }
    at = end;
  }
  return command;
}

/** The answer to a message, as one. */
function reply(message: Buffer): Buffer {
  const opcode = message.readInt32LE(12);
  const body = BSON.serialize(answer(read(message, opcode)));
  const between = opcode === OP_QUERY ? BEFORE_REPLY : BEFORE_MESSAGE;
  const header = Buffer.alloc(HEADER);
  header.writeInt32LE(HEADER + between.length + body.length, 0);
  header.writeInt32LE(message.readInt32LE(4), 8);
  header.writeInt32LE(opcode === OP_QUERY ? OP_REPLY : OP_MSG, 12);
  return Buffer.concat([header, between, body]);
}

const server = createServer((socket) => {
  let buffer: Buffer = Buffer.alloc(0);
  socket.setNoDelay(true);
  socket.on('error', () => {});
  socket.on('data', (chunk: Buffer) => {
    buffer = buffer.length === 0 ? chunk : Buffer.concat([buffer, chunk]);
    while (buffer.length >= 4 && buffer.length >= buffer.readInt32LE(0)) {
      const message = buffer.subarray(0, buffer.readInt32LE(0));
      buffer = buffer.subarray(message.length);
      socket.write(reply(message));
    }
  });
}).listen(0, '127.0.0.1');
await once(server, 'listening');
console.log(`mongodb://127.0.0.1:${(server.address() as { port: number }).port}/`);
