import { afterAll, beforeAll, describe } from 'vitest';
import { adminTests, lostEntryTests } from './admin.ts';
import { appendTests } from './append.ts';
import type { StoreUnderTest } from './common.ts';
import { conversationTests } from './conversations.ts';
import { dataKeyTests } from './data-keys.ts';
import { lifeTests } from './life.ts';
import { pageTests } from './pages.ts';
import { privacyTests } from './privacy.ts';
import { raceTests } from './races.ts';
import { receiptTests } from './receipts.ts';
import { repeatTests } from './repeats.ts';
import { sessionTests } from './sessions.ts';
import { directoryTests, usersTests } from './users.ts';

export { type StoreUnderTest, storesOn } from './common.ts';

/**
 * The contract of the Store port (`ports.ts`): every store package calls this in a test file of its own.
 * @param createStore is called several times; each call must give an empty database
 */
export function storeSuite(name: string, createStore: () => Promise<StoreUnderTest>): void {
  /** A store for the tests of one describe block; they keep apart by random ids. */
  function opened(): () => StoreUnderTest {
    let under: StoreUnderTest | undefined;
    beforeAll(async () => {
      under = await createStore();
      await under.store.ready();
    });
    afterAll(() => under?.close());
    return () => under as StoreUnderTest;
  }

  describe(`store: ${name}`, () => {
    describe('users', () => usersTests(opened()));
    describe('privacy', () => privacyTests(opened()));
    describe('directory', () => directoryTests(opened()));
    describe('sessions', () => sessionTests(opened()));
    describe('messages.append', () => appendTests(opened()));
    describe('messages.append, repeated', () => repeatTests(opened()));
    describe('messages.append, many at once', () => raceTests(opened()));
    describe('messages.page and get', () => pageTests(opened()));
    describe('conversations', () => conversationTests(opened()));
    describe('receipts', () => receiptTests(opened()));
    describe('dataKeys', () => dataKeyTests(opened()));
    describe('admin', () => adminTests(opened()));
    describe('admin, where logs have lost entries', () => lostEntryTests(opened()));
    describe('ready and close', () => lifeTests(createStore));
  });
}
