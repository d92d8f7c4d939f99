import { hash } from 'node:crypto';
import { DuetError, Email } from '@duet/contract';
import { isDisabled } from './account-lock.ts';
import type { Claims, HostIdentity } from './auth-ports.ts';
import { createCache } from './cache.ts';
import { nameFrom, namesFor, normalise } from './names.ts';
import type { People } from './people.ts';
import type { Clock, UserRecord, UserStore } from './ports.ts';
import { isDeleted, keyOfNobody } from './views.ts';

/** A token that was issued this long ago at most says what the host calls its user now; an older one what it did once. */
const FRESH_MS = 5 * 60_000;
/** A profile is not looked at again for this long. */
const LOOK_AGAIN_MS = 60_000;
const MAX_LOOKED_AT = 10_000;

const idFrom = (...parts: string[]): string => hash('sha256', JSON.stringify(parts)).slice(0, 24);

/** The same at every node, so that those who see somebody first at the same time make one user. */
export const hostUserId = ({ issuer, subject }: Pick<HostIdentity, 'issuer' | 'subject'>): string =>
  idFrom('host user', issuer, subject);

/**
 * The session that all good tokens of a host's user belong to. It is stored nowhere: when `tokensAfter` moves, it is over and
 * the next one has another name.
 */
export const hostSessionOf = ({ id, tokensAfter }: Pick<UserRecord, 'id' | 'tokensAfter'>): string =>
  idFrom('host session', id, String(tokensAfter));

/** What makes void all tokens that the host has issued until `now`. It never goes back, whatever the clock does. */
export const tokensAfter = (user: Pick<UserRecord, 'tokensAfter'>, now: number): Pick<UserRecord, 'tokensAfter'> => ({
  tokensAfter: Math.max(now, user.tokensAfter + 1),
});

interface Profile {
  /** undefined: the host says none. */
  name: string | undefined;
  names: string[];
  email: string | undefined;
}

function profileOf(id: string, { name, email }: HostIdentity): Profile {
  const fit = name === undefined ? undefined : nameFrom(name);
  return { name: fit, names: namesFor(id, fit), email: Email.safeParse(email).data };
}

const named = (username: string) => ({ username, usernameKey: normalise(username) });
const mailed = (email: string) => ({ email, emailKey: normalise(email) });

/** @returns whether it was done; false when somebody else has the name or email */
async function unlessTaken(work: Promise<void>): Promise<boolean> {
  try {
    await work;
    return true;
  } catch (error) {
    if (error instanceof DuetError && error.code === 'CONFLICT') return false;
    throw error;
  }
}

/**
 * The users of the host application. They are made when they are first seen, and nobody signs in to them with a password.
 * A name or an email that somebody has stays his: nobody becomes another user because the two are called the same.
 */
export function createHostUsers({ users, people, clock }: { users: UserStore; people: People; clock: Clock }) {
  const lookedAt = createCache<string>({ max: MAX_LOOKED_AT, ttlMs: LOOK_AGAIN_MS, clock });

  const find = async (id: string): Promise<UserRecord | undefined> => (await users.get([id]))[0];

  async function make(id: string, { names, email }: Profile): Promise<UserRecord> {
    const now = clock.now();
    const nowhere = { email: '', emailKey: keyOfNobody(id) };
    for (const name of names) {
      for (const mail of email === undefined ? [nowhere] : [mailed(email), nowhere]) {
        const user = { id, ...named(name), ...mail, passwordHash: '', tokensAfter: 0, createdAt: now, lastSeen: now };
        if (await unlessTaken(users.create(user))) return user;
        const madeMeanwhile = await find(id);
        if (madeMeanwhile) return madeMeanwhile;
      }
    }
    throw new DuetError('CONFLICT');
  }

  /** Brings name and email up to date, as far as they are free. */
  async function follow(user: UserRecord, { name, names, email }: Profile): Promise<void> {
    // Over the name that was read: of somebody who is deleted meanwhile nothing comes back.
    let { usernameKey } = user;
    const change = (fields: Partial<UserRecord>) => unlessTaken(users.update(user.id, fields, { usernameKey }));
    if (name !== undefined && !names.includes(user.username)) {
      for (const each of names) {
        if (!(await change(named(each)))) continue;
        usernameKey = normalise(each);
        people.forget(user.id);
        break;
      }
    }
    if (email !== undefined && email !== user.email) await change(mailed(email));
  }

  return {
    /**
     * Lets somebody in by a token of the host application that has been verified.
     * @throws DuetError UNAUTHORIZED when he was deleted; SESSION_REVOKED when he is disabled, or was signed out after the
     * token was issued
     */
    async admit(identity: HostIdentity): Promise<Claims> {
      const id = hostUserId(identity);
      const profile = profileOf(id, identity);
      const known = await find(id);
      const user = known ?? (await make(id, profile));
      if (isDeleted(user)) throw new DuetError('UNAUTHORIZED');
      if (isDisabled(user) || identity.issuedAt <= user.tokensAfter) throw new DuetError('SESSION_REVOKED');
      const said = JSON.stringify([profile.name, profile.email]);
      if (known && identity.issuedAt > clock.now() - FRESH_MS && lookedAt.get(id) !== said) {
        await follow(known, profile);
        lookedAt.set(id, said);
      }
      return { user: id, session: hostSessionOf(user), expiresAt: identity.expiresAt };
    },
  };
}
