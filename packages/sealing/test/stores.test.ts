import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import type { Store } from '@duet/core';
import { createMongoStore } from '@duet/store-mongo';
import { createSqliteStore } from '@duet/store-sqlite';
import {
  type BackingService,
  databaseOf,
  hasMongo,
  startMongo,
  storeSuite,
  storesOn,
  temporaryFolder,
} from '@duet/testkit';
import { afterAll, beforeAll, describe } from 'vitest';
import { createSealedStore } from '../src/index.ts';
import { ringOf, watched } from './rings.ts';

// A sealed store keeps every promise of the store below it.
function suite(name: string, seals: boolean, open: () => { make: () => Store; remove: () => void }): void {
  storeSuite(`${name}, ${seals ? 'sealed' : 'with sealing off'}`, async () => {
    const { make, remove } = open();
    const ring = ringOf('a');
    return storesOn(async () => {
      const store = createSealedStore(make(), { ring, seals, ...watched() });
      await store.ready();
      return store;
    }, remove);
  });
}

function onDisk() {
  const folder = temporaryFolder();
  const file = join(folder.path, 'duet.db');
  return { make: () => createSqliteStore({ file }), remove: () => folder[Symbol.dispose]() };
}
suite('sqlite', true, onDisk);
suite('sqlite', false, onDisk);

describe.skipIf(!hasMongo())('MongoDB', () => {
  let server: BackingService;
  beforeAll(async () => {
    server = await startMongo();
  });
  afterAll(() => server[Symbol.asyncDispose]());

  suite('mongo', true, () => {
    const uri = databaseOf(server.url, `duet-${randomUUID().slice(0, 8)}`);
    return { make: () => createMongoStore({ uri }), remove() {} };
  });
});
