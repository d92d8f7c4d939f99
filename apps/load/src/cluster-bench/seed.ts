import { randomBytes } from 'node:crypto';
import jwt from 'jsonwebtoken';
import { mongo } from 'mongoose';

/** Somebody who stands in the database, and the token that lets him in. */
export interface Seeded {
  id: string;
  token: string;
}

const AT_ONCE = 1_000;
const DAY_MS = 24 * 3_600_000;

/** Writes documents in portions, in no order. */
async function write(collection: mongo.Collection, documents: mongo.Document[]): Promise<void> {
  for (let start = 0; start < documents.length; start += AT_ONCE) {
    await collection.insertMany(documents.slice(start, start + AT_ONCE), { ordered: false });
  }
}

async function withDatabase<T>(url: string, work: (db: mongo.Db) => Promise<T>): Promise<T> {
  const client = await mongo.MongoClient.connect(url);
  try {
    return await work(client.db());
  } finally {
    await client.close();
  }
}

/**
 * Writes people straight into MongoDB: registering thousands would measure bcrypt. They can connect, but not sign in.
 * @param secret that of the nodes
 */
export function seedUsers(mongoUrl: string, secret: string, count: number): Promise<Seeded[]> {
  const now = Date.now();
  const users = Array.from({ length: count }, (_, i) => {
    const _id = randomBytes(12).toString('hex');
    const email = `${_id}@example.org`;
    const name = `bench ${i} ${_id}`;
    const seen = { createdAt: now, lastSeen: now };
    return { _id, username: name, usernameKey: name, email, emailKey: email, passwordHash: 'none', ...seen };
  });
  return withDatabase(mongoUrl, async (db) => {
    await write(db.collection('users'), users);
    await write(db.collection('sessions'), users.map(sessionOf));
    return users.map(({ _id }) => ({ id: _id, token: tokenOf(_id, secret) }));
  });
}

/** A session is named like its user: a user of these has one. */
function sessionOf({ _id: user, createdAt }: { _id: string; createdAt: number }): mongo.Document {
  const times = { createdAt, lastUsedAt: createdAt, expiresAt: createdAt + DAY_MS, rotatedAt: 0 };
  const hashes = { refreshHash: 'none', previousHash: '' };
  return { _id: `${user}:${user}` as never, session: user, user, device: 'bench', ...times, ...hashes };
}

const tokenOf = (user: string, secret: string): string =>
  jwt.sign({ sid: user }, secret, { subject: user, issuer: 'duet', audience: 'duet', expiresIn: '1d' });

/**
 * Gives everybody conversations with those who stand next to him: as many to each side, in a ring. Only what the teller
 * of presence reads is written: who has talked to whom.
 */
export function seedContacts(mongoUrl: string, users: string[], each: number): Promise<void> {
  const now = Date.now();
  const rows = users.flatMap((user, i) =>
    Array.from({ length: each }, (_, k) => {
      const distance = k < each / 2 ? k + 1 : each / 2 - k - 1;
      const peer = users[(i + distance + users.length) % users.length] as string;
      const conversation = [user, peer].sort().join('').slice(0, 32);
      return { _id: `${user}:${peer}`, user, conversation, peer, lastAt: now };
    }),
  );
  return withDatabase(mongoUrl, (db) => write(db.collection('inbox'), rows));
}
