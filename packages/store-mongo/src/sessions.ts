import type { EndedSession, ReadOptions, SessionRecord, SessionStore } from '@duet/core';
import { BOUNDED } from './bounds.ts';
import { type Database, upserted } from './database.ts';
import { type SessionDocument, type SessionEndDocument, sessionId } from './schemas.ts';

/**
 * How late an end may become visible, by the time that it bears: that is given before it has reached a majority, and by
 * the clock of one shard, or of one primary.
 */
const LATE_MS = 120_000;

const toRecord = ({ _id, session, ...fields }: SessionDocument): SessionRecord => ({ id: session, ...fields });
const toEnded = ({ user, session }: SessionEndDocument): EndedSession => ({ user, id: session });

export function createSessions(database: Database): SessionStore {
  const sessions = () => database.collection<SessionDocument>('sessions');
  const ends = () => database.collection<SessionEndDocument>('sessionEnds');

  async function end({ user, id }: EndedSession): Promise<void> {
    const _id = sessionId(user, id);
    // In this order: what stops in between is over for nobody, or for its sockets as well. The time is the server's.
    const update = { $set: { session: id }, $currentDate: { at: true } } as const;
    await upserted(() => ends().updateOne({ _id, user }, update, { upsert: true }));
    await sessions().deleteOne({ _id, user });
  }

  return {
    now: () => database.answer(database.now),
    create: ({ id, user, ...fields }) =>
      database.answer(async () => {
        await sessions().insertOne({ _id: sessionId(user, id), session: id, user, ...fields });
      }),
    get: (keys, { sure = false }: ReadOptions = {}) =>
      database.answer(async () => {
        const filters = keys.map(({ user, id }) => ({ _id: sessionId(user, id), user }));
        if (!sure) return (await database.all<SessionDocument>('sessions', filters)).map(toRecord);
        const one = (filter: object) => database.first<SessionDocument>('sessions', { filter, sure });
        return (await Promise.all(filters.map(one))).filter((document) => document !== undefined).map(toRecord);
      }),
    list: (user) => database.answer(async () => (await sessions().find({ user }, BOUNDED).toArray()).map(toRecord)),
    replace: ({ id, user, device: _device, createdAt: _createdAt, ...fields }, expected) =>
      database.answer(async () => {
        const filter = { _id: sessionId(user, id), user, refreshHash: expected };
        return (await sessions().updateOne(filter, { $set: fields })).matchedCount === 1;
      }),
    end: (ended) =>
      database.answer(async () => {
        await Promise.all(ended.map(end));
      }),
    ended: (cursor) =>
      database.answer(async () => {
        // The server's time, so no other clock is needed; not that of the newest end, which a clock may have given that was
        // wrong. One that was set back since the cursor was given has dated what ended since then earlier than that.
        const now = await database.now();
        if (cursor === undefined) return { sessions: [], cursor: String(now) };
        const since = new Date(Math.min(Number(cursor), now) - LATE_MS);
        const found = await ends()
          .find({ at: { $gt: since } }, BOUNDED)
          .toArray();
        return { sessions: found.map(toEnded), cursor: String(now) };
      }),
    purge: ({ expired, ended }) =>
      database.answer(async () => {
        await sessions().deleteMany({ expiresAt: { $lt: expired } });
        await ends().deleteMany({ at: { $lt: new Date(ended) } });
      }),
  };
}
