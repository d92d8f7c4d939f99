// Two people chat through a running server: node apps/server/test/smoke.ts http://localhost:5000
import assert from 'node:assert/strict';
import { connect, next, register } from '@duet/testkit/client';

const url = process.argv[2] ?? 'http://localhost:5000';
const [alice, bob] = await Promise.all([register(url, 'alice'), register(url, 'bob')]);
using a = await connect(url, alice.token);
using b = await connect(url, bob.token, { transports: ['websocket'] });
const got = next(b, 'receive_message');
const answer = await a.emitWithAck('send_message', { receiverId: bob.id, content: 'Hello, Bob' });
assert.equal(answer.ok, true);
assert.equal((await got).message.content, 'Hello, Bob');
const receipt = next(a, 'message_read_receipt');
b.emit('message_read', { messageId: answer.data.message._id, senderId: alice.id });
assert.equal((await receipt).readerId, bob.id);
console.log('Two people chatted through', url);
