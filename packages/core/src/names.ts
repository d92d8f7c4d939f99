import { Username } from '@duet/contract';
import type { UserRecord } from './ports.ts';

const MAX_NAME = 50;
const SHORT_ID = 6;
/**
 * Variation selectors, fillers and the like. Joiners are not among them: where one stands a space does, as in Persian where
 * there is none.
 */
const UNSEEN = /[\p{Default_Ignorable_Code_Point}--\p{Cf}]/gv;

/** What uniqueness is judged by: compatibility forms and case folded, so that look-alikes of one name are one account. */
export const normalise = (text: string): string => text.normalize('NFKC').toLowerCase();

/** A user as he is when his account has just been made, at `now`. */
export const newUser = (
  given: Pick<UserRecord, 'id' | 'username' | 'email' | 'passwordHash'>,
  now: number,
): UserRecord => ({
  ...given,
  usernameKey: normalise(given.username),
  emailKey: normalise(given.email),
  tokensAfter: 0,
  createdAt: now,
  lastSeen: now,
});

/** What of a name from elsewhere can be one here: of an address what stands before the @, without signs that none may have. */
export function nameFrom(text: string): string | undefined {
  const [before = ''] = text.normalize('NFC').replace(UNSEEN, '').slice(0, MAX_NAME).split('@');
  const plain = before.replace(/[‘’]/g, "'").replace(/[^\p{L}\p{M}\p{N} ._'-]+/gu, ' ');
  return Username.safeParse(plain.replace(/^[^\p{L}\p{N}]+/u, '')).data;
}

/**
 * The names that a user may be given, the best first: whoever comes later than somebody of the same name gets a part of his
 * id behind it. Nobody can register a name with that sign, and the last one is nobody else's.
 */
export function namesFor(id: string, name: string | undefined): string[] {
  const numbered = [id.slice(0, SHORT_ID), id].map((number) => `${name ?? 'User'} #${number}`);
  return name === undefined ? numbered : [name, ...numbered];
}
