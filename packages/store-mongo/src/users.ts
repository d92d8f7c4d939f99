import { DuetError } from '@duet/contract';
import type { UserRecord, UserStore } from '@duet/core';
import { BOUNDED } from './bounds.ts';
import { type Database, isDuplicate, MAX_UPDATES } from './database.ts';
import type { UserDocument } from './schemas.ts';

/** Sorts after every string that continues the prefix; names that begin with it are those of nobody. */
const AFTER_ALL = '\u{10FFFF}';

/** Users from before there were tokens of a host application lack the field. */
const toRecord = ({ _id, tokensAfter = 0, ...user }: UserDocument): UserRecord => ({ id: _id, tokensAfter, ...user });

export function createUsers(database: Database): UserStore {
  const collection = () => database.collection<UserDocument>('users');

  let lastSeen = Promise.resolve();

  async function conflict({ usernameKey }: UserRecord): Promise<DuetError> {
    const field = (await collection().findOne({ usernameKey }, BOUNDED)) ? 'username' : 'email';
    return new DuetError('CONFLICT', { details: [{ field, message: 'is already taken' }] });
  }

  /** By reading: not every server says of an update that was refused what it says of an insert. */
  async function isTaken(id: string, { usernameKey, emailKey }: Partial<UserRecord>): Promise<boolean> {
    const keys = [
      ...(usernameKey === undefined ? [] : [{ usernameKey }]),
      ...(emailKey === undefined ? [] : [{ emailKey }]),
    ];
    if (keys.length === 0) return false;
    return (await collection().findOne({ _id: { $ne: id }, $or: keys }, BOUNDED)) !== null;
  }

  return {
    create: (user) =>
      database.answer(async () => {
        const { id: _id, ...fields } = user;
        try {
          await collection().insertOne({ _id, ...fields });
        } catch (error) {
          throw isDuplicate(error) ? await conflict(user) : error;
        }
      }),
    get: (ids) =>
      database.answer(async () => {
        const keys = [...new Set(ids)].map((_id) => ({ _id }));
        return (await database.all<UserDocument>('users', keys)).map(toRecord);
      }),
    update: (id, fields, over) =>
      database.answer(async () => {
        try {
          await collection().updateOne({ _id: id, ...over }, { $set: fields });
        } catch (error) {
          throw (await isTaken(id, fields)) ? new DuetError('CONFLICT', { cause: error }) : error;
        }
      }),
    byEmail: (emailKey) =>
      database.answer(async () => {
        const user = await collection().findOne({ emailKey }, BOUNDED);
        return user ? toRecord(user) : undefined;
      }),
    list: ({ prefix = '', after = '', limit, except }) =>
      database.answer(async () => {
        // To MongoDB a limit of 0 is none.
        if (limit === 0 || prefix.startsWith(AFTER_ALL)) return [];
        const usernameKey = { $gte: prefix, $lt: prefix + AFTER_ALL, $gt: after };
        const users = await collection()
          .find({ usernameKey, _id: { $ne: except } }, BOUNDED)
          .sort({ usernameKey: 1 })
          .limit(limit)
          .toArray();
        return users.map(toRecord);
      }),
    seen(users) {
      const updates = users.map(({ id: _id, at }) => ({
        updateOne: { filter: { _id }, update: { $max: { lastSeen: at } } },
      }));
      // One after the other: servers exist (FerretDB 1) that lose one of two updates that race.
      for (let start = 0; start < updates.length; start += MAX_UPDATES) {
        const some = updates.slice(start, start + MAX_UPDATES);
        lastSeen = lastSeen.then(() =>
          database.answer(async () => {
            await collection().bulkWrite(some, { ordered: false });
          }),
        );
      }
      const noted = lastSeen;
      lastSeen = noted.catch(() => {});
      return noted;
    },
  };
}
