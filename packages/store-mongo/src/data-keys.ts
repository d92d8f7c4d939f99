import type { DataKeyStore, WrappedKey } from '@duet/core';
import { BOUNDED } from './bounds.ts';
import { type Database, duplicates } from './database.ts';
import type { DataKeyDocument } from './schemas.ts';

/** Sorts after every conversation. */
const AFTER_ALL = 'g';

const toKey = ({ _id: conversation, keyId: id, ringKey, wrapped }: DataKeyDocument): WrappedKey => ({
  conversation,
  id,
  ringKey,
  wrapped,
});
const toDocument = ({ conversation: _id, id: keyId, ringKey, wrapped }: WrappedKey): DataKeyDocument => ({
  _id,
  keyId,
  ringKey,
  wrapped,
});

export function createDataKeys(database: Database): DataKeyStore {
  const collection = () => database.collection<DataKeyDocument>('dataKeys');

  async function get(conversations: string[]): Promise<WrappedKey[]> {
    const keys = [...new Set(conversations)].map((_id) => ({ _id }));
    return (await database.all<DataKeyDocument>('dataKeys', keys)).map(toKey);
  }

  /** A conversation that has a key keeps it: a key is an insert under the unique index of `_id`. */
  async function add(keys: WrappedKey[]): Promise<void> {
    if (keys.length === 0) return;
    try {
      await collection().insertMany(keys.map(toDocument), { ordered: false });
    } catch (error) {
      duplicates(error);
    }
  }

  async function replace(key: WrappedKey, { wrapped }: WrappedKey): Promise<void> {
    const { _id, ...fields } = toDocument(key);
    await collection().updateOne({ _id, wrapped }, { $set: fields });
  }

  return {
    get: (conversations) => database.answer(() => get(conversations)),
    put: (keys) =>
      database.answer(async () => {
        await add(keys.flatMap(({ key, over }) => (over ? [] : [key])));
        await Promise.all(keys.map(({ key, over }) => over && replace(key, over)));
        return get(keys.map(({ key }) => key.conversation));
      }),
    list: ({ after, limit }) =>
      database.answer(async () => {
        // To MongoDB a limit of 0 is none.
        if (limit === 0) return [];
        const { ringKey = '', conversation = AFTER_ALL } = after ?? {};
        const beyond = {
          ringKey: { $gte: ringKey },
          $or: [{ ringKey: { $gt: ringKey } }, { _id: { $gt: conversation } }],
        };
        const found = await collection().find(beyond, BOUNDED).sort({ ringKey: 1, _id: 1 }).limit(limit).toArray();
        return found.map(toKey);
      }),
    remove: (conversation) =>
      database.answer(async () => {
        await collection().deleteOne({ _id: conversation });
      }),
  };
}
