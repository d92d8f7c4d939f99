import type { Socket } from 'socket.io-client';
import { ask } from './asks.ts';
import type { History } from './history.ts';
import type { Random } from './random.ts';
import type { Thread } from './thread.ts';
import type { People, Person } from './wire.ts';

export interface ReceiptDeps {
  people: People;
  name: string;
  socket: Socket;
  history: History;
  random: Random;
}

/** What a client tells of the messages that it has. */
export function createReceipts({ people, name, socket, history, random }: ReceiptDeps) {
  /** By peer, the last message for which the server has heard that it is here. */
  const told = new Map<number, number>();

  return {
    /** Says which messages are stored on this device, all conversations in one event. */
    async delivered(threads: Iterable<Thread>): Promise<void> {
      const news = [...threads].flatMap((thread): { peer: number; seq: number; id: string }[] => {
        const last = thread.lastOfPeer();
        if (!last || (told.get(thread.peer) ?? 0) >= last[1]) return [];
        return [{ peer: thread.peer, seq: last[1], id: last[0] }];
      });
      if (news.length === 0 || !socket.connected) return;
      const pending = history.invoke(name, 'delivered', { marks: news.map(({ peer, seq }) => [peer, seq]) });
      const receipts = news.map(({ peer, id }) => ({ messageId: id, senderId: people.all[peer]?.id }));
      const answer = await ask(socket, 'message_delivered', { receipts });
      if (!answer || 'code' in answer) return pending.info(answer?.code ?? 'no answer');
      const given = (answer.data as { receipts: { seq: number }[] }).receipts;
      for (const { peer, seq } of news) told.set(peer, seq);
      pending.ok(news.map(({ peer }, i) => [peer, given[i]?.seq ?? -1]));
    },
    /** Reads a conversation up to some message, which may be one that was read before. */
    async read(peer: Person, thread: Thread): Promise<void> {
      const last = thread.lastOfPeer(1 + random.below(thread.rows.length + 1));
      if (!last || !socket.connected) return;
      const pending = history.invoke(name, 'read', { peer: peer.index, seq: last[1] });
      const answer = await ask(socket, 'message_read', { messageId: last[0], senderId: peer.id });
      if (answer && 'data' in answer) pending.ok({ seq: (answer.data as { seq: number }).seq });
      else pending.info(answer?.code ?? 'no answer');
    },
  };
}
