import {
  type ClientEventPayload,
  DuetError,
  MAX_SKIP,
  type Message,
  type RouteData,
  type RouteInput,
} from '@duet/contract';
import { type Access, type AccessRules, userNotFound } from './access.ts';
import { createCache } from './cache.ts';
import { type GroupCommit, Untried } from './group-commit.ts';
import type { People } from './people.ts';
import type { Appended, Clock, ConversationStore, Draft, Entry, Fanout, Marks, MessageStore } from './ports.ts';
import { type Sights, seenBy } from './privacy.ts';
import { marksSeen, messageView, personSeen, watermarksView } from './views.ts';

/** Who calls: a user in a session, and for events the socket it came from. */
export interface Caller {
  user: string;
  session?: string;
  socket?: string;
}

export interface MessageDeps {
  access: AccessRules;
  people: People;
  sights: Sights;
  commit: GroupCommit<Draft, Appended>;
  messages: MessageStore;
  conversations: ConversationStore;
  fanout: Fanout;
  clock: Clock;
  newTempId: () => string;
  accepted: () => void;
  repeated: () => void;
}

/** How long a client may take to repeat a send whose outcome it does not know. */
const UNSURE_MS = 10 * 60_000;
const MAX_UNSURE = 10_000;

/** Sending messages, and reading what was sent. */
export function createMessages(deps: MessageDeps) {
  /** Sends that failed although they may have been stored: if their repeat finds them, nobody has been told yet. */
  const unsure = createCache<true>({ max: MAX_UNSURE, ttlMs: UNSURE_MS, clock: deps.clock });

  const keyOf = ({ conversation, sender, tempId }: Draft) => `${conversation} ${sender} ${tempId}`;

  async function append(draft: Draft): Promise<Appended> {
    try {
      return await deps.commit.add(draft);
    } catch (error) {
      if (!(error instanceof Untried)) unsure.set(keyOf(draft), true);
      throw error;
    }
  }

  /** Whether the live events of a message that is stored are still to be sent; after this they are taken as sent. */
  function isUntold({ entry, fresh }: Appended): boolean {
    const key = keyOf(entry);
    const wasUnsure = unsure.get(key) === true;
    unsure.delete(key);
    return fresh || wasUnsure;
  }

  /** A message as its sender sees it; without `receiver` it is new, and nobody has it. */
  function view(entry: Entry, access: Access, receiver?: Marks): Message {
    const people = new Map([access.me, access.peer].map((person) => [person._id, person]));
    return messageView(entry, { viewer: entry.sender, people, receiver });
  }

  /** Live events for a message that has just been stored: the receiver's sockets and the sender's other devices. */
  function announce(entry: Entry, access: Access, caller: Caller): Message {
    deps.accepted();
    const own = view(entry, access);
    if (!entry.hidden) {
      const { tempId, ...message } = own;
      message.sender = personSeen(message.sender, access.presence);
      message.receiver = access.peerHimself;
      deps.fanout.toUser(entry.receiver, { name: 'receive_message', payload: { message } });
    }
    const sent = { message: own, tempId: entry.tempId };
    deps.fanout.toUser(entry.sender, { name: 'message_sent', payload: sent }, { except: caller.socket });
    return own;
  }

  return {
    /**
     * Stores a message and tells both sides. When this resolves the message is durable (rule M1).
     * The same tempId again answers the stored message, and tells nobody who has been told.
     * To somebody who has blocked the caller it is stored for the caller alone, and answered like any other.
     * @throws DuetError VALIDATION_ERROR, NOT_FOUND, UNAUTHORIZED (see access); FORBIDDEN to somebody whom the caller has
     * blocked; IDEMPOTENCY_CONFLICT when the tempId was used for another text; UNAVAILABLE when the outcome is unknown, or
     * (Untried, SomeUnfit) nothing was stored
     */
    async send(
      caller: Caller,
      input: ClientEventPayload<'send_message'>,
    ): Promise<{ message: Message; tempId: string }> {
      // Waits for a turn also where nothing has to be looked up: who waits for a look-up that has just ended goes on a turn
      // later too, and would be overtaken.
      const access = await deps.access.with(caller.user, input.receiverId, 'receiverId');
      if (access.peer.isDeleted) throw userNotFound();
      if (access.hasBlocked) throw new DuetError('FORBIDDEN', { message: 'You have blocked this user' });
      const { content, messageType, tempId = deps.newTempId() } = input;
      const appended = await append({
        conversation: access.conversation.id,
        sender: caller.user,
        receiver: input.receiverId,
        content,
        messageType,
        tempId,
        createdAt: deps.clock.now(),
        ...(access.isBlocked ? { hidden: true } : {}),
      });
      const { entry } = appended;
      const isOther = entry.content !== content || entry.messageType !== messageType;
      // Nobody can tell what an unreadable one said, and a repeat must not fail for ever.
      if (isOther && !entry.unreadable) throw new DuetError('IDEMPOTENCY_CONFLICT');
      if (isUntold(appended)) return { message: announce(entry, access, caller), tempId };
      deps.repeated();
      // Stored it is: a store that is too busy to say whether it was read must not let it be sent once more.
      const [marks] = await deps.conversations
        .marks([{ user: entry.receiver, conversation: entry.conversation }])
        .catch(() => []);
      const sight = (await deps.sights.forViewer(caller.user, [entry.receiver]))(entry.receiver);
      return { message: view(entry, access, marks && marksSeen(marks, sight)), tempId };
    },

    /**
     * A page of the conversation with a user, oldest first.
     * @throws DuetError VALIDATION_ERROR, NOT_FOUND, UNAUTHORIZED (see access)
     */
    async history(caller: Caller, input: RouteInput<'history'>): Promise<RouteData<'history'>> {
      const peerId = input.params.userId;
      const { conversation } = await deps.access.with(caller.user, peerId, 'userId');
      const { before, after, skip, limit } = input.query;
      const marksOf = [caller.user, peerId].map((user) => ({ user, conversation: conversation.id }));
      const [entries, [mine, theirs], people, sight] = await Promise.all([
        // A store walks over what is left out.
        skip > MAX_SKIP
          ? []
          : deps.messages.page({
              viewer: caller.user,
              conversation: conversation.id,
              limit,
              skip,
              ...(before === undefined ? {} : { before }),
              ...(after === undefined ? {} : { after }),
            }),
        deps.conversations.marks(marksOf) as Promise<[Marks, Marks]>,
        deps.people.get([caller.user, peerId]),
        deps.sights.forViewer(caller.user, [peerId]),
      ]);
      const peer = marksSeen(theirs, sight(peerId));
      const seen = seenBy(caller.user, people, sight);
      const messages = entries.map((entry) => {
        const receiver = entry.receiver === caller.user ? mine : peer;
        return messageView(entry, { viewer: caller.user, people: seen, receiver });
      });
      const watermarks = watermarksView(mine, peer);
      return { messages, count: messages.length, watermarks };
    },

    /**
     * Tells a user that the caller types or has stopped; stored nowhere.
     * @throws DuetError VALIDATION_ERROR, NOT_FOUND, UNAUTHORIZED (see access)
     */
    async typing(
      caller: Caller,
      receiverId: string,
      isTyping: boolean,
    ): Promise<{ userId: string; isTyping: boolean }> {
      const { typing, hasBlocked } = await deps.access.with(caller.user, receiverId, 'receiverId');
      const payload = { userId: caller.user, isTyping };
      if (typing && !hasBlocked) deps.fanout.toUser(receiverId, { name: 'user_typing', payload });
      return payload;
    },

    /** Resolves when every send under way has been answered. */
    idle: deps.commit.idle,
  };
}
export type Messages = ReturnType<typeof createMessages>;
