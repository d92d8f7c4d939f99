import { createApi, type SignedIn } from './api.ts';
import { errorTable, toDuetError } from './errors.ts';
import { backoff, elapsed, type Runtime, systemRuntime } from './runtime.ts';
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
  runtime?: Runtime;
}

/**
 * Who is signed in on this device. From the first token on it is for one user, until `begin` or `end`: when somebody else
 * signs in in another tab, that is not his to use or to end.
 */
export interface Session {
  /** Keeps what `register` or `login` has answered, on the device or, while that does not take it, in memory. */
  begin(given: SignedIn): Promise<void>;
  /** For `createChat` and `createApi`; refreshes the token, and gives nothing once that is refused. */
  getToken: GetToken;
  /** Whether its user is signed in here no longer: he has signed out, or somebody else in, in whichever tab. */
  isOver(): Promise<boolean>;
  /** Signs out on this device, and at the server if it can be reached. Throws at last what the device does. */
  end(): Promise<void>;
}

/** A refresh is asked for once more after this time at the latest, after a failure sooner, and in all for so long. */
const ASK_AGAIN_MS = 3_000;
const FIRST_RETRY_MS = 1_000;
const ASK_WITHIN_MS = 8_000;

/**
 * Keeps the tokens of whoever is signed in on this device, and refreshes them. Tabs share it: one that is asked for a new
 * token takes the one that another tab has got meanwhile, and the server answers two that refresh at once alike.
 */
export function createSession({ url, store, key = 'duet.session', runtime = systemRuntime }: SessionOptions): Session {
  const { refresh: ask } = createApi({ url, runtime });
  let last: string | undefined;
  /** Whom it is for. */
  let owner: string | undefined;
  /** The next pair, until the device has taken it: it stands for the one of this refresh token, or none, that is there. */
  let next: { pair: SignedIn; insteadOf: string | undefined } | undefined;

  /** The refresh token of a session that is over, which the device does not forget. */
  let over: string | undefined;

  const keep = async ({ token, refreshToken }: SignedIn) => store.setItem(key, JSON.stringify({ token, refreshToken }));
  async function onDevice(): Promise<SignedIn | undefined> {
    const text = await store.getItem(key);
    const pair = text === null ? undefined : (JSON.parse(text) as SignedIn);
    return pair?.refreshToken === over ? undefined : pair;
  }
  async function forget(): Promise<void> {
    next = undefined;
    try {
      await store.removeItem(key);
    } catch (thrown) {
      over = (await onDevice())?.refreshToken ?? over;
      throw thrown;
    }
  }
  async function kept(): Promise<SignedIn | undefined> {
    const here = await onDevice();
    const mine = next;
    if (!mine) return here;
    // While it was asked for, another tab may have got the next pair, or somebody may have signed out or in: that stands.
    const isTaken =
      here?.refreshToken !== mine.insteadOf ||
      (await keep(mine.pair).then(
        () => true,
        () => false,
      ));
    if (isTaken && next === mine) next = undefined;
    return here?.refreshToken === mine.insteadOf ? mine.pair : here;
  }
  async function mine(): Promise<SignedIn | undefined> {
    const here = await kept();
    const holder = here && holderOf(here.token)?.owner;
    owner ??= holder;
    return holder === owner ? here : undefined;
  }
  async function begin(given: SignedIn): Promise<void> {
    owner = holderOf(given.token)?.owner;
    next = undefined;
    await keep(given)
      // Nobody else is signed in here any more, and another start shall not take this user for him.
      .catch(async () => {
        await store.removeItem(key);
        await keep(given);
      })
      .catch(async () => {
        next = { pair: given, insteadOf: (await onDevice())?.refreshToken };
      });
  }

  /**
   * An answer that got lost, or is late, is asked for again soon: the server answers a repeat alike for 10 s only, and
   * takes a later one for a theft, which ends the session; a device that was suspended meanwhile waits for what is under
   * way. The first answer counts, whichever it is of: on a slow network it is that of the first one. (Hedged requests:
   * Dean and Barroso, "The Tail at Scale", 2013.) What fails at once is asked again with pauses: a network that changes
   * is back in seconds. Only that the session is over all nodes say alike: what one of them cannot read another may, and
   * what is under way may succeed where a later ask is refused.
   * @param isVain whether it need not be asked for any more
   * @returns undefined when that is so
   */
  function askNext(used: { refreshToken: string }, isVain: () => Promise<boolean>): Promise<SignedIn | undefined> {
    const began = runtime.now();
    return new Promise((resolve, reject) => {
      let isOver = false;
      let failures = 0;
      let underWay = 0;
      let problem: unknown;
      let cancel = () => {};
      function end(tell: () => void): void {
        isOver = true;
        cancel();
        tell();
      }
      function later(ms: number): void {
        cancel();
        cancel = runtime.after(ms, again);
      }
      function once(): void {
        underWay += 1;
        later(ASK_AGAIN_MS);
        ask(used).then(
          (given) => end(() => resolve(given)),
          (thrown: unknown) => {
            underWay -= 1;
            problem = thrown;
            const pauseMs = Math.min(backoff(failures, FIRST_RETRY_MS, runtime.random), ASK_AGAIN_MS);
            failures += 1;
            if (isOver) return;
            const { code } = toDuetError(thrown);
            const isLeft = elapsed(runtime, began) + pauseMs < ASK_WITHIN_MS;
            if (code === 'SESSION_REVOKED') end(() => reject(thrown));
            else if (isLeft && (code === 'UNAUTHORIZED' || errorTable[code].retry === 'same')) later(pauseMs);
            else giveUp();
          },
        );
      }
      function giveUp(): void {
        cancel();
        if (underWay === 0) end(() => reject(problem));
      }
      async function again(): Promise<void> {
        if (await isVain().catch(() => false)) end(() => resolve(undefined));
        else if (elapsed(runtime, began) >= ASK_WITHIN_MS) giveUp();
        else if (!isOver) once();
      }
      once();
    });
  }

  async function refresh({ refreshToken }: SignedIn): Promise<string | undefined> {
    const isVain = async () => (await kept())?.refreshToken !== refreshToken;
    try {
      const pair = await askNext({ refreshToken }, isVain);
      // Somebody else may have signed in meanwhile.
      if (pair && holderOf(pair.token)?.owner === owner)
        next = { pair, insteadOf: next ? next.insteadOf : refreshToken };
    } catch (thrown) {
      if (errorTable[toDuetError(thrown).code].retry !== 'reauth') throw thrown;
      if (!(await isVain())) await forget();
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
      const forgotten = forget();
      // A token that has expired ends nothing: its refresh token would stay good, for whoever has a copy of it.
      const getToken: GetToken = async ({ refresh }) =>
        refresh ? (await askNext(here, async () => false))?.token : here.token;
      // At the server in any case: of what stays on the device nobody can make anything then.
      await Promise.allSettled([forgotten, createApi({ url, getToken, runtime }).logout()]);
      await forgotten;
    },
  };
}
