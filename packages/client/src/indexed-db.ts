import type { OutboxStorage, Outgoing } from './storage.ts';
import { joinTabs } from './tabs.ts';
import { takeTurn } from './turn.ts';

// The little that is used of IndexedDB, spelt out: the package is also compiled where no browser's types are.
interface Request<T> {
  result: T;
  error: unknown;
  onsuccess: (() => void) | null;
  onerror: (() => void) | null;
}
interface Transaction {
  error: unknown;
  oncomplete: (() => void) | null;
  onabort: (() => void) | null;
}
interface ObjectStore {
  transaction: Transaction;
  put(value: unknown): Request<unknown>;
  delete(key: unknown): Request<unknown>;
  index(name: string): { getAll(key: string): Request<unknown[]> };
  createIndex(name: string, key: string): void;
}
interface Database {
  onclose: (() => void) | null;
  onversionchange: (() => void) | null;
  close(): void;
  createObjectStore(name: string, options: { keyPath: string[] }): ObjectStore;
  transaction(name: string, mode: 'readonly' | 'readwrite'): { objectStore(name: string): ObjectStore };
}
interface OpenRequest extends Request<Database> {
  onupgradeneeded: (() => void) | null;
}

const STORE = 'outbox';

function finished<T>(request: Request<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

/** A write is there when its transaction is: a page that closes before that takes it along. */
function committed({ transaction }: ObjectStore): Promise<void> {
  return new Promise((resolve, reject) => {
    transaction.oncomplete = () => resolve();
    transaction.onabort = () => reject(transaction.error);
  });
}

function open(name: string): Promise<Database> {
  const { indexedDB } = globalThis as unknown as { indexedDB: { open(name: string, version: number): OpenRequest } };
  const request = indexedDB.open(name, 1);
  request.onupgradeneeded = () => {
    request.result.createObjectStore(STORE, { keyPath: ['user', 'tempId'] }).createIndex('user', 'user');
  };
  return finished(request);
}

/** Keeps messages in the browser's IndexedDB, one record each: several tabs may use it at once. */
export function indexedDbStorage(name = 'duet'): OutboxStorage {
  let database: Promise<Database> | undefined;
  function forget(gone: Promise<Database>): void {
    if (database === gone) database = undefined;
  }
  function opened(): Promise<Database> {
    if (database) return database;
    const opening = open(name);
    database = opening;
    const end = () => forget(opening);
    // One that could not be opened, or that the browser has closed, as when its data is cleared, stays so.
    opening.then((given) => {
      given.onclose = end;
      // Whoever deletes it waits until nobody has it open, and whoever opens it then waits for him.
      given.onversionchange = () => {
        end();
        given.close();
      };
    }, end);
    return opening;
  }
  async function store(mode: 'readonly' | 'readwrite'): Promise<ObjectStore> {
    const used = opened();
    const begin = (on: Database) => on.transaction(STORE, mode).objectStore(STORE);
    const there = await used;
    try {
      return begin(there);
    } catch {
      // Closed, and `close` was not heard: phones do that to pages in the background.
      forget(used);
      return begin(await opened());
    }
  }
  return {
    async list(user) {
      const records = await finished((await store('readonly')).index('user').getAll(user));
      return (records as { message: Outgoing }[]).map(({ message }) => message);
    },
    async put(user, message) {
      const outbox = await store('readwrite');
      outbox.put({ user, tempId: message.tempId, message });
      await committed(outbox);
    },
    async remove(user, tempId) {
      const outbox = await store('readwrite');
      outbox.delete([user, tempId]);
      await committed(outbox);
    },
    turn: (user, onTurn) => takeTurn(`duet.${name}.${user}`, onTurn),
    givenUp: (user, onGivenUp) => joinTabs(`duet.${name}.${user}`, onGivenUp),
  };
}
