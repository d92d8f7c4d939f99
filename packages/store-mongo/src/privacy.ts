import type { Privacy, PrivacyStore } from '@duet/core';
import { type Database, isDuplicate } from './database.ts';
import { type PrivacyDocument, rowId } from './schemas.ts';

/**
 * A block is a document of its own, and so is what a user hides: inserts, which no server loses when two race. Documents
 * from before that hold all that a user hides, under his own id.
 */
export function createPrivacy(database: Database): PrivacyStore {
  const collection = () => database.collection<PrivacyDocument>('privacy');

  function privacyOf(user: string, documents: PrivacyDocument[]): Privacy[] {
    const hides = [...new Set(documents.flatMap((document) => document.hides ?? []))];
    const blocked = documents.flatMap(({ peer, at = 0 }) => (peer === undefined ? [] : [{ user: peer, at }]));
    return hides.length + blocked.length > 0 ? [{ user, hides, blocked }] : [];
  }

  async function add(document: PrivacyDocument): Promise<void> {
    try {
      await collection().insertOne(document);
    } catch (error) {
      if (!isDuplicate(error)) throw error;
    }
  }

  return {
    get: (users) =>
      database.answer(async () => {
        const keys = [...new Set(users)].map((user) => ({ user }));
        const documents = await database.all<PrivacyDocument>('privacy', keys);
        const byUser = Map.groupBy(documents, ({ user }) => user);
        return [...byUser].flatMap(([user, own]) => privacyOf(user, own));
      }),
    hide: (user, what) =>
      database.answer(async () => {
        await Promise.all(what.map((each) => add({ _id: rowId(user, each), user, hides: [each] })));
      }),
    show: (user, what) =>
      database.answer(async () => {
        if (what.length === 0) return;
        await Promise.all(what.map((each) => collection().deleteOne({ _id: rowId(user, each), user })));
        await collection().updateOne({ _id: user, user }, { $pullAll: { hides: what } });
      }),
    block: (user, peer, at) => database.answer(() => add({ _id: rowId(user, peer), user, peer, at })),
    unblock: (user, peer) =>
      database.answer(async () => {
        await collection().deleteOne({ _id: rowId(user, peer), user });
      }),
  };
}
