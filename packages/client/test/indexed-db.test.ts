import { afterEach, describe, expect, test, vi } from 'vitest';
import { indexedDbStorage, type Outgoing } from '../src/index.ts';

/** As much of a browser's IndexedDB as is used: its records outlive what happens to the databases that are open. */
function createBrowser() {
  const records = new Map<string, { user: string }>();
  const databases: { isClosed: boolean; onclose?: () => void; onversionchange?: () => void }[] = [];
  let refusals = 0;
  const soon = <T extends object>(target: T, tell: (target: T) => void): T => {
    queueMicrotask(() => tell(target));
    return target;
  };
  const answer = (result: unknown) => soon({ result, onsuccess() {} }, (request) => request.onsuccess());
  function open() {
    if (refusals > 0) {
      refusals -= 1;
      return soon({ error: new Error('no room'), onerror() {} }, (request) => request.onerror());
    }
    const database = {
      isClosed: false,
      close() {
        database.isClosed = true;
      },
      transaction() {
        if (database.isClosed) throw new Error('The database connection is closing');
        const transaction = soon({ oncomplete() {} }, () => setImmediate(() => transaction.oncomplete()));
        const objectStore = () => ({
          transaction,
          put: (record: { user: string; tempId: string }) => void records.set(record.tempId, record),
          delete: ([, tempId]: [string, string]) => void records.delete(tempId),
          index: () => ({
            getAll: (user: string) => answer([...records.values()].filter((each) => each.user === user)),
          }),
        });
        return { objectStore };
      },
    };
    databases.push(database);
    return answer(database);
  }
  function refuse(): void {
    refusals += 1;
  }
  return { indexedDB: { open }, databases, refuse };
}

describe('what a browser keeps', () => {
  afterEach(() => void vi.unstubAllGlobals());

  test('U2 a database that could not be opened, or has been closed, is opened anew; one that is to be deleted is closed', async () => {
    const { indexedDB, databases, refuse } = createBrowser();
    vi.stubGlobal('indexedDB', indexedDB);
    const storage = indexedDbStorage();
    const message = (tempId: string): Outgoing => ({
      ...{ tempId, peerId: 'ben', content: 'hello' },
      ...{ messageType: 'text', createdAt: new Date(0).toISOString() },
    });
    const kept = async () => (await storage.list('anna')).map(({ tempId }) => tempId);

    refuse();
    await expect(storage.put('anna', message('1'))).rejects.toThrow('no room');
    await storage.put('anna', message('1'));
    expect([await kept(), databases.length]).toEqual([['1'], 1]);

    // It may be told, or found out only when it is used.
    Object.assign(databases[0] as object, { isClosed: true });
    await storage.put('anna', message('2'));
    expect([await kept(), databases.length]).toEqual([['1', '2'], 2]);
    databases[1]?.onclose?.();
    await storage.remove('anna', '1');
    expect([await kept(), databases.length]).toEqual([['2'], 3]);

    // Whoever deletes it waits until it is closed.
    databases[2]?.onversionchange?.();
    expect(databases[2]?.isClosed).toBe(true);
    await storage.put('anna', message('3'));
    expect([await kept(), databases.length]).toEqual([['2', '3'], 4]);

    // Of one that is gone already nothing is heard any more.
    databases[0]?.onclose?.();
    expect([await kept(), databases.length]).toEqual([['2', '3'], 4]);
  });
});
