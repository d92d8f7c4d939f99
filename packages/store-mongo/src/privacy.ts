import type { Privacy, PrivacyStore } from '@duet/core';
import { BOUNDED, type Database, isDuplicate } from './database.ts';
import { type PrivacyDocument, rowId } from './schemas.ts';

/** A block is a document of its own: an insert, which no server loses when two race. */
export function createPrivacy(database: Database): PrivacyStore {
  const collection = () => database.collection<PrivacyDocument>('privacy');

  async function of(user: string): Promise<Privacy[]> {
    const documents = await collection().find({ user }, BOUNDED).toArray();
    const hides = documents.flatMap((document) => document.hides ?? []);
    const blocked = documents.flatMap(({ peer, at = 0 }) => (peer === undefined ? [] : [{ user: peer, at }]));
    return hides.length + blocked.length > 0 ? [{ user, hides, blocked }] : [];
  }

  return {
    get: (users) => database.answer(async () => (await Promise.all([...new Set(users)].map(of))).flat()),
    hide: (user, hides) =>
      database.answer(async () => {
        await collection().replaceOne({ _id: user, user }, { user, hides }, { upsert: true });
      }),
    block: (user, peer, at) =>
      database.answer(async () => {
        try {
          await collection().insertOne({ _id: rowId(user, peer), user, peer, at });
        } catch (error) {
          if (!isDuplicate(error)) throw error;
        }
      }),
    unblock: (user, peer) =>
      database.answer(async () => {
        await collection().deleteOne({ _id: rowId(user, peer), user });
      }),
  };
}
