import { createApi, type SignedIn } from './api.ts';
import { errorTable, toDuetError } from './errors.ts';
import { type GetToken, holderOf } from './tokens.ts';

/** Where a device keeps who is signed in: localStorage, or React Native's AsyncStorage or secure store. */
export interface SessionStore {
  getItem(key: string): string | null | Promise<string | null>;
  setItem(key: string, value: string): unknown;
  removeItem(key: string): unknown;
}

export interface SessionOptions {
  /** Where the server is, such as `https://chat.example.org`. */
  url: string;
  store: SessionStore;
  key?: string;
}

/**
 * Who is signed in on this device. From the first token on it is for one user, until `begin` or `end`: when somebody else
 * signs in in another tab, that is not his to use or to end.
 */
export interface Session {
  /** Keeps what `register` or `login` has answered. */
  begin(given: SignedIn): Promise<void>;
  /** For `createChat` and `createApi`; refreshes the token, and gives nothing once that is refused. */
  getToken: GetToken;
  /** Whether its user is signed in here no longer: he has signed out, or somebody else in, in whichever tab. */
  isOver(): Promise<boolean>;
  /** Signs out on this device, and at the server if it can be reached. */
  end(): Promise<void>;
}

/** How often a refresh is asked for, and how long after one another at most. */
const TRIES = 3;
const ASK_AGAIN_MS = 3_000;

/**
 * Keeps the tokens of whoever is signed in on this device, and refreshes them. Tabs share it: one that is asked for a new
 * token takes the one that another tab has got meanwhile, and the server answers two that refresh at once alike.
 */
export function createSession({ url, store, key = 'duet.session' }: SessionOptions): Session {
  let last: string | undefined;
  /** Whom it is for. */
  let owner: string | undefined;
  const kept = async (): Promise<SignedIn | undefined> => {
    const text = await store.getItem(key);
    return text === null ? undefined : (JSON.parse(text) as SignedIn);
  };
  async function mine(): Promise<SignedIn | undefined> {
    const here = await kept();
    const holder = here && holderOf(here.token)?.owner;
    owner ??= holder;
    return holder === owner ? here : undefined;
  }
  async function begin({ token, refreshToken }: SignedIn): Promise<void> {
    owner = holderOf(token)?.owner;
    await store.setItem(key, JSON.stringify({ token, refreshToken }));
  }

  /**
   * An answer that got lost, or is late, is asked for again soon: the server answers a repeat alike for 10 s only, and
   * takes a later one for a theft, which ends the session. The first answer counts, whichever it is of: on a slow network
   * it is that of the first one. (Hedged requests: Dean and Barroso, "The Tail at Scale", 2013.)
   */
  function askNext(used: { refreshToken: string }): Promise<SignedIn> {
    const { refresh: ask } = createApi({ url });
    return new Promise((resolve, reject) => {
      let left = TRIES;
      let underWay = 0;
      let timer: ReturnType<typeof setTimeout> | undefined;
      function next(): void {
        clearTimeout(timer);
        left -= 1;
        underWay += 1;
        if (left > 0) timer = setTimeout(next, ASK_AGAIN_MS);
        ask(used).then(
          (given) => {
            clearTimeout(timer);
            resolve(given);
          },
          (thrown: unknown) => {
            underWay -= 1;
            const isLost = toDuetError(thrown).code === 'UNAVAILABLE';
            if (isLost && left > 0) return next();
            if (isLost && underWay > 0) return;
            clearTimeout(timer);
            reject(thrown);
          },
        );
      }
      next();
    });
  }

  async function refresh({ refreshToken }: SignedIn): Promise<string | undefined> {
    // While it was asked for, another tab may have got the next pair, or somebody may have signed out or in: that stands.
    const isKept = async () => (await kept())?.refreshToken === refreshToken;
    try {
      const given = await askNext({ refreshToken });
      if (await isKept()) await begin(given);
    } catch (thrown) {
      if (errorTable[toDuetError(thrown).code].retry !== 'reauth') throw thrown;
      if (await isKept()) await store.removeItem(key);
    }
    return (await mine())?.token;
  }

  let refreshing: Promise<string | undefined> | undefined;
  async function getToken(ask: { refresh: boolean }): Promise<string | undefined> {
    if (refreshing) return refreshing;
    const here = await mine();
    if (here && ask.refresh && here.token === last) {
      refreshing ??= refresh(here).finally(() => {
        refreshing = undefined;
      });
      last = await refreshing;
    } else {
      last = here?.token;
    }
    return last;
  }

  return {
    begin,
    getToken,
    isOver: async () => (await mine()) === undefined,
    async end() {
      const here = await mine();
      owner = undefined;
      if (!here) return;
      await store.removeItem(key);
      // A token that has expired ends nothing: its refresh token would stay good, for whoever has a copy of it.
      const getToken: GetToken = async ({ refresh }) => (refresh ? (await askNext(here)).token : here.token);
      await createApi({ url, getToken })
        .logout()
        .catch(() => {});
    },
  };
}
