import { createAccess } from './access.ts';
import { createAccounts } from './accounts.ts';
import type { HostTokens, Passwords, Tokens } from './auth-ports.ts';
import { createConversations } from './conversations.ts';
import { createGroupCommit } from './group-commit.ts';
import { createMessages } from './messages.ts';
import { createPeople } from './people.ts';
import type { Clock, Cluster, Fanout, Limiter, Store } from './ports.ts';
import { createPresenceRules } from './presence.ts';
import { createPrivacy, createSights } from './privacy.ts';
import { createReceipts } from './receipts.ts';
import { createSessions } from './sessions.ts';
import { createSync } from './sync.ts';

export type * from './admin-ports.ts';
export type * from './auth-ports.ts';
export { type Cache, createCache } from './cache.ts';
export {
  conversationOf,
  lastShown,
  messageId,
  nextEntry,
  raised,
  sentBy,
  seqOf,
  UNMARKED,
} from './conversation.ts';
export { COMMIT_PATIENCE_MS, createGroupCommit, MAX_GROUP, SomeUnfit } from './group-commit.ts';
export { createInboxAdmin, type Finding } from './inbox-admin.ts';
export { createMemoryLimiter } from './memory-limiter.ts';
export type { Caller } from './messages.ts';
export type * from './ports.ts';
export { BEAT_MS, LEASE_MS, PRESENCE_GRACE_MS } from './presence.ts';
export { StoreReplaced } from './store-replaced.ts';
export { perTurn } from './turn.ts';
export { createUserAdmin } from './user-admin.ts';
export { takeLate } from './waiting.ts';

interface CoreDeps {
  store: Store;
  cluster: Pick<Cluster, 'presence' | 'limiter'>;
  /** Limits what people do. */
  limiter: Limiter;
  fanout: Fanout;
  clock: Clock;
  passwords: Passwords;
  tokens: Tokens;
  /** undefined: there is no host application. */
  hostTokens?: HostTokens | undefined;
  /** Whether people make accounts by themselves. */
  registration: boolean;
  /** A new id of a user or a session. */
  newId: () => string;
  /** 32 random bytes in base64url. */
  newSecret: () => string;
  newTempId: () => string;
  /** How long a session lives without being used; not shorter than a token. */
  sessionIdleMs: number;
  presenceBudget: number;
  observe: {
    /** A group was committed: messages in it, seconds it took. */
    committed: (size: number, seconds: number) => void;
    /** A message was stored that had not been stored before. */
    accepted: () => void;
    /** A send was answered with what had been stored before. */
    repeated: () => void;
    /** A sync handed out messages. */
    synced: (messages: number) => void;
    presenceChanged: (isOnline: boolean) => void;
    /** Work that nobody waits for has failed. */
    failed: (error: unknown) => void;
  };
}

/** The rules of Duet, wired to one deployment's store and cluster. */
export function createCore(deps: CoreDeps) {
  const { store, cluster, fanout, clock } = deps;
  const { users, messages, conversations, receipts } = store;
  const people = createPeople({ users, presence: cluster.presence, clock });
  const sights = createSights({ store: store.privacy, clock });
  const access = createAccess({ people, sights, clock });
  const commit = createGroupCommit(messages.append, { clock, committed: deps.observe.committed });
  const commitReceipts = createGroupCommit(receipts.advance, { clock });
  const sessions = createSessions({
    sessions: store.sessions,
    tokens: deps.tokens,
    fanout,
    clock,
    newId: deps.newId,
    newSecret: deps.newSecret,
    idleMs: deps.sessionIdleMs,
    failed: deps.observe.failed,
  });
  sessions.onEnded(({ user, id }) => {
    if (id === user) people.forget(user);
  });
  const presence = createPresenceRules({
    port: cluster.presence,
    users,
    conversations,
    people,
    sights,
    fanout,
    clock,
    limiter: cluster.limiter,
    budget: deps.presenceBudget,
    changed: deps.observe.presenceChanged,
    failed: deps.observe.failed,
  });
  return {
    accounts: createAccounts({
      ...deps,
      hostTokens: deps.hostTokens,
      users,
      privacy: store.privacy,
      people,
      sights,
      sessions,
      appears: presence.appears,
    }),
    sessions,
    privacy: createPrivacy({
      store: store.privacy,
      sights,
      users,
      people,
      fanout,
      clock,
      appears: presence.appears,
    }),
    messages: createMessages({
      access,
      people,
      sights,
      commit,
      messages,
      conversations,
      fanout,
      clock,
      newTempId: deps.newTempId,
      accepted: deps.observe.accepted,
      repeated: deps.observe.repeated,
    }),
    receipts: createReceipts({ access, sights, messages, conversations, commit: commitReceipts, fanout, clock }),
    conversations: createConversations({ users, conversations, messages, people, sights }),
    sync: createSync({ conversations, messages, people, sights, synced: deps.observe.synced }),
    presence,
  };
}
export type Core = ReturnType<typeof createCore>;
