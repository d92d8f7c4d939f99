import { createSecretKey } from 'node:crypto';
import { DuetError } from '@duet/contract';
import type { Tokens } from '@duet/core';
import jwt from 'jsonwebtoken';

const MAX_TOKEN_LENGTH = 4_096;
const ALGORITHM = 'HS256';

/** JSON Web Tokens with one pinned algorithm, so that the token cannot choose how it is checked (RFC 8725, 3.1). */
export function createTokens(options: { secret: string; expiresIn: string | number }): Tokens {
  // As a key object: of a string the library finds out each time what kind of key it is, by trying.
  const key = createSecretKey(options.secret, 'utf8');
  const expiresIn = options.expiresIn as jwt.SignOptions['expiresIn'] & {};
  return {
    issue: (user) => jwt.sign({}, key, { algorithm: ALGORITHM, subject: user, expiresIn }),
    verify(token) {
      if (token.length > MAX_TOKEN_LENGTH) throw new DuetError('UNAUTHORIZED');
      try {
        const { sub } = jwt.verify(token, key, { algorithms: [ALGORITHM] }) as jwt.JwtPayload;
        if (typeof sub === 'string') return sub;
      } catch (cause) {
        throw new DuetError(cause instanceof jwt.TokenExpiredError ? 'TOKEN_EXPIRED' : 'UNAUTHORIZED', { cause });
      }
      throw new DuetError('UNAUTHORIZED');
    },
  };
}
