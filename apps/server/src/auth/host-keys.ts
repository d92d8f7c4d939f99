import { DuetError } from '@duet/contract';
import type { Clock } from '@duet/core';
import {
  createRemoteJWKSet,
  decodeProtectedHeader,
  errors,
  type JWTPayload,
  type JWTVerifyOptions,
  jwtVerify,
} from 'jose';

/** How often the host is asked for its keys: for so long one that it has taken back is still good. */
const ASK_EVERY_MS = 5 * 60_000;
/** However many tokens name keys that nobody knows, the host is not asked more often than this. */
const COOLDOWN_MS = 10_000;
const TIMEOUT_MS = 5_000;
const RETRY_MS = 1_000;

export interface HostKeysOptions {
  url: URL;
  clock: Clock;
  /** The host could not be asked. */
  failed: (error: unknown) => void;
}

/** The public keys of the host application. */
export interface HostKeys {
  /**
   * What a token says that the key which it names has signed; of one that names none, any key of its algorithm.
   * @throws JOSEError when there is none, or it is not good by these options; DuetError UNAVAILABLE when that cannot be
   * known now
   */
  verify(token: string, options: JWTVerifyOptions): Promise<JWTPayload>;
  close(): void;
}

/**
 * Keys stay good while the host cannot be asked, and nobody waits for one that does not answer, but those who come before its
 * first answer. The library fetches, reads and chooses; when it does so is decided here, for its own way is to ask a host that
 * fails at each token, and to let go of keys whose time is over.
 */
export function createHostKeys({ url, clock, failed }: HostKeysOptions): HostKeys {
  const keys = createRemoteJWKSet(url, {
    cacheMaxAge: Number.POSITIVE_INFINITY,
    cooldownDuration: Number.POSITIVE_INFINITY,
    timeoutDuration: TIMEOUT_MS,
  });
  let state: 'asked for' | 'known' | 'out of reach' = 'asked for';
  let hasKeys = false;
  let mayAskAt = 0;
  let asking: Promise<void> | undefined;

  async function ask(): Promise<void> {
    mayAskAt = clock.elapsed() + COOLDOWN_MS;
    try {
      await keys.reload();
      state = 'known';
      hasKeys = true;
    } catch (error) {
      state = 'out of reach';
      failed(error);
    } finally {
      asking = undefined;
    }
  }
  const askSoon = (): Promise<void> => (asking ??= ask());

  /** Asks if that may be now. @throws DuetError UNAVAILABLE when the host is out of reach */
  async function askAgain(): Promise<void> {
    const mayAsk = asking !== undefined || clock.elapsed() >= mayAskAt;
    const answer = mayAsk ? askSoon() : undefined;
    if (state !== 'out of reach') await answer;
    if (state === 'out of reach') throw new DuetError('UNAVAILABLE', { retryAfterMs: RETRY_MS });
  }

  async function verify(token: string, options: JWTVerifyOptions): Promise<JWTPayload> {
    try {
      return (await jwtVerify(token, keys, options)).payload;
    } catch (error) {
      if (!(error instanceof errors.JWKSMultipleMatchingKeys)) throw error;
      for await (const key of error) {
        const { payload } = (await jwtVerify(token, key, options).catch(unlessUnsigned)) ?? {};
        if (payload) return payload;
      }
      throw new errors.JWSSignatureVerificationFailed();
    }
  }

  void askSoon();
  const stop = clock.every(ASK_EVERY_MS, () => void askSoon());

  return {
    async verify(token, options) {
      if (!hasKeys) await askAgain();
      try {
        return await verify(token, options);
      } catch (error) {
        if (!mayBeOfNewKey(token, error)) throw error;
        await askAgain();
        return verify(token, options);
      }
    },
    close: stop,
  };
}

/** Another key may have signed it. */
function unlessUnsigned(error: unknown): undefined {
  if (!(error instanceof errors.JWSSignatureVerificationFailed)) throw error;
}

/** Whether the key is none of those that are known; by its signature alone that is said of a token that names none. */
const mayBeOfNewKey = (token: string, error: unknown): boolean =>
  error instanceof errors.JWKSNoMatchingKey ||
  (error instanceof errors.JWSSignatureVerificationFailed && decodeProtectedHeader(token).kid === undefined);
