/**
 * Gives the user's token; nothing when nobody is signed in. With `refresh: true` the server has refused the last one:
 * get a new one, or give nothing if that is not possible. May throw while offline: it is asked again.
 */
export type GetToken = (ask: { refresh: boolean }) => Token | Promise<Token>;
type Token = string | undefined | null;

/**
 * The token as connection and REST calls share it: one refresh at a time, whoever asks. One that has failed may have been
 * done all the same, and its answer can be had for seconds only: it comes before the old token is used again.
 */
export function createTokens(getToken: GetToken) {
  let refreshing: Promise<string | undefined> | undefined;
  let isDue = false;
  const ask = async (refresh: boolean) => (await getToken({ refresh })) ?? undefined;
  /** @throws what `getToken` throws */
  function refresh(): Promise<string | undefined> {
    isDue = true;
    refreshing ??= ask(true)
      .then((token) => {
        isDue = false;
        return token;
      })
      .finally(() => {
        refreshing = undefined;
      });
    return refreshing;
  }
  return {
    refresh,
    /** @throws what `getToken` throws */
    get: (): Promise<string | undefined> => (isDue ? refresh() : ask(false)),
  };
}
export type Tokens = ReturnType<typeof createTokens>;

/** Whose a token is. */
export interface Holder {
  /** The same for all tokens of one user, of whichever application. */
  owner: string;
  /** The user's id; undefined where the token does not say it. */
  user?: string;
}

/** `iss` of Duet's own tokens: only in them the holder is named by his id here. */
const ISSUER = 'duet';

/**
 * Whose token it is, read without checking it: only to find what this user has left on the device while there is no
 * network. The server trusts nothing of this.
 */
export function holderOf(token: string): Holder | undefined {
  try {
    const payload = token.split('.')[1] ?? '';
    const claims = JSON.parse(atob(payload.replaceAll('-', '+').replaceAll('_', '/')));
    const { sub, iss } = claims as { sub?: unknown; iss?: unknown };
    if (typeof sub !== 'string') return undefined;
    return iss === ISSUER ? { owner: sub, user: sub } : { owner: sub };
  } catch {
    return undefined; // Not such a token: the server is asked who it is.
  }
}
