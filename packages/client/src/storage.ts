import type { Tabs } from './tabs.ts';
import type { MessageType } from './wire.ts';

/** A message on its way: the same tempId goes out again until there is an answer, so it is stored once. */
export interface Outgoing {
  tempId: string;
  peerId: string;
  content: string;
  messageType: MessageType;
  createdAt: string;
  /** Why the server does not take it; then it waits for the user to decide. */
  problem?: string;
}

/** Names a message that waits. */
export type Place = Pick<Outgoing, 'peerId' | 'tempId'>;

/** Keeps what has not been acknowledged, apart for each user of the device. All may reject. */
export interface OutboxStorage {
  list(user: string): Promise<Outgoing[]>;
  /** Adds a message, or takes the place of the one with this tempId. */
  put(user: string, message: Outgoing): Promise<void>;
  remove(user: string, tempId: string): Promise<void>;
  /**
   * For a storage that several tabs share: says when it is this one's turn to send what others leave from now on. It is
   * the first one's, and when that closes the next one's. Being wrong costs repeats, which the server recognises.
   * @returns a function that gives the turn up
   */
  turn?(user: string, onTurn: () => void): () => void;
  /**
   * For a storage that several tabs share: hears which messages the others have given up, and tells it of this one. That
   * something is not kept any more does not say so: a browser may have removed it.
   */
  givenUp?(user: string, onGivenUp: (place: Place) => void): Tabs<Place>;
}

/** Lasts as long as the object: for tests, and for programs that keep their messages elsewhere. */
export function memoryStorage(): OutboxStorage {
  const users = new Map<string, Map<string, Outgoing>>();
  const of = (user: string) => users.get(user) ?? new Map<string, Outgoing>();
  return {
    list: async (user) => [...of(user).values()],
    async put(user, message) {
      users.set(user, of(user).set(message.tempId, message));
    },
    async remove(user, tempId) {
      of(user).delete(tempId);
    },
  };
}

/** What a key-value store must be able to do; React Native's AsyncStorage is one. */
export interface KeyValueStore {
  getItem(key: string): Promise<string | null>;
  setItem(key: string, value: string): Promise<unknown>;
  removeItem(key: string): Promise<unknown>;
}

/** Keeps messages in any asynchronous key-value store, one entry for each user. One process may use it at a time. */
export function keyValueStorage(store: KeyValueStore, prefix = 'duet.outbox.'): OutboxStorage {
  let before: Promise<unknown> = Promise.resolve();
  /** One change at a time: each reads what the one before has written. */
  function change(user: string, how: (messages: Outgoing[]) => Outgoing[]): Promise<void> {
    const done = before.then(async () => {
      const messages = how(await list(user));
      if (messages.length === 0) await store.removeItem(prefix + user);
      else await store.setItem(prefix + user, JSON.stringify(messages));
    });
    before = done.catch(() => {});
    return done;
  }
  async function list(user: string): Promise<Outgoing[]> {
    return JSON.parse((await store.getItem(prefix + user)) ?? '[]');
  }
  const without = (messages: Outgoing[], tempId: string) => messages.filter((message) => message.tempId !== tempId);
  return {
    list,
    put: (user, message) => change(user, (messages) => [...without(messages, message.tempId), message]),
    remove: (user, tempId) => change(user, (messages) => without(messages, tempId)),
  };
}
