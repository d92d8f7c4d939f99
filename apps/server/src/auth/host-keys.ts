import { DuetError } from '@duet/contract';
import type { Clock } from '@duet/core';
import { createRemoteJWKSet, errors, type JWTVerifyGetKey } from 'jose';

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
  /** The key that a token names. @throws JOSEError when there is none; DuetError UNAVAILABLE when that cannot be known now */
  find: JWTVerifyGetKey;
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

  void askSoon();
  const stop = clock.every(ASK_EVERY_MS, () => void askSoon());

  return {
    async find(header, token) {
      if (!hasKeys) await askAgain();
      try {
        return await keys(header, token);
      } catch (error) {
        if (!(error instanceof errors.JWKSNoMatchingKey)) throw error;
        await askAgain();
        return keys(header, token);
      }
    },
    close: stop,
  };
}
