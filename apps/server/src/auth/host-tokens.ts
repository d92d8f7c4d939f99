import { DuetError } from '@duet/contract';
import type { Clock, HostIdentity, HostTokens } from '@duet/core';
import { decodeJwt, errors, type JWTPayload } from 'jose';
import { createHostKeys } from './host-keys.ts';
import { MAX_TOKEN_LENGTH } from './tokens.ts';

/** Keys whose public half is all that Duet has, so that nobody can sign with what it knows. */
const ALGORITHMS = [
  'RS256',
  'RS384',
  'RS512',
  'PS256',
  'PS384',
  'PS512',
  'ES256',
  'ES384',
  'ES512',
  'EdDSA',
  'Ed25519',
];
/** By how much the host's clock may be ahead. */
const TOLERANCE_S = 5;
/** Beyond it there is no date, as which the end is told. */
const LAST_DATE_MS = 8_640_000_000_000_000;
/** The longest subject, in characters (OpenID Connect Core, 2). */
const MAX_SUBJECT = 255;

/** How tokens of the host application are known. */
export interface HostConfig {
  jwksUrl: URL;
  issuer: string;
  audience: string;
  /** Claims that hold the name and the email of the user; those that come first count. */
  nameClaims: string[];
  emailClaim: string;
}

export interface HostTokensOptions {
  host: HostConfig;
  clock: Clock;
  /** Its keys could not be asked for. */
  failed: (error: unknown) => void;
}

/** Who says that he has issued a token, which is not known before its signature is; undefined also when it is no token. */
function issuerOf(token: string): string | undefined {
  try {
    return decodeJwt(token).iss;
  } catch {
    return undefined;
  }
}

const text = (value: unknown): string | undefined => (typeof value === 'string' ? value : undefined);

/** Tokens that an identity provider signs with keys which it publishes as a JSON Web Key Set (RFC 7517, RFC 8725). */
export function createHostTokens({ host, clock, failed }: HostTokensOptions): HostTokens & { close(): void } {
  const { jwksUrl, issuer, audience, nameClaims, emailClaim } = host;
  const keys = createHostKeys({ url: jwksUrl, clock, failed });

  function identityOf(claims: JWTPayload): HostIdentity {
    const { iat = 0, exp = 0 } = claims;
    const now = clock.now();
    const subject = text(claims.sub);
    if (!subject || subject.length > MAX_SUBJECT || iat * 1_000 > now + TOLERANCE_S * 1_000)
      throw new DuetError('UNAUTHORIZED');
    // The tolerance is for what is not yet, not for what is over.
    if (exp * 1_000 <= now) throw new DuetError('TOKEN_EXPIRED');
    return {
      issuer,
      subject,
      name: nameClaims.map((claim) => text(claims[claim])).find((name) => name?.trim()),
      // Whoever has not shown the host that it is his must not appear under it.
      email: String(claims.email_verified) === 'false' ? undefined : text(claims[emailClaim]),
      issuedAt: iat * 1_000,
      expiresAt: Math.min(exp * 1_000, LAST_DATE_MS),
    };
  }

  async function read(token: string): Promise<JWTPayload> {
    try {
      return await keys.verify(token, {
        algorithms: ALGORITHMS,
        issuer,
        audience,
        requiredClaims: ['sub', 'iat', 'exp'],
        clockTolerance: TOLERANCE_S,
        currentDate: new Date(clock.now()),
      });
    } catch (cause) {
      if (cause instanceof DuetError) throw cause;
      throw new DuetError(cause instanceof errors.JWTExpired ? 'TOKEN_EXPIRED' : 'UNAUTHORIZED', { cause });
    }
  }

  return {
    async verify(token) {
      if (token.length > MAX_TOKEN_LENGTH || issuerOf(token) !== issuer) return undefined;
      return identityOf(await read(token));
    },
    close: keys.close,
  };
}
