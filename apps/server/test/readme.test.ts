import { readFileSync } from 'node:fs';
import { conversationOf, type Draft, MAX_GROUP } from '@duet/core';
import { createSqliteStore } from '@duet/store-sqlite';
import { connect, register, temporaryFolder } from '@duet/testkit';
import type { Socket } from 'socket.io-client';
import { expect, test } from 'vitest';
import { startNode } from './in-process.ts';

const README = readFileSync(new URL('../../../README.md', import.meta.url), 'utf8');
const [, CATCH_UP] = /### What was missed\n.*?```js\n(.*?)```/s.exec(README) as unknown as [string, string];
/** More than may be named at once. */
const PEERS = 1_050;
/** More than one answer holds. */
const LONG = 450;

type CatchUp = (socket: Socket, known: Map<string, number>) => Promise<void>;

/** The client that the README shows, and what it was given: the places of each conversation. */
function readmeClient() {
  const got = new Map<string, Set<number>>();
  const apply = (userId: string, messages: { seq: number }[]) => {
    const seqs = got.get(userId) ?? new Set();
    got.set(userId, seqs);
    for (const { seq } of messages) seqs.add(seq);
  };
  const make = new Function('apply', 'forget', `${CATCH_UP}\nreturn catchUp;`);
  return { got, catchUp: make(apply, (userId: string) => got.delete(userId)) as CatchUp };
}

test('Y2 the loop of the README brings everything, also to whoever has more conversations than may be named', async () => {
  using folder = temporaryFolder();
  const store = createSqliteStore({ file: ':memory:' });
  await using node = await startNode({ DATA_DIR: folder.path }, { store });
  const me = await register(node.url);
  const [template] = await store.users.get([me.id]);
  const peers = Array.from({ length: PEERS }, (_, i) => i.toString(16).padStart(24, '0'));
  for (const id of peers)
    await store.users.create({ ...(template as NonNullable<typeof template>), id, usernameKey: id, emailKey: id });
  const draft = (sender: string, i: number): Draft => ({
    conversation: conversationOf(sender, me.id).id,
    sender,
    receiver: me.id,
    content: `${i}`,
    messageType: 'text',
    tempId: `${i}`,
    createdAt: i,
  });
  const long = peers[7] as string;
  const drafts = [
    ...peers.map((peer) => draft(peer, 1)),
    ...Array.from({ length: LONG - 1 }, (_, i) => draft(long, i + 2)),
  ];
  for (let i = 0; i < drafts.length; i += MAX_GROUP) await store.messages.append(drafts.slice(i, i + MAX_GROUP));

  const { got, catchUp } = readmeClient();
  using socket = await connect(node.url, me.token);
  const known = new Map<string, number>();
  await catchUp(socket, known);
  expect(known.size).toBe(PEERS);
  await store.messages.append([draft(long, LONG + 1)]);
  await catchUp(socket, known);
  for (const peer of peers) expect(got.get(peer)?.size).toBe(peer === long ? LONG + 1 : 1);
  await expect(catchUp(socket, new Map([['nobody', 1]]))).rejects.toThrow('VALIDATION_ERROR');
});
