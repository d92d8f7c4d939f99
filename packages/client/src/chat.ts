import { apiWith } from './api.ts';
import { createBook } from './book.ts';
import type { Chat, ChatEvents, ChatOptions } from './chat-types.ts';
import { type ConnectionState, createConnection } from './connection.ts';
import { createEmitter } from './emitter.ts';
import { browserLifecycle } from './lifecycle.ts';
import { fromOutbox } from './log.ts';
import { createPages } from './pages.ts';
import { createReceipts } from './receipts.ts';
import { backoff, createIds, systemRuntime } from './runtime.ts';
import { createSending } from './sending.ts';
import { createStore, initialState } from './state.ts';
import { memoryStorage } from './storage.ts';
import { createSync } from './sync.ts';
import { createTokens, type Holder, holderOf } from './tokens.ts';
import { createTyping } from './typing.ts';
import type { Message } from './wire.ts';

/** Conversations of a page of the list, and how many are listed in all: as many as a sync names. */
const PAGE = 100;
const MAX_LISTED = 1_000;
/** The first sync waits this long for the list: what the list has said, it need not. */
const LIST_MS = 5_000;
const FIRST_RETRY_MS = 1_000;
/** After a gap in live events the list is read within this time, so that not all clients of a node ask at once. */
const LOOK_WITHIN_MS = 10_000;

/** What failed because the server could not be reached is asked again when the connection is back. */
const untilConnected = (): void => {};

/**
 * One user's chat: keeps a connection, sends what is written exactly once, and holds what an app shows as one observable
 * state. Another user is another chat.
 */
export function createChat(options: ChatOptions): Chat {
  const { url, storage = memoryStorage(), lifecycle = browserLifecycle, runtime = systemRuntime } = options;
  const store = createStore(initialState);
  const events = createEmitter<ChatEvents>();
  /** Whose tokens these are: what waits on the device is kept under this name. */
  let owner: string | undefined;
  /** The id that the server knows him by, which a token need not say. */
  let user: string | undefined;
  let started = false;
  let isListed = false;
  let endLifecycle = () => {};
  let endRetry = () => {};
  let endLook = () => {};
  let endRenewal = () => {};

  const tokens = createTokens(async (ask) => {
    const token = (await options.getToken(ask)) ?? undefined;
    const holder = token === undefined ? undefined : holderOf(token);
    // Somebody else has signed in: what this user wrote must not go out under that name.
    if (holder && owner !== undefined && holder.owner !== owner) return undefined;
    if (holder) become(holder);
    return token;
  });
  const api = apiWith(url, tokens, runtime);

  const book = createBook({
    store,
    onMessage: (peerId, message) => events.emit('message', { peerId, message, from: book.personOf(peerId) }),
    onDelivered: (peerId, messageId) => receipts.delivered(peerId, messageId),
  });
  const connection = createConnection({
    url,
    tokens,
    deviceId: options.deviceId ?? createIds(runtime).next(),
    transports: options.transports ?? ['websocket', 'polling'],
    runtime,
    onState,
  });
  const sync = createSync({ connection, book, runtime });
  const receipts = createReceipts({ connection, runtime });
  const pages = createPages({ api, book, runtime, isOnline: connection.isOnline });
  const sending = createSending({
    storage,
    runtime,
    connection,
    book,
    sent(message) {
      user ??= message.sender._id;
      arrived(message);
    },
    failed: (message) => events.emit('failed', { peerId: message.peerId, message: fromOutbox(message) }),
    notKept: (error) => events.emit('notKept', { error }),
  });
  const typing = createTyping({
    runtime,
    show: book.typing,
    tell(peerId, isTyping) {
      if (!connection.isOnline()) return;
      connection.emit(isTyping ? 'typing_start' : 'typing_stop', { receiverId: peerId }).catch(untilConnected);
    },
  });

  function onState(state: ConnectionState): void {
    store.update({ connection: state, ...(state === 'online' ? {} : { synced: false }) });
    sending.flush();
    endRetry();
    endLook();
    endRenewal();
    // What other tabs leave is for one that can send it.
    if (state === 'refused') sending.end();
    if (state !== 'online') return;
    sending.lookAgain();
    catchUp();
  }

  /** After every connect, until it has succeeded. */
  function catchUp(failures = 0): void {
    learn().catch(() => {
      if (!connection.isOnline()) return;
      endRetry = runtime.after(backoff(failures, FIRST_RETRY_MS, runtime.random), () => catchUp(failures + 1));
    });
  }

  /** Live events have been coming since before the connection was told, so nothing lies between them and this. */
  async function learn(): Promise<void> {
    // Beside the list, which may be long: an app wants to know soon whose it is.
    const introduced = introduce();
    if (user === undefined) await introduced;
    receipts.flush();
    pages.flush();
    const listed = list();
    const known = Promise.all([listed, introduced]);
    known.catch(untilConnected); // Told below; it may fail before anybody waits for it.
    if (!isListed) {
      let cancel = () => {};
      const enough = new Promise<void>((resolve) => {
        cancel = runtime.after(LIST_MS, resolve);
      });
      await Promise.race([listed.catch(untilConnected), enough]);
      cancel();
    }
    sync.request();
    await known;
  }

  /** All conversations with their newest message; after a gap again, for who is online. */
  async function list(): Promise<void> {
    const asked = book.ask();
    let cursor: string | undefined;
    for (let count = 0; count < MAX_LISTED; count += PAGE) {
      const page = await api.conversations(cursor === undefined ? { limit: PAGE } : { limit: PAGE, cursor });
      book.stand(
        page.conversations.map(({ peer, lastMessage, unreadCount, watermarks }) => {
          const messages = book.logOf(peer._id).messages.length === 0 ? [lastMessage] : [];
          return { userId: peer._id, peer, standing: { messages, lastSeq: lastMessage.seq, unreadCount, watermarks } };
        }),
        asked,
      );
      cursor = page.nextCursor;
      if (cursor === undefined) break;
    }
    book.answered(asked);
    isListed = true;
    events.emit('presence', undefined);
  }

  /** Who came or went in a gap was told then, and is in no sync. All clients of a node hear of a gap at once. */
  function lookWhoIsHere(): void {
    endLook();
    endLook = runtime.after(runtime.random() * LOOK_WITHIN_MS, () => {
      if (connection.isOnline()) listAgain();
    });
  }

  /** Until it has succeeded: nothing else says what was missed. A new connection begins with the list anyway. */
  function listAgain(failures = 0): void {
    list().catch(() => {
      endLook();
      if (!connection.isOnline()) return;
      endLook = runtime.after(backoff(failures, FIRST_RETRY_MS, runtime.random), () => listAgain(failures + 1));
    });
  }

  async function introduce(): Promise<void> {
    if (store.getState().me) return;
    const { user: me } = await api.me();
    user ??= me._id;
    become({ owner: me._id });
    store.update({ me });
  }

  function become(holder: Holder): void {
    if (!started) return;
    user ??= holder.user;
    if (owner !== undefined) return;
    owner = holder.owner;
    sending.begin(owner);
  }

  /** A new token for the connection that there is, until it is taken. In the end the server closes the connection. */
  function renew(ask = tokens.refresh, failures = 0): void {
    let next = ask;
    const renewal = ask().then((token) => {
      next = tokens.get;
      return token === undefined ? undefined : connection.emit('renew', { token });
    });
    renewal.catch(() => {
      if (!connection.isOnline()) return;
      endRenewal = runtime.after(backoff(failures, FIRST_RETRY_MS, runtime.random), () => renew(next, failures + 1));
    });
  }

  function arrived(message: Message): void {
    if (user === undefined) return; // before the first sync, which brings it
    const peerId = book.arrived(message, user);
    if (message.sender._id === peerId) typing.heard(peerId, false);
    else if (message.tempId !== undefined) sending.settle(peerId, message.tempId);
    if (book.logOf(peerId).ahead.length > 0) sync.noticeHole();
  }

  connection.on('receive_message', ({ message }) => arrived(message));
  // Of an own message several of these may come, and its acknowledgement: the first one counts.
  connection.on('message_sent', ({ message, tempId }) => arrived({ ...message, tempId }));
  connection.on('resync', () => {
    sync.request();
    lookWhoIsHere();
  });
  // Who hides that he is online sees it of nobody; when he shows it again, the list says what is seen.
  connection.on('privacy_changed', ({ privacy }) => {
    if (privacy.lastSeen) listAgain();
    else book.hidePresence();
  });
  connection.on('token_expiring', () => {
    endRenewal();
    renew();
  });
  connection.on('user_typing', ({ userId, isTyping }) => typing.heard(userId, isTyping));
  connection.on('user_status', ({ userId, isOnline, lastSeen }) => {
    // Before it is known who the user is, it may be himself; of others the list says it then.
    if (user !== undefined && userId !== user) book.noteStatus(userId, isOnline, lastSeen);
  });
  connection.on('message_read_receipt', ({ readerId, seq }) => book.raise(readerId, { peerReadSeq: seq }));
  connection.on('message_delivered_receipt', ({ receiverId, seq }) =>
    book.raise(receiverId, { peerDeliveredSeq: seq }),
  );
  connection.on('conversation_read', ({ userId, seq }) => book.readElsewhere(userId, seq) || sync.request());

  const isWanted = (): boolean => started && store.getState().connection !== 'refused';

  function foreground(): void {
    if (!isWanted()) return;
    sending.lookAgain();
    connection.start();
    if (connection.isOnline()) sync.request();
    else connection.wake();
  }

  function background(): void {
    if (!isWanted()) return;
    connection.stop();
    sync.stop();
  }

  function start(): void {
    const hasEnded = !isWanted();
    if (!started) {
      started = true;
      endLifecycle = lifecycle({ foreground, background });
      // What waits on the device is shown, and its user known, before there is a network.
      tokens.get().catch(untilConnected);
    }
    if (hasEnded && owner !== undefined) sending.begin(owner);
    connection.start();
  }

  function stop(): void {
    connection.stop();
    started = false;
    endLifecycle();
    endRetry();
    endLook();
    for (const part of [sync, receipts, pages, typing]) part.stop();
    sending.end();
  }

  return {
    getState: store.getState,
    subscribe: store.subscribe,
    on: events.on,
    api,
    foreground,
    background,
    start,
    stop,
    open: pages.open,
    older: pages.older,
    send(peerId, content, messageType) {
      typing.still(peerId);
      return sending.send(peerId, content, messageType);
    },
    retry: sending.retry,
    discard: sending.discard,
    read(peerId) {
      const due = book.read(peerId);
      if (due) receipts.read(peerId, due.messageId);
    },
    typing: typing.note,
    stopTyping: typing.still,
    async findPeople(query = {}) {
      const asked = book.ask();
      const { users, nextCursor } = await api.users(query);
      return { people: book.noteUsers(users, asked), nextCursor };
    },
  };
}
