import { DuetError, routes, toDuetError, validate } from '@duet/contract';
import { isDisabled, locked, unlocked } from './account-lock.ts';
import { hostSessionOf, tokensAfter } from './host-users.ts';
import { newUser, normalise } from './names.ts';
import { pages } from './pages.ts';
import type { Clock, Entry, InboxRow, Store, UserRecord } from './ports.ts';
import { forgetPrivacy } from './privacy.ts';
import { sessionIdsOf } from './sessions.ts';
import { deletedFields, isDeleted, iso, sessionView } from './views.ts';

const ID = /^[0-9a-f]{24}$/;
const PAGE = 200;
/**
 * Nodes ask the store more often than this what has ended, and close its sockets; then nobody writes any more. Where the
 * store is slow it may be 24 s, until the answer is there and a send that was under way: repeating the deletion helps.
 */
const KNOWN_EVERYWHERE_MS = 12_000;

function stateOf(user: UserRecord): 'active' | 'disabled' | 'deleted' {
  if (isDeleted(user)) return 'deleted';
  return isDisabled(user) ? 'disabled' : 'active';
}

const summaryOf = (user: UserRecord) => ({
  id: user.id,
  username: user.username,
  email: user.email,
  state: stateOf(user),
  createdAt: iso(user.createdAt),
  lastSeen: iso(user.lastSeen),
});
type UserSummary = ReturnType<typeof summaryOf>;

const messageOf = ({ id, seq, sender, receiver, content, messageType, createdAt, unreadable }: Entry) => ({
  _id: id,
  seq,
  sender,
  receiver,
  content,
  messageType,
  createdAt: iso(createdAt),
  ...(unreadable ? { unreadable } : {}),
});

/** @throws DuetError with what went wrong as its cause, and a sentence that says what is left to be done */
async function orSay<T>(message: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    throw new DuetError(toDuetError(cause).code, { message, cause });
  }
}

export interface UserAdminDeps {
  store: Pick<Store, 'users' | 'sessions' | 'privacy' | 'conversations' | 'messages' | 'dataKeys' | 'admin'>;
  clock: Pick<Clock, 'now'>;
  pause: (ms: number) => Promise<void>;
  newId: () => string;
  /** One that nobody guesses. */
  newPassword: () => string;
  hash: (password: string) => Promise<string>;
}

/** What operators do with people, beside running nodes. */
export function createUserAdmin({ store, clock, pause, newId, newPassword, hash }: UserAdminDeps) {
  const { users, sessions, privacy, conversations, messages, dataKeys, admin } = store;

  async function byName(name: string): Promise<UserRecord | undefined> {
    const usernameKey = normalise(name);
    const [first] = await users.list({ prefix: usernameKey, limit: 1, except: '' });
    return first?.usernameKey === usernameKey ? first : undefined;
  }

  /** @param who id, email or name. @throws DuetError NOT_FOUND */
  async function find(who: string): Promise<UserRecord> {
    const [byId] = ID.test(who) ? await users.get([who]) : [];
    const user = byId ?? (who.includes('@') ? await users.byEmail(normalise(who)) : await byName(who));
    if (!user) throw new DuetError('NOT_FOUND', { message: `There is no user ${who}` });
    return user;
  }

  async function findLiving(who: string): Promise<UserRecord> {
    const user = await find(who);
    if (isDeleted(user)) throw new DuetError('NOT_FOUND', { message: `The user ${who} has been deleted` });
    return user;
  }

  async function* rowsOf(user: string): AsyncGenerator<InboxRow> {
    const read = (after: string) => conversations.walk({ user, after, limit: PAGE });
    for await (const page of pages('', read, ({ conversation }) => conversation)) yield* page;
  }

  /** All entries, or those that are for `viewer`: what is hidden from him was never for him. */
  async function* entriesOf(of: { conversation: string; viewer?: string }): AsyncGenerator<Entry> {
    const read = (after: number) => messages.page({ ...of, after, limit: PAGE });
    for await (const page of pages(0, read, ({ seq }) => seq)) yield* page;
  }

  /**
   * Ends all sessions of a user, and makes void what the host application has signed for him until now; nodes close the
   * sockets within seconds. @returns how many sessions there were
   */
  async function endSessions(user: UserRecord): Promise<number> {
    const ofHost = hostSessionOf(user);
    const endOf = (id: string) => ({ user: user.id, id });
    // Before it has another name, or what failed half-way could not be repeated; and after, for who came in between.
    await sessions.end([endOf(ofHost)]);
    await users.update(user.id, tokensAfter(user, clock.now()));
    const ids = await sessionIdsOf(sessions, user.id);
    await sessions.end([...ids, ofHost].map(endOf));
    return ids.length;
  }

  /** Over the hash that was read: a password that is changed at this moment is neither kept nor brought back. */
  async function changeHash(who: string, change: (user: UserRecord) => string): Promise<UserRecord> {
    for (;;) {
      const user = await findLiving(who);
      const passwordHash = change(user);
      await users.update(user.id, { passwordHash }, { passwordHash: user.passwordHash });
      const [now] = await users.get([user.id]);
      if (now?.passwordHash === passwordHash) return now;
    }
  }

  /** Whether nothing is left of what the people of a conversation wrote, and whoever of them is there sees nothing of it. */
  async function isOver({ conversation, peer }: InboxRow): Promise<boolean> {
    const [other] = await users.get([peer]);
    // A peer who is there still reads and writes, unless he had blocked from the first message on: then nothing leads him
    // there, and nothing would when he is deleted. What one who went has left is kept until it is emptied, too.
    const isThere = other !== undefined && !isDeleted(other);
    for await (const { content, unreadable, hidden } of entriesOf({ conversation })) {
      if (content !== '' || unreadable || (isThere && !hidden)) return false;
    }
    return true;
  }

  /**
   * Empties what a deleted user has written. Of a conversation in which then nothing is left to read the key goes as
   * well, so that nobody opens what is left of the texts on a disk (crypto-shredding).
   */
  async function erase(user: string): Promise<{ emptied: number; shredded: number }> {
    const done = { emptied: 0, shredded: 0 };
    for await (const row of rowsOf(user)) {
      done.emptied += await admin.erase({ conversation: row.conversation, sender: user });
      if (!(await isOver(row))) continue;
      await dataKeys.remove(row.conversation);
      done.shredded += 1;
    }
    return done;
  }

  async function* conversationJson(row: InboxRow): AsyncGenerator<string> {
    const [peer] = await users.get([row.peer]);
    const head = { peer: { _id: row.peer, username: peer?.username ?? '' }, read: row.read.n };
    yield `${JSON.stringify(head).slice(0, -1)},"messages":[`;
    let separator = '\n';
    for await (const entry of entriesOf({ conversation: row.conversation, viewer: row.user })) {
      yield separator + JSON.stringify(messageOf(entry));
      separator = ',\n';
    }
    yield ']}';
  }

  return {
    /** By name, at most `limit`, those whose name begins with `prefix`. Deleted ones are in no list. */
    async list({ prefix = '', limit }: { prefix?: string; limit: number }): Promise<UserSummary[]> {
      const found: UserRecord[] = [];
      while (found.length < limit) {
        const after = found.at(-1)?.usernameKey ?? '';
        const size = Math.min(PAGE, limit - found.length);
        const page = await users.list({ prefix: normalise(prefix), after, limit: size, except: '' });
        if (page.length === 0) break;
        found.push(...page);
      }
      return found.map(summaryOf);
    },

    /** @throws DuetError NOT_FOUND */
    async show(who: string) {
      const user = await find(who);
      let count = 0;
      for await (const _ of rowsOf(user.id)) count += 1;
      const [signedIn, unread] = await Promise.all([sessions.list(user.id), conversations.unread(user.id)]);
      return { ...summaryOf(user), conversations: count, unread, sessions: signedIn.length };
    },

    /**
     * Makes an account, also where registration is closed.
     * @returns its password as well, which is kept nowhere
     * @throws DuetError VALIDATION_ERROR; CONFLICT that names the field whose value is taken
     */
    async create(names: { username: string; email: string }): Promise<UserSummary & { password: string }> {
      const password = newPassword();
      const { username, email } = validate(routes.register.body, { ...names, password });
      const now = clock.now();
      const user = newUser({ id: newId(), username, email, passwordHash: await hash(password) }, now);
      await users.create(user);
      return { ...summaryOf(user), password };
    },

    /**
     * Gives an account a new password and ends its sessions. One that is disabled stays so.
     * @returns the password, which is kept nowhere
     * @throws DuetError FORBIDDEN for a user of the host application, who has none; NOT_FOUND
     */
    async password(who: string): Promise<UserSummary & { password: string }> {
      const password = newPassword();
      const passwordHash = await hash(password);
      const found = await findLiving(who);
      if (unlocked(found) === '')
        throw new DuetError('FORBIDDEN', {
          message: `The host application signs ${who} in: there is no password here`,
        });
      // First the sessions, so that a failure there leaves a password that somebody knows. Once more for what began meanwhile.
      await orSay(`${who} has the password from before. Repeat it`, () => endSessions(found));
      return orSay(`${who} may have a password by now that nobody knows. Repeat it`, async () => {
        const user = await changeHash(found.id, (now) => (isDisabled(now) ? locked({ passwordHash }) : passwordHash));
        await endSessions(user);
        return { ...summaryOf(user), password };
      });
    },

    /** Nobody signs in to the account, and who is signed in is out; all that it has stays. */
    async disable(who: string): Promise<UserSummary> {
      const user = await changeHash(who, locked);
      await endSessions(user);
      return summaryOf(user);
    },

    /** The account as it was before it was disabled; its people have to sign in. */
    async enable(who: string): Promise<UserSummary> {
      return summaryOf(await changeHash(who, unlocked));
    },

    /**
     * Deletes an account: name and email are free again, others keep the conversations. With `messages`, what it has
     * written is emptied as well, once no node lets it write any more; the keys of conversations whose other person had
     * gone in the same way are deleted. Safe to repeat, by its id: nothing else leads to it once its name is free.
     * @param options.begins hears the id before anything is done
     * @returns how many messages were emptied, and of how many conversations nothing is left
     */
    async delete(who: string, options: { messages: boolean; begins?: (id: string) => void }) {
      const user = await find(who);
      const { id } = user;
      const fields = deletedFields(id);
      options.begins?.(id);
      return orSay(`The deletion of ${id} is not finished. Repeat it with this id`, async () => {
        await users.update(id, fields);
        await forgetPrivacy(privacy, id);
        await endSessions(user);
        // With his own id: everything of him, also what begins at this moment.
        await sessions.end([{ user: id, id }]);
        if (options.messages) await pause(KNOWN_EVERYWHERE_MS);
        const erased = options.messages ? await erase(id) : { emptied: 0, shredded: 0 };
        return { ...summaryOf({ ...user, ...fields }), ...erased };
      });
    },

    /** All that is stored about somebody, as the text of one JSON document, in pieces. */
    async *export(who: string): AsyncGenerator<string> {
      const user = await find(who);
      const devices = (await sessions.list(user.id)).map(sessionView);
      const [kept] = await privacy.get([user.id]);
      const blocked = (kept?.blocked ?? []).map(({ user: id, at }) => ({ _id: id, since: iso(at) }));
      const head = { profile: summaryOf(user), sessions: devices, hides: kept?.hides ?? [], blocked };
      yield `${JSON.stringify(head).slice(0, -1)},\n"conversations":[`;
      let separator = '\n';
      for await (const row of rowsOf(user.id)) {
        yield separator;
        yield* conversationJson(row);
        separator = ',\n';
      }
      yield ']}\n';
    },

    /** Where somebody is signed in. */
    async sessions(who: string) {
      const { id: user } = await find(who);
      return (await sessions.list(user)).map((session) => ({
        id: session.id,
        ...sessionView(session),
        expiresAt: iso(session.expiresAt),
      }));
    },

    /** Signs somebody out everywhere, or ends one session. @returns how many sessions there were. @throws DuetError NOT_FOUND */
    async revoke(who: string, id?: string): Promise<number> {
      const found = await find(who);
      if (id === undefined) return endSessions(found);
      const { id: user } = found;
      if ((await sessions.get([{ user, id }])).length === 0)
        throw new DuetError('NOT_FOUND', { message: `There is no session ${id}` });
      await sessions.end([{ user, id }]);
      return 1;
    },
  };
}
