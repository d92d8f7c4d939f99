import { createSqliteStore } from '@duet/store-sqlite';
import { collect, connect, next, register } from '@duet/testkit';
import { expect, test } from 'vitest';
import { startNode } from './in-process.ts';

test('R8 what was read before a change is not told behind what was read after it', async () => {
  const store = createSqliteStore({ file: ':memory:' });
  const { get } = store.conversations;
  const held = Promise.withResolvers<void>();
  const released = Promise.withResolvers<void>();
  let holds = false;
  store.conversations.get = async (keys) => {
    const rows = await get(keys);
    if (!holds) return rows;
    holds = false;
    held.resolve();
    await released.promise;
    return rows;
  };
  await using node = await startNode({}, { store });
  const [x, y, z] = await Promise.all([register(node.url), register(node.url), register(node.url)]);
  using his = await connect(node.url, x.token);
  using other = await connect(node.url, z.token);
  using list = await connect(node.url, y.token, { auth: { token: y.token, conversations: true } });
  const told = collect(list, 'conversation_updated');
  const of = (peer: string) => next(list, 'conversation_updated', ({ conversation }) => conversation.peer._id === peer);
  holds = true;
  await his.emitWithAck('send_message', { receiverId: y.id, content: 'one' });
  await held.promise;
  await his.emitWithAck('send_message', { receiverId: y.id, content: 'two' });
  // What is told of somebody else, and begins later, shows that all that had to be told by now has been.
  const later = of(z.id);
  await other.emitWithAck('send_message', { receiverId: y.id, content: 'later' });
  await later;
  const two = next(list, 'conversation_updated', ({ conversation }) => conversation.lastMessage.content === 'two');
  released.resolve();
  if (!told.some(({ conversation }) => conversation.lastMessage.content === 'two')) await two;
  const texts = told.map(({ conversation }) => conversation.lastMessage.content).filter((text) => text !== 'later');
  expect(texts).toEqual(['one', 'two']);
});
