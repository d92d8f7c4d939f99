/** What tells who somebody is. The law of `ports.ts` holds here as well, but for the codes that are named. */

/** Slow password hashing, off the event loop. */
export interface Passwords {
  hash(password: string): Promise<string>;
  /** False for a wrong password; takes as long when `hash` is undefined (no such account). */
  verify(password: string, hash: string | undefined): Promise<boolean>;
}

/** What a token says. */
export interface Claims {
  user: string;
  session: string;
  expiresAt: number;
}

/** Whom the host application says that somebody is, by a token that it has signed. */
export interface HostIdentity {
  /** Who has issued the token, and what it calls the user for ever: the two together are one user. */
  issuer: string;
  subject: string;
  /** What people call him, as the token has it. */
  name: string | undefined;
  email: string | undefined;
  issuedAt: number;
  expiresAt: number;
}

/** Tokens of the application that Duet is built into, with which its users come in beside Duet's own. */
export interface HostTokens {
  /**
   * @returns undefined for a token that does not say that the host application has issued it
   * @throws DuetError UNAUTHORIZED, TOKEN_EXPIRED; UNAVAILABLE when the key that it needs cannot be had now
   */
  verify(token: string): Promise<HostIdentity | undefined>;
}

export interface Tokens {
  /** @returns a token and how long it is good, in seconds */
  issue(user: string, session: string): { token: string; expiresIn: number };
  /** @throws DuetError UNAUTHORIZED or TOKEN_EXPIRED */
  verify(token: string): Claims;
  /**
   * The secret that follows a refresh token's: the same on every node, and nobody else can tell it. More than one while
   * keys are being changed, the one of the new key first.
   */
  successors(secret: string): string[];
}
