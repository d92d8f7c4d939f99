import type { Book } from './book.ts';
import type { Connection } from './connection.ts';
import { DuetError } from './errors.ts';
import { fromOutbox } from './log.ts';
import { createOutbox, type Outbox } from './outbox.ts';
import { createIds, type Runtime } from './runtime.ts';
import type { OutboxStorage, Outgoing, Place } from './storage.ts';
import type { Tabs } from './tabs.ts';
import type { Message, MessageType } from './wire.ts';

/** UTF-16 units of the longest text that the server may take: 4,000 code points, each of them two. */
const MAX_UNITS = 8_000;

export interface SendingDeps {
  storage: OutboxStorage;
  runtime: Runtime;
  connection: Pick<Connection, 'emit' | 'isOnline' | 'renew'>;
  book: Book;
  /** The server has it. */
  sent: (message: Message) => void;
  /** The server does not take it. */
  failed: (message: Outgoing) => void;
  notKept: (error: unknown) => void;
}

/** What the user writes: shown at once, kept on the device, sent when it can be. */
export function createSending(deps: SendingDeps) {
  const { storage, runtime, connection, book } = deps;
  const ids = createIds(runtime);
  let user: string | undefined;
  let outbox: Outbox | undefined;
  /** Written before it is known who the user is. */
  let early: Outgoing[] = [];
  /** Whether it is on this one to find what other tabs leave. */
  let hasTurn = false;
  let endTurn = () => {};
  let tabs: Tabs<Place> | undefined;

  function write(message: Outgoing): void {
    book.outgoing(message.peerId, fromOutbox(message));
    if (outbox) outbox.add(message);
    else early.push(message);
  }

  /** Takes on what an earlier run of the app, or a tab that has been closed, has left. */
  async function restore(): Promise<void> {
    for (const message of (await outbox?.restore()) ?? []) {
      ids.follow(message.tempId);
      book.outgoing(message.peerId, fromOutbox(message));
      if (message.problem === undefined) outbox?.enqueue(message);
    }
  }

  const failedMessage = (peerId: string, key: string) =>
    book.logOf(peerId).outgoing.find((message) => message.key === key && message.state === 'failed');

  /** Whatever has become of it here: in a tab that has been offline it still waits to be sent. */
  function drop(place: Place): void {
    outbox?.forget(place);
    book.dropped(place.peerId, place.tempId);
  }

  return {
    /** Whose messages they are. Called again, it takes on once more what others have left. */
    begin(id: string): void {
      user = id;
      outbox ??= createOutbox(user, {
        storage,
        runtime,
        isOnline: connection.isOnline,
        renew: connection.renew,
        async send({ peerId, content, messageType, tempId }) {
          // For a packet above its limit the server ends the connection and answers nothing: it would be sent for ever.
          if (content.length > MAX_UNITS) throw new DuetError('PAYLOAD_TOO_LARGE');
          return (await connection.emit('send_message', { receiverId: peerId, content, messageType, tempId })).message;
        },
        sent: deps.sent,
        failed(message) {
          book.outgoing(message.peerId, fromOutbox(message));
          deps.failed(message);
        },
        notKept: deps.notKept,
      });
      for (const message of early) outbox.add(message);
      early = [];
      // In every tab: one that is loaded anew shows and sends what it had left, whoever has the turn.
      void restore();
      const take = () => {
        hasTurn = true;
        void restore();
      };
      if (storage.turn) endTurn = storage.turn(user, take);
      tabs = storage.givenUp?.(user, drop);
    },
    /** Another tab may have been closed before it could send everything. */
    lookAgain(): void {
      if (hasTurn) void restore();
    },
    /** Lets another tab take over. */
    end(): void {
      hasTurn = false;
      endTurn();
      endTurn = () => {};
      tabs?.end();
      tabs = undefined;
    },
    /** The connection is there again, or is gone. */
    flush: (): void => outbox?.flush(),
    /** A message is known to be stored, from wherever: another tab may have sent it. */
    settle: (peerId: string, tempId: string): void => outbox?.forget({ peerId, tempId }),
    send(peerId: string, content: string, messageType: MessageType = 'text'): string {
      const tempId = ids.next();
      write({ tempId, peerId, content, messageType, createdAt: new Date(runtime.now()).toISOString() });
      return tempId;
    },
    retry(peerId: string, key: string): void {
      const message = failedMessage(peerId, key);
      if (!message) return;
      const { content, messageType, createdAt } = message;
      write({ tempId: key, peerId, content, messageType, createdAt });
    },
    discard(peerId: string, key: string): void {
      if (!failedMessage(peerId, key)) return;
      const place = { peerId, tempId: key };
      drop(place);
      tabs?.tell(place);
    },
  };
}
