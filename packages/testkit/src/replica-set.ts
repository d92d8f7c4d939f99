import { connect } from 'node:net';
import { eventuallyWorks } from './chat-client.ts';

export const REPLICA_SET = 'duet';

const OP_MSG = 2013;
const HEADER_BYTES = 16;
/** What a server answers that is one already, or stands in for MongoDB and needs none. */
const DONE = ['AlreadyInitialized', 'CommandNotFound'];
/** As elements of BSON: a number that is 1, and a truth. */
const OK = Buffer.from('\x01ok\0\0\0\0\0\0\0\xf0\x3f', 'latin1');
const IS_PRIMARY = Buffer.from('\x08isWritablePrimary\0\x01', 'latin1');

type Value = string | number | Value[] | { [name: string]: Value };

function int32(...values: number[]): Buffer {
  const bytes = Buffer.alloc(4 * values.length);
  for (const [i, value] of values.entries()) bytes.writeInt32LE(value, 4 * i);
  return bytes;
}

function element([name, value]: [string, Value]): Buffer {
  const named = (type: number, ...rest: Buffer[]) =>
    Buffer.concat([Buffer.from([type]), Buffer.from(`${name}\0`), ...rest]);
  if (typeof value === 'number') return named(0x10, int32(value));
  if (typeof value === 'object') return named(Array.isArray(value) ? 0x04 : 0x03, toBson(value));
  const text = Buffer.from(`${value}\0`);
  return named(0x02, int32(text.length), text);
}

function toBson(document: object): Buffer {
  const body = Buffer.concat(Object.entries(document).map(element));
  return Buffer.concat([int32(body.length + 5), body, Buffer.alloc(1)]);
}

/** A command and its answer as they travel, over a connection of its own: no driver belongs into the test kit. */
async function ask({ host, port }: { host: string; port: number }, command: object): Promise<Buffer> {
  const body = Buffer.concat([Buffer.alloc(5), toBson({ ...command, $db: 'admin' })]);
  const socket = connect({ host, port });
  try {
    socket.write(Buffer.concat([int32(HEADER_BYTES + body.length, 1, 0, OP_MSG), body]));
    let answer: Buffer = Buffer.alloc(0);
    for await (const chunk of socket) {
      answer = Buffer.concat([answer, chunk]);
      if (answer.length > HEADER_BYTES && answer.length >= answer.readInt32LE(0)) return answer;
    }
    throw new Error('the connection ended before the answer');
  } finally {
    socket.destroy();
  }
}

/**
 * Makes a mongod that was started with `--replSet` a replica set of one, as every deployment is: a server that stands
 * alone knows no majority. Resolves when it takes writes.
 * @param member how it finds itself
 */
export async function beginReplicaSet(at: { host: string; port: number }, member: string): Promise<void> {
  const config = { _id: REPLICA_SET, members: [{ _id: 0, host: member }] };
  await eventuallyWorks(async () => {
    const answer = await ask(at, { replSetInitiate: config });
    if (!answer.includes(OK) && !DONE.some((name) => answer.includes(name))) throw new Error(answer.toString('latin1'));
  }, 'MongoDB is a replica set');
  await eventuallyWorks(async () => {
    if (!(await ask(at, { hello: 1 })).includes(IS_PRIMARY)) throw new Error('it has no primary yet');
  }, 'MongoDB takes writes');
}
