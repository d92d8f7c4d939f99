import { createHmac, createSecretKey, type KeyObject } from 'node:crypto';
import { DuetError } from '@duet/contract';
import type { Claims, Clock, Tokens } from '@duet/core';
import jwt from 'jsonwebtoken';

export const MAX_TOKEN_LENGTH = 4_096;
const ALGORITHM = 'HS256';
/** Whose tokens these are, and for whom. */
export const ISSUER = 'duet';
const AUDIENCE = 'duet';

export interface TokenOptions {
  /** Signs, and is the first to be tried. */
  secret: string;
  /** What has signed until it was replaced; its tokens are good until they expire. */
  previousSecret?: string | undefined;
  /** Seconds. */
  expiresIn: number;
  clock: Clock;
}

const seconds = (ms: number): number => Math.floor(ms / 1_000);

/** JSON Web Tokens with one pinned algorithm, so that the token cannot choose how it is checked (RFC 8725, 3.1). */
export function createTokens({ secret, previousSecret, expiresIn, clock }: TokenOptions): Tokens {
  // As key objects: of a string the library finds out each time what kind of key it is, by trying.
  const keyOf = (text: string): KeyObject => createSecretKey(text, 'utf8');
  const key = keyOf(secret);
  const keys = previousSecret === undefined ? [key] : [key, keyOf(previousSecret)];

  function read(token: string, candidate: KeyObject): jwt.JwtPayload {
    return jwt.verify(token, candidate, {
      algorithms: [ALGORITHM],
      issuer: ISSUER,
      audience: AUDIENCE,
      clockTimestamp: seconds(clock.now()),
    }) as jwt.JwtPayload;
  }

  function claimsOf({ sub, sid, exp }: jwt.JwtPayload): Claims {
    if (typeof sub !== 'string' || typeof sid !== 'string' || exp === undefined) throw new DuetError('UNAUTHORIZED');
    return { user: sub, session: sid, expiresAt: exp * 1_000 };
  }

  return {
    issue(user, session) {
      const iat = seconds(clock.now());
      const claims = { sub: user, sid: session, iss: ISSUER, aud: AUDIENCE, iat, exp: iat + expiresIn };
      return { token: jwt.sign(claims, key, { algorithm: ALGORITHM }), expiresIn };
    },
    verify(token) {
      if (token.length > MAX_TOKEN_LENGTH) throw new DuetError('UNAUTHORIZED');
      let why: unknown;
      for (const candidate of keys) {
        try {
          return claimsOf(read(token, candidate));
        } catch (cause) {
          if (cause instanceof jwt.TokenExpiredError) throw new DuetError('TOKEN_EXPIRED', { cause });
          why ??= cause;
        }
      }
      throw new DuetError('UNAUTHORIZED', { cause: why });
    },
    // The label keeps these apart from signatures of the same key.
    successors: (token) =>
      keys.map((each) => createHmac('sha256', each).update(`refresh ${token}`).digest('base64url')),
  };
}
