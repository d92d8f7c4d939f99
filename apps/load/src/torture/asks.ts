import type { Conversation, Message, Synced, Watermarks } from '@duet/contract';
import type { Socket } from 'socket.io-client';
import type { History, Marks, SyncedThread } from './history.ts';
import type { Random } from './random.ts';
import type { Thread } from './thread.ts';
import { type Answer, call, type People, type Person, rowOf } from './wire.ts';

const ANSWER_WITHIN_MS = 8_000;
const PAGE = 100;

export interface AskDeps {
  person: Person;
  people: People;
  name: string;
  url: string;
  socket: Socket;
  history: History;
  random: Random;
}

export const marksOf = ({ readSeq, peerReadSeq, peerDeliveredSeq }: Watermarks): Marks => [
  readSeq,
  peerReadSeq,
  peerDeliveredSeq,
];
const mark = (final: true | undefined) => (final ? { final } : {});
const codeOf = (answer: Answer): string => (answer && 'code' in answer ? answer.code : 'no answer');

/** Asks over the socket. Never throws. */
export async function ask(socket: Socket, event: string, payload: unknown): Promise<Answer> {
  if (!socket.connected) return undefined;
  try {
    const ack = await socket.timeout(ANSWER_WITHIN_MS).emitWithAck(event, payload);
    return ack.ok ? { data: ack.data } : { code: ack.error.code };
  } catch {
    return undefined;
  }
}

/** What a client reads of the server, each as an operation of the history. */
export function createAsks({ person, people, name, url, socket, history, random }: AskDeps) {
  const { token } = person;
  let chains = 0;
  const rows = (messages: Message[], peer: number) =>
    messages.map((message) => rowOf(message, { viewer: person.index, peer, people }));

  /** Both ways of the contract, by turns, with answers of different sizes. */
  function askSync(body: object): Promise<Answer> {
    const request = { ...body, limit: 20 + random.below(480) };
    return random.chance(0.5) ? ask(socket, 'sync', request) : call(url, '/sync', { token, body: request });
  }

  /**
   * Asks until the answer says that it is complete.
   * @param threads what the client has; grows by what it learns
   * @returns whether it has learnt everything
   */
  async function sync(
    threads: Map<number, Thread>,
    threadOf: (peer: number) => Thread,
    final?: true,
  ): Promise<boolean> {
    const chain = chains++;
    for (let cursor: string | undefined; ; ) {
      const have = [...threads.values()];
      const known = Object.fromEntries(have.map((thread) => [thread.peer, thread.rows.length]));
      const conversations = Object.fromEntries(
        have.map((thread) => [people.all[thread.peer]?.id, [thread.rows.length, ...thread.marks]]),
      );
      const pending = history.invoke(name, 'sync', { chain, known, ...mark(final) });
      const answer = await askSync({ conversations, ...(cursor === undefined ? {} : { cursor }) });
      if (!answer || 'code' in answer) {
        pending.info(codeOf(answer));
        return false;
      }
      const { conversations: moved, complete, nextCursor } = answer.data as Synced;
      const learnt = moved.map(({ userId, messages, lastSeq, unreadCount, watermarks }): SyncedThread => {
        const peer = people.indexOf(userId);
        return { peer, rows: rows(messages, peer), lastSeq, unread: unreadCount, marks: marksOf(watermarks) };
      });
      pending.ok({ threads: learnt, complete });
      let news = 0;
      for (const part of learnt) {
        const thread = threadOf(part.peer);
        news += part.rows.length;
        for (const row of part.rows) thread.take(row);
        thread.raise(part.marks);
      }
      if (complete) return true;
      // An answer that brings nothing and is not the end would be asked for for ever.
      if (news === 0 && nextCursor === cursor) return false;
      cursor = nextCursor;
    }
  }

  /** @returns how many messages came; undefined without an answer */
  async function page(peer: Person, query?: { after: number; final?: true }): Promise<number | undefined> {
    const pending = history.invoke(name, 'page', { peer: peer.index, limit: PAGE, ...query });
    const after = query ? `&after=${query.after}` : '';
    const answer = await call(url, `/messages/${peer.id}?limit=${PAGE}${after}`, { token });
    if (!answer || 'code' in answer) return void pending.info(codeOf(answer));
    const { messages, watermarks } = answer.data as { messages: Message[]; watermarks: Watermarks };
    pending.ok({ rows: rows(messages, peer.index), marks: marksOf(watermarks) });
    return messages.length;
  }

  async function list(final?: true): Promise<boolean> {
    const pending = history.invoke(name, 'list', mark(final));
    const answer = await call(url, '/conversations?limit=100', { token });
    if (!answer || 'code' in answer) {
      pending.info(codeOf(answer));
      return false;
    }
    const { conversations } = answer.data as { conversations: Conversation[] };
    const val = conversations.map(({ peer: { _id }, lastMessage, unreadCount, watermarks }) => {
      const peer = people.indexOf(_id);
      const last = rowOf(lastMessage, { viewer: person.index, peer, people });
      return { peer, last, unread: unreadCount, marks: marksOf(watermarks) };
    });
    pending.ok(val);
    return true;
  }

  async function unread(final?: true): Promise<boolean> {
    const pending = history.invoke(name, 'unread', mark(final));
    const answer = await call(url, '/messages/unread/count', { token });
    if (!answer || 'code' in answer) {
      pending.info(codeOf(answer));
      return false;
    }
    pending.ok((answer.data as { unreadCount: number }).unreadCount);
    return true;
  }

  return { sync, page, list, unread };
}
