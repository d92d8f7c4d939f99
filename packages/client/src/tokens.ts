/**
 * Gives the user's token; nothing when nobody is signed in. With `refresh: true` the server has refused the last one:
 * get a new one, or give nothing if that is not possible. May throw while offline: it is asked again.
 */
export type GetToken = (ask: { refresh: boolean }) => Token | Promise<Token>;
type Token = string | undefined | null;

/** The token as connection and REST calls share it: one refresh at a time, whoever asks. */
export function createTokens(getToken: GetToken) {
  let refreshing: Promise<string | undefined> | undefined;
  const ask = async (refresh: boolean) => (await getToken({ refresh })) ?? undefined;
  return {
    /** @throws what `getToken` throws */
    get: (): Promise<string | undefined> => refreshing ?? ask(false),
    /** @throws what `getToken` throws */
    refresh(): Promise<string | undefined> {
      refreshing ??= ask(true).finally(() => {
        refreshing = undefined;
      });
      return refreshing;
    },
  };
}
export type Tokens = ReturnType<typeof createTokens>;

/**
 * Whose token it is, read without checking it: only to find what this user has left on the device while there is no
 * network. The server trusts nothing of this.
 */
export function userOf(token: string): string | undefined {
  try {
    const payload = token.split('.')[1] ?? '';
    const { sub } = JSON.parse(atob(payload.replaceAll('-', '+').replaceAll('_', '/'))) as { sub?: unknown };
    return typeof sub === 'string' ? sub : undefined;
  } catch {
    return undefined; // Not such a token: the server is asked who it is.
  }
}
