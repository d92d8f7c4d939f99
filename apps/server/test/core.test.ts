import { randomUUID } from 'node:crypto';
import { createLocalCluster, createPresenceTable } from '@duet/cluster-local';
import { DuetError, type ServerEvent, type ServerEventName } from '@duet/contract';
import {
  BEAT_MS,
  COMMIT_PATIENCE_MS,
  conversationOf,
  createCore,
  createGroupCommit,
  createUserAdmin,
  type Fanout,
  MAX_GROUP,
  messageId,
  PRESENCE_GRACE_MS,
  type Presence,
  type Store,
  seqOf,
} from '@duet/core';
import { createSqliteStore } from '@duet/store-sqlite';
import { createManualClock, eventually } from '@duet/testkit';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { createTokens } from '../src/auth/tokens.ts';

interface Told {
  user: string | 'everyone';
  name: ServerEventName;
  payload: ServerEvent<ServerEventName>;
}

function ofItsOwn() {
  const clock = createManualClock();
  return { clock, cluster: createLocalCluster({ clock }) };
}

/** The rules on the embedded adapters, with a clock that is moved by hand and sockets that only take notes. */
function setUp(presenceBudget = 1_000, prepare: (store: Store) => void = () => {}, { clock, cluster } = ofItsOwn()) {
  const store: Store = createSqliteStore({ file: ':memory:' });
  prepare(store);
  const told: Told[] = [];
  const failures: unknown[] = [];
  const fanout: Fanout = {
    toUser: (user, { name, payload }) => void told.push({ user, name, payload }),
    toWatchers: ({ name, payload }) => void told.push({ user: 'everyone', name, payload }),
    toRoom: () => {},
    toLocal: () => {},
  };
  let ids = 0;
  const core = createCore({
    store,
    cluster,
    limiter: cluster.limiter,
    fanout,
    clock,
    presenceBudget,
    passwords: {
      hash: async (password) => `hash of ${password}`,
      verify: async (password, hash) => hash === `hash of ${password}`,
    },
    registration: true,
    tokens: createTokens({ secret: 's'.repeat(32), expiresIn: 3_600, clock }),
    newId: () => (++ids).toString(16).padStart(24, '0'),
    newSecret: () => `${++ids}`.padStart(43, 's'),
    sessionIdleMs: 30 * 24 * 3_600_000,
    newTempId: () => `temp-${++ids}`,
    observe: {
      committed: () => {},
      accepted: () => {},
      repeated: () => {},
      synced: () => {},
      presenceChanged: () => {},
      failed: (error) => failures.push(error),
    },
  });
  const person = async (username: string) =>
    (await core.accounts.register({ username, email: `${username}@example.org`, password: 'password123' }, 'test')).user
      ._id;
  return {
    ...{ clock, store, cluster, core, told, failures, person },
    async [Symbol.asyncDispose]() {
      core.presence.close();
      core.sessions.close();
      await store.close();
    },
  };
}

const newAccounts = { newId: randomUUID, newPassword: randomUUID, hash: async (password: string) => password };
/** Somebody is there with so many sockets. */
const connect = ({ beat }: Presence, count: number) =>
  beat(Array.from({ length: count }, (_, i) => ({ user: 'somebody', socket: `his ${i}` })));
const settled = () => new Promise((resolve) => setImmediate(resolve));

/**
 * What a store says that asks a leader who was replaced: from now on it learns of nothing. Only what is asked for to be
 * sure comes from the new one.
 */
async function fallBehind({ messages, conversations, sessions }: Store, user: string, session: string): Promise<void> {
  const { walk } = conversations;
  const rows = await walk({ user, limit: 10 });
  conversations.walk = async () => rows;
  const { get } = messages;
  const lastSeq = rows[0]?.lastSeq ?? 0;
  messages.get = (places, options) => get(options?.sure ? places : places.filter(({ seq }) => seq <= lastSeq), options);
  const getSessions = sessions.get;
  const old = await getSessions([{ user, id: session }]);
  sessions.get = (keys, options) => (options?.sure ? getSessions(keys, options) : Promise.resolve(old));
}

describe('a leader that was replaced', () => {
  const sessionOf = (refreshToken: string) => refreshToken.split('.')[1] as string;

  test('Y7 nobody is told to forget what is stored', async () => {
    const { core, store, person } = setUp();
    const [a, b] = [await person('a1'), await person('b1')];
    const caller = { user: b, socket: 's' };
    const send = (content: string) =>
      core.messages.send({ user: a, socket: 's' }, { receiverId: b, content, messageType: 'text' });
    await send('one');
    await fallBehind(store, b, a);
    const { message } = await send('two');
    const sync = (seq: number) => core.sync.sync(caller, { conversations: { [a]: seq }, unnamed: 'all', limit: 10 });
    await expect(sync(2)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    expect((await sync(3)).conversations).toMatchObject([{ reset: true, lastSeq: 1 }]);
    const receipt = await core.receipts.read(caller, { messageId: message._id, senderId: a });
    expect(receipt).toMatchObject({ seq: 2 });
  });

  test('Y7 nor what has no row, while what is gone is told', async () => {
    const { core, store, person } = setUp();
    const [a, b, c] = [await person('a1'), await person('b1'), await person('c1')];
    await fallBehind(store, b, a);
    for (const [user, receiverId] of [
      [a, b],
      [b, c],
    ] as const)
      await core.messages.send({ user }, { receiverId, content: 'new', messageType: 'text' });
    const sync = async (conversations: Record<string, number>) => {
      const answer = await core.sync.sync({ user: b }, { conversations, unnamed: 'all', limit: 10 });
      return answer.conversations.map(({ userId, reset }) => ({ userId, reset }));
    };
    expect(await sync({ [a]: 1, [c]: 1 })).toEqual([]);
    expect(await sync({ [a]: 1, [c]: 2 })).toEqual([{ userId: c, reset: true }]);
    const many = Object.fromEntries(Array.from({ length: 100 }, (_, i) => [`${i}`.padStart(24, 'f'), 1]));
    let asked = 0;
    const { get } = store.messages;
    store.messages.get = async (places, options) => {
      asked += places.length;
      return get(places, options);
    };
    expect(await sync(many)).toHaveLength(100);
    expect(asked).toBe(5);
    // One that is there: of what has not been looked for nothing is said.
    expect(await sync({ [a]: 1, ...many })).toHaveLength(4);
  });

  test('Y7 what is hidden from somebody is not there for him', async () => {
    const { core, store, person } = setUp();
    const [a, b] = [await person('a1'), await person('b1')];
    await core.privacy.block({ user: b }, a);
    await core.messages.send({ user: a }, { receiverId: b, content: 'hidden', messageType: 'text' });
    expect(await store.conversations.walk({ user: b, limit: 10 })).toEqual([]);
    const sync = await core.sync.sync({ user: b }, { conversations: { [a]: 1 }, unnamed: 'all', limit: 10 });
    expect(sync.conversations).toMatchObject([{ userId: a, reset: true, lastSeq: 0 }]);
  });

  test('I5 a refresh token that the old leader does not know yet has not been stolen', async () => {
    const { core, store, person } = setUp();
    const user = await person('a1');
    const begun = await core.sessions.begin(user, 'phone');
    await fallBehind(store, user, sessionOf(begun.refreshToken));
    const second = await core.sessions.refresh(begun);
    const third = await core.sessions.refresh(second);
    await expect(core.sessions.refresh({ refreshToken: begun.refreshToken })).rejects.toMatchObject({
      code: 'SESSION_REVOKED',
    });
    await expect(core.sessions.refresh(third)).rejects.toMatchObject({ code: 'SESSION_REVOKED' });
  });

  test('I3 the refresh token of a session that the old leader does not know yet is good', async () => {
    const { core, store, person } = setUp();
    const user = await person('a1');
    await fallBehind(store, user, 'f'.repeat(24));
    const { refreshToken } = await core.sessions.begin(user, 'phone');
    expect(await core.sessions.refresh({ refreshToken })).toMatchObject({ token: expect.any(String) });
  });
});

test('I4 by the clock of the store a predecessor is good for 10 s, whatever the nodes have for clocks', async () => {
  const shared = ofItsOwn();
  const { clock } = shared;
  await using setup = setUp(
    0,
    ({ sessions }) => {
      sessions.now = async () => clock.elapsed();
    },
    shared,
  );
  const { core, person } = setup;
  const user = await person('a1');
  const [good, late] = [await core.sessions.begin(user, 'phone'), await core.sessions.begin(user, 'tablet')];
  clock.jump(3_600_000);
  const second = await core.sessions.refresh(good);
  await core.sessions.refresh(late);
  clock.jump(-7_200_000);
  await clock.advance(10_000);
  expect(await core.sessions.refresh(good)).toMatchObject({ refreshToken: second.refreshToken });
  await clock.advance(1);
  await expect(core.sessions.refresh(late)).rejects.toMatchObject({ code: 'SESSION_REVOKED' });
});

describe('a store that makes a rotation and cannot say so', () => {
  /** As MongoDB while no majority answers its primary. */
  async function stall() {
    let isAway = false;
    const answered = async <T>(work: Promise<T>): Promise<T> => {
      const result = await work;
      if (isAway) throw new DuetError('UNAVAILABLE');
      return result;
    };
    const setup = setUp(0, ({ sessions }) => {
      const { get, replace } = sessions;
      sessions.get = (keys, options) => (options?.sure ? answered(get(keys, options)) : get(keys));
      sessions.replace = (session, expected) => answered(replace(session, expected));
    });
    const user = await setup.person('a1');
    return {
      ...setup,
      begin: () => setup.core.sessions.begin(user, 'phone'),
      async away(ms: number, token: { refreshToken: string }) {
        isAway = true;
        await expect(setup.core.sessions.refresh(token)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
        await setup.clock.advance(ms);
        await expect(setup.core.sessions.refresh(token)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
        isAway = false;
      },
    };
  }

  test('I31 who comes back with the token that was replaced meanwhile gets its successor', async () => {
    await using setup = await stall();
    const { core, clock } = setup;
    const [first, late] = [await setup.begin(), await setup.begin()];
    await setup.away(1_000, late);
    await setup.away(50_000, first);
    await clock.advance(60_000);
    const second = await core.sessions.refresh(first);
    expect(await core.sessions.refresh(first)).toMatchObject({ refreshToken: second.refreshToken });
    expect(await core.sessions.refresh(second)).toMatchObject({ token: expect.any(String) });
    await clock.advance(1);
    await expect(core.sessions.refresh(late)).rejects.toMatchObject({ code: 'SESSION_REVOKED' });
  });

  test('I31 that holds however long the store is away, also while it goes on reading', async () => {
    await using setup = await stall();
    const token = await setup.begin();
    await setup.away(600_000, token);
    await setup.clock.advance(60_000);
    expect(await setup.core.sessions.refresh(token)).toMatchObject({ token: expect.any(String) });
  });

  test('I31 a store that fails now and then makes no token good that was replaced long ago', async () => {
    for (const isSure of [false, true]) {
      let fails = false;
      await using setup = setUp(0, ({ sessions }) => {
        const { get } = sessions;
        sessions.get = async (keys, options) => {
          if (fails && options?.sure === (isSure || undefined)) throw new DuetError('UNAVAILABLE');
          return get(keys, options);
        };
      });
      const { core, clock } = setup;
      const user = await setup.person('a1');
      const [stolen, other] = [await core.sessions.begin(user, 'phone'), await core.sessions.begin(user, 'tablet')];
      await core.sessions.refresh(stolen);
      await core.sessions.refresh(other);
      for (let minute = 0; minute < 3; minute += 1) {
        await clock.advance(50_000);
        fails = true;
        // What is not good now is asked for surely.
        const asked = isSure ? core.sessions.refresh(other) : core.sessions.check(user, other.session);
        await expect(asked).rejects.toMatchObject({ code: 'UNAVAILABLE' });
        fails = false;
        // Of plain reads there is an answer each time it is asked what has ended.
        if (isSure) await core.sessions.begin(user, 'laptop').then(core.sessions.refresh);
      }
      await expect(core.sessions.refresh(stolen)).rejects.toMatchObject({ code: 'SESSION_REVOKED' });
    }
  });

  test('I31 what was replaced at another time comes back from a thief, as ever', async () => {
    await using setup = await stall();
    const { core, clock } = setup;
    const [before, inIt, after] = [await setup.begin(), await setup.begin(), await setup.begin()];
    await core.sessions.refresh(before);
    await clock.advance(60_001);
    await setup.away(20_000, inIt);
    await clock.advance(1);
    await core.sessions.refresh(after);
    await clock.advance(10_001);
    for (const stolen of [before, after])
      await expect(core.sessions.refresh(stolen)).rejects.toMatchObject({ code: 'SESSION_REVOKED' });
    expect(await core.sessions.refresh(inIt)).toMatchObject({ token: expect.any(String) });
  });
});

test('Y2 a sync looks at no more conversations than it may answer messages, also where there is nothing to tell', async () => {
  const { core, person } = setUp();
  const me = await person('me');
  const known: Record<string, number> = {};
  for (const name of ['a1', 'b1', 'c1', 'd1', 'e1']) {
    const peer = await person(name);
    await core.messages.send({ user: me }, { receiverId: peer, content: 'hi', messageType: 'text' });
    known[peer] = 1;
  }
  const sync = (limit: number, cursor?: string) =>
    core.sync.sync({ user: me }, { conversations: known, unnamed: 'all', limit, cursor });
  expect(await sync(6)).toEqual({ conversations: [], complete: true });
  let asked = 1;
  for (let answer = await sync(2); !answer.complete; answer = await sync(2, answer.nextCursor)) asked += 1;
  expect(asked).toBe(3);
});

test('M5 nobody overtakes who waits for the same look-up, in whichever moment it ends', async () => {
  let release = () => {};
  const { core, person } = setUp(1_000, ({ privacy }) => {
    const { get } = privacy;
    privacy.get = async (users) => {
      await new Promise<void>((resolve) => {
        release = resolve;
      });
      return get(users);
    };
  });
  const [a, b] = [await person('a1'), await person('b1')];
  const send = (content: string) =>
    core.messages.send({ user: a, socket: 's' }, { receiverId: b, content, messageType: 'text' });
  const asked = [send('0'), send('1')];
  await settled();
  const oneEachStep = async () => {
    for (let step = 0; step < 20; step++) {
      await null;
      asked.push(send(`${asked.length}`));
    }
  };
  // In each step one asks before whatever the look-up does in it, and one after.
  const before = oneEachStep();
  release();
  await Promise.all([before, oneEachStep()]);
  const sent = await Promise.all(asked);
  expect(sent).toHaveLength(42);
  expect(sent.map(({ message }) => message.seq)).toEqual(sent.map((_, i) => i + 1));
});

test('A10 a block holds for what is sent after it, also where a look-up began before', async () => {
  const { core, cluster, store, person } = setUp();
  const [a, b] = [await person('a1'), await person('b1')];
  const { online } = cluster.presence;
  const looking = Promise.withResolvers<void>();
  cluster.presence.online = async (users) => {
    cluster.presence.online = online;
    await looking.promise;
    return online(users);
  };
  const send = (content: string) =>
    core.messages.send({ user: a, socket: 's' }, { receiverId: b, content, messageType: 'text' });
  const before = send('before');
  await settled();
  await core.privacy.block({ user: b }, a);
  const after = send('after');
  looking.resolve();
  await Promise.all([before, after]);
  const seen = await store.messages.page({ conversation: conversationOf(a, b).id, viewer: b, limit: 10 });
  expect(seen.map(({ content }) => content)).not.toContain('after');
});

test('A1 a registration that failed half-way can be repeated, and one that is refused leaves no session', async () => {
  const users: string[] = [];
  let fails = true;
  const { store, person } = setUp(1_000, ({ sessions }) => {
    const { create } = sessions;
    sessions.create = async (session) => {
      users.push(session.user);
      if (!fails) return create(session);
      fails = false;
      throw new DuetError('UNAVAILABLE');
    };
  });
  await expect(person('ada')).rejects.toMatchObject({ code: 'UNAVAILABLE' });
  const ada = await person('ada');
  await expect(person('ada')).rejects.toMatchObject({ code: 'CONFLICT' });
  expect(new Set(users).size).toBe(3);
  const sessions = await Promise.all(users.map((user) => store.sessions.list(user)));
  expect(sessions.flat().map(({ user }) => user)).toEqual([ada]);
});

describe('presence', () => {
  let setup: ReturnType<typeof setUp>;
  beforeEach(() => {
    setup = setUp();
  });
  afterEach(async () => {
    await setup[Symbol.asyncDispose]();
  });

  const statuses = () =>
    setup.told
      .filter(({ name }) => name === 'user_status')
      .map(({ user, payload }) => [user, (payload as ServerEvent<'user_status'>).isOnline]);

  test('P3 online is told at once, offline only after the grace, by the clock alone', async () => {
    const { core, clock, person } = setup;
    const a = await person('a1');
    await core.presence.connected(a, 's1');
    await settled();
    expect(statuses()).toEqual([['everyone', true]]);
    await core.presence.disconnected(a, 's1');
    await clock.advance(PRESENCE_GRACE_MS - 1_000);
    await settled();
    expect(statuses()).toHaveLength(1);
    await clock.advance(2_000);
    await settled();
    expect(statuses()).toEqual([
      ['everyone', true],
      ['everyone', false],
    ]);
  });

  test('P9 a clock that is set back makes nobody look online for longer', async () => {
    const { core, clock, cluster, person } = setup;
    const [a, b] = [await person('a1'), await person('b1')];
    const { conversations } = core;
    await core.messages.send({ user: a }, { receiverId: b, content: 'hi', messageType: 'text' });
    const isOnline = async () => (await conversations.list({ user: b }, { limit: 10 })).conversations[0]?.peer.isOnline;
    await core.presence.connected(a, 's1');
    expect(await isOnline()).toBe(true);
    clock.jump(-3_600_000);
    // Another node finds that he has gone, and nobody tells this one.
    core.presence.close();
    await cluster.presence.drop(a, 's1');
    await clock.advance(PRESENCE_GRACE_MS + 1);
    await cluster.presence.reap([]);
    await clock.advance(5_000);
    expect(await isOnline()).toBe(false);
  });

  test('P4 when the budget is spent only contacts who are online are told', async () => {
    await setup[Symbol.asyncDispose]();
    setup = setUp(10);
    const { core, cluster, person } = setup;
    await connect(cluster.presence, 7);
    const [a, b, c] = [await person('a1'), await person('b1'), await person('c1')];
    await core.messages.send({ user: a }, { receiverId: b, content: 'hi', messageType: 'text' });
    await core.messages.send({ user: a }, { receiverId: c, content: 'hi', messageType: 'text' });
    await core.presence.connected(b, 's1');
    await settled();
    setup.told.length = 0;
    await core.presence.connected(a, 's2');
    await settled();
    expect(statuses()).toEqual([[b, true]]);
    await setup.clock.advance(1_000);
    await core.presence.connected(c, 's3');
    await settled();
    expect(statuses()).toEqual([
      [b, true],
      ['everyone', true],
    ]);
  });

  test('P11 all nodes share one budget, however many they are and however unequal', async () => {
    const { clock, cluster } = ofItsOwn();
    const table = createPresenceTable(clock);
    const nodes = Array.from({ length: 5 }, (_, i) =>
      setUp(50, undefined, { clock, cluster: { ...cluster, presence: table.forNode(`${i}`) } }),
    );
    await connect(table.forNode('0'), 20);
    const countTold = () => nodes.flatMap(({ told }) => told).filter(({ user }) => user === 'everyone').length;
    let came = 0;
    const comeEverywhere = async () => {
      for (const { core } of nodes) await core.presence.connected(`${came++}`.padStart(24, 'f'), `s${came}`);
      await settled();
      await settled();
    };
    for (let second = 1; second <= 3; second++) {
      await comeEverywhere();
      // One node has more than twenty sockets, the others as good as none.
      expect(countTold()).toBe(2 * second);
      await clock.advance(1_000);
    }
    for (const node of nodes) await node[Symbol.asyncDispose]();
  });

  test('A14 nobody is told of who hides himself, when he comes or goes; contacts are told of the change', async () => {
    await setup[Symbol.asyncDispose]();
    setup = setUp(10);
    const { core, clock, cluster, person } = setup;
    await connect(cluster.presence, 7);
    const [a, b, c] = [await person('a1'), await person('b1'), await person('c1')];
    await core.messages.send({ user: a }, { receiverId: b, content: 'hi', messageType: 'text' });
    await core.messages.send({ user: a }, { receiverId: c, content: 'hi', messageType: 'text' });
    await core.privacy.change({ user: c }, { lastSeen: false });
    await core.presence.connected(b, 's1');
    await core.presence.connected(c, 's2');
    await core.presence.connected(a, 's3');
    await settled();
    setup.told.length = 0;
    // The budget is spent: of the contacts those who are there and do not hide themselves.
    await core.privacy.change({ user: a }, { lastSeen: false });
    await core.privacy.change({ user: a }, { typing: false });
    expect(statuses()).toEqual([[b, false]]);
    for (const comesAgain of [true, false]) {
      await core.presence.disconnected(a, 's3');
      await clock.advance(PRESENCE_GRACE_MS + 2_000);
      if (comesAgain) await core.presence.connected(a, 's3');
      await settled();
    }
    expect(statuses()).toEqual([[b, false]]);
    // Nobody is told of who is not there.
    await core.privacy.change({ user: a }, { lastSeen: true });
    expect(statuses()).toEqual([[b, false]]);
    await core.presence.connected(a, 's4');
    await settled();
    expect(statuses()).toEqual([
      [b, false],
      ['everyone', true],
    ]);
  });

  test('A14 what somebody hid stays hidden when the account is deleted', async () => {
    const { core, cluster, clock, person } = setup;
    const [a, b] = [await person('a1'), await person('b1')];
    await core.messages.send({ user: a }, { receiverId: b, content: 'hi', messageType: 'text' });
    await core.presence.connected(a, 's1');
    await settled();
    await core.privacy.change({ user: a }, { lastSeen: false });
    await clock.advance(60_000);
    setup.told.length = 0;
    await core.accounts.delete({ user: a }, { password: 'password123' });
    const peer = async () => (await core.conversations.list({ user: b }, { limit: 1 })).conversations[0]?.peer;
    expect(await peer()).toMatchObject({ isOnline: false, isDeleted: true });
    await core.presence.disconnected(a, 's1');
    await clock.advance(PRESENCE_GRACE_MS + 2_000);
    await settled();
    expect([...(await cluster.presence.online([a]))]).toEqual([]);
    expect(statuses()).toEqual([]);
    const { lastSeen, createdAt } = (await peer()) as { lastSeen: string; createdAt: string };
    expect(lastSeen).toBe(createdAt);
  });

  test('I9 whoever deletes his account is seen to go', async () => {
    const { core, clock, person } = setup;
    const a = await person('a1');
    await core.presence.connected(a, 's1');
    await settled();
    setup.told.length = 0;
    await core.accounts.delete({ user: a }, { password: 'password123' });
    await core.presence.disconnected(a, 's1');
    await clock.advance(PRESENCE_GRACE_MS + 2_000);
    await settled();
    expect(statuses()).toEqual([['everyone', false]]);
  });

  test('A11 A14 whoever comes while his block or setting is stored is seen to go all the same', async () => {
    const { core, store, person } = setup;
    const [a, b] = [await person('a1'), await person('b1')];
    const comes = <A extends unknown[], R>(user: string, work: (...args: A) => Promise<R>) => {
      return async (...args: A): Promise<R> => {
        await core.presence.connected(user, `socket of ${user}`);
        await settled();
        return work(...args);
      };
    };
    store.privacy.block = comes(a, store.privacy.block);
    await core.privacy.block({ user: a }, b);
    expect(statuses()).toEqual([
      ['everyone', true],
      [b, false],
    ]);
    setup.told.length = 0;
    store.privacy.hide = comes(b, store.privacy.hide);
    await core.privacy.change({ user: b }, { lastSeen: false });
    expect(statuses()).toEqual([
      ['everyone', true],
      ['everyone', false],
    ]);
  });

  test('A11 A14 whoever blocks or hides and has to repeat it is seen to go all the same', async () => {
    const { core, cluster, store, clock, person } = setup;
    const [a, b] = [await person('a1'), await person('b1')];
    await core.presence.connected(a, 's1');
    await core.presence.connected(b, 's2');
    await settled();
    /** Fails at its `n`th call. */
    const failing = <A extends unknown[], R>(work: (...args: A) => Promise<R>, n: number) => {
      let calls = 0;
      return async (...args: A): Promise<R> => {
        calls += 1;
        if (calls === n) throw new DuetError('UNAVAILABLE');
        return work(...args);
      };
    };
    const repeated = async (work: () => Promise<unknown>) => {
      await clock.advance(2_000);
      setup.told.length = 0;
      await expect(work()).rejects.toMatchObject({ code: 'UNAVAILABLE' });
      await work();
    };
    cluster.presence.online = failing(cluster.presence.online, 2);
    await repeated(() => core.privacy.block({ user: a }, b));
    expect(statuses()).toEqual([[b, false]]);
    await core.privacy.unblock({ user: a }, b);
    store.users.get = failing(store.users.get, 1);
    await repeated(() => core.privacy.change({ user: a }, { lastSeen: false }));
    expect(statuses()).toEqual([['everyone', false]]);
  });

  test('P1 who has come back at another node while others are told of is not said to be gone', async () => {
    const { core, cluster, store, clock, person } = setup;
    const [a, b] = [await person('a1'), await person('b1')];
    await core.presence.connected(a, 's1');
    await core.presence.connected(b, 's2');
    await settled();
    const { get } = store.privacy;
    await core.presence.disconnected(a, 's1');
    await core.presence.disconnected(b, 's2');
    setup.told.length = 0;
    store.privacy.get = async (users) => {
      if (users.includes(b)) await cluster.presence.beat([{ user: b, socket: 's3' }]);
      return get(users);
    };
    await clock.advance(PRESENCE_GRACE_MS + 2_000);
    await settled();
    expect(statuses()).toEqual([['everyone', false]]);
    expect(setup.told.map(({ payload }) => (payload as ServerEvent<'user_status'>).userId)).toEqual([a]);
  });

  test('P1 who has come back at another node while anything of him is looked for is not said to be gone', async () => {
    await setup[Symbol.asyncDispose]();
    setup = setUp(0);
    const { core, cluster, store, clock, person } = setup;
    const a = await person('a1');
    const [b, c, d] = [await person('b1'), await person('c1'), await person('d1')];
    for (const receiverId of [b, c, d])
      await core.messages.send({ user: a }, { receiverId, content: 'hi', messageType: 'text' });
    await core.presence.connected(a, 's1');
    for (const user of [b, c, d]) await core.presence.connected(user, user);
    await settled();
    for (const user of [b, c, d]) await core.presence.disconnected(user, user);
    setup.told.length = 0;
    const comesBack = (user: string) => cluster.presence.beat([{ user, socket: 'at another node' }]);
    const { peers } = store.conversations;
    store.conversations.peers = async (user, limit) => {
      if (user === b) await comesBack(b);
      return peers(user, limit);
    };
    const { get } = store.users;
    store.users.get = async (users) => {
      if (`${users}` === d) await comesBack(d);
      return get(users);
    };
    const { seen } = store.users;
    const stored: string[] = [];
    store.users.seen = (users) => {
      stored.push(...users.map(({ id }) => id));
      return seen(users);
    };
    await clock.advance(PRESENCE_GRACE_MS + 2_000);
    await eventually(() => stored.length > 0, 'they are stored');
    // They have been told of together.
    expect(stored).toEqual([b, c, d]);
    expect(statuses()).toEqual([[a, false]]);
    expect(setup.told.map(({ payload }) => (payload as ServerEvent<'user_status'>).userId)).toEqual([c]);
  });

  test('P1 who has gone is told to have been seen no earlier than REST says', async () => {
    const { core, store, clock, person } = setup;
    const a = await person('a1');
    await core.presence.connected(a, 's1');
    await settled();
    const cameAt = clock.now();
    // As when the clock by which he goes is behind the one by which he came.
    clock.jump(-60_000);
    await core.presence.disconnected(a, 's1');
    await clock.advance(PRESENCE_GRACE_MS + 2_000);
    await settled();
    expect(await store.users.get([a])).toMatchObject([{ lastSeen: cameAt }]);
    expect(setup.told.map(({ payload }) => payload)).toMatchObject(
      [true, false].map((isOnline) => ({ userId: a, isOnline, lastSeen: new Date(cameAt).toISOString() })),
    );
  });

  test('A14 what somebody has hidden at another node a moment ago holds when he connects', async () => {
    const { core, store, person } = setup;
    const a = await person('a1');
    expect(await core.privacy.watches(a)).toBe(true);
    await store.privacy.hide(a, ['lastSeen']);
    expect(await core.privacy.watches(a)).toBe(false);
    await core.presence.connected(a, 's1');
    await settled();
    expect(statuses()).toEqual([]);
  });

  test('P5 a store that does not answer delays the news and loses none', async () => {
    await setup[Symbol.asyncDispose]();
    setup = setUp(0);
    const { core, person, store, clock, failures } = setup;
    const [a, b] = [await person('a1'), await person('b1')];
    await core.messages.send({ user: a }, { receiverId: b, content: 'hi', messageType: 'text' });
    await core.presence.connected(b, 's1');
    await settled();
    setup.told.length = 0;
    const { peers } = store.conversations;
    store.conversations.peers = () => Promise.reject(new Error('away'));
    await core.presence.connected(a, 's2');
    await settled();
    expect(failures).toMatchObject([{ message: 'away' }]);
    expect(statuses()).toEqual([]);
    store.conversations.peers = peers;
    await clock.advance(1_000);
    await settled();
    await settled();
    expect(statuses()).toEqual([[b, true]]);
  });

  test('P5 who has come back at another node by the time that his end can be told has not gone', async () => {
    await setup[Symbol.asyncDispose]();
    setup = setUp(0);
    const { core, person, store, clock, cluster, failures } = setup;
    const [a, b] = [await person('a1'), await person('b1')];
    await core.messages.send({ user: a }, { receiverId: b, content: 'hi', messageType: 'text' });
    for (const [user, socket] of [
      [b, 's1'],
      [a, 's2'],
    ] as const)
      await core.presence.connected(user, socket);
    await settled();
    setup.told.length = 0;
    const { peers } = store.conversations;
    store.conversations.peers = () => Promise.reject(new Error('away'));
    await core.presence.disconnected(a, 's2');
    await clock.advance(PRESENCE_GRACE_MS + 1_000);
    await settled();
    expect(failures).not.toEqual([]);
    expect(await cluster.presence.beat([{ user: a, socket: 'at another node' }])).toEqual([a]);
    store.conversations.peers = peers;
    await clock.advance(1_000);
    await settled();
    await settled();
    expect(statuses()).toEqual([]);
    expect(await store.users.get([a])).toHaveLength(1);
  });

  test('P10 while it cannot be known who is online, nobody is said to have gone, and nobody misses that he has', async () => {
    await setup[Symbol.asyncDispose]();
    setup = setUp(0);
    const { core, person, clock, cluster } = setup;
    const [a, b] = [await person('a1'), await person('b1')];
    await core.messages.send({ user: a }, { receiverId: b, content: 'hi', messageType: 'text' });
    await core.presence.connected(b, 's1');
    await core.presence.connected(a, 's2');
    await settled();
    setup.told.length = 0;
    const told: string[][] = [];
    const { online, reap } = cluster.presence;
    cluster.presence.reap = (users) => {
      told.push(users);
      return reap(users);
    };
    // As with a Redis that is out of reach.
    cluster.presence.online = async (_, { sure = false } = {}) => {
      if (sure) throw new DuetError('UNAVAILABLE');
      return new Set();
    };
    await core.presence.disconnected(a, 's2');
    await clock.advance(PRESENCE_GRACE_MS + 1_000);
    await settled();
    expect(statuses()).toEqual([]);
    cluster.presence.online = online;
    for (let i = 0; i < 3; i++) {
      expect(told.flat()).toEqual([]);
      await clock.advance(1_000);
      await settled();
      await settled();
      if (statuses().length > 0) break;
    }
    expect(statuses()).toEqual([[b, false]]);
  });

  test('P5 the end of somebody counts as told when those whom it concerns know, and the store too', async () => {
    const { core, person, store, clock, cluster } = setup;
    const a = await person('a1');
    const told: string[][] = [];
    const { reap } = cluster.presence;
    cluster.presence.reap = (users) => {
      told.push(users);
      return reap(users);
    };
    await core.presence.connected(a, 's1');
    await settled();
    await core.presence.disconnected(a, 's1');
    const { seen } = store.users;
    store.users.seen = () => Promise.reject(new Error('away'));
    await clock.advance(PRESENCE_GRACE_MS + 3_000);
    await settled();
    expect(told.length).toBeGreaterThan(10);
    expect(told.flat()).toEqual([]);
    store.users.seen = seen;
    for (let i = 0; i < 3; i++) {
      await clock.advance(1_000);
      await settled();
    }
    expect(told.flat()).toEqual([a]);
    expect(statuses()).toEqual([
      ['everyone', true],
      ['everyone', false],
    ]);
  });

  test('P5 when somebody was last seen is stored as soon as the store answers', async () => {
    const { core, person, store, clock } = setup;
    const a = await person('a1');
    const { seen } = store.users;
    store.users.seen = () => Promise.reject(new Error('away'));
    await clock.advance(60_000);
    await core.presence.connected(a, 's1');
    const connectedAt = clock.now();
    await settled();
    expect(statuses()).toEqual([['everyone', true]]);
    store.users.seen = seen;
    await clock.advance(1_000);
    await settled();
    expect(await store.users.get([a])).toMatchObject([{ lastSeen: connectedAt }]);
    expect(statuses()).toHaveLength(1);
  });

  test('P8 a store that says nothing costs a node neither its lease nor the end of a socket', async () => {
    const { core, person, store, clock, cluster } = setup;
    const [a, b] = [await person('a1'), await person('b1')];
    const beats: number[] = [];
    const { beat } = cluster.presence;
    cluster.presence.beat = (sockets) => {
      if (sockets.length === 0) beats.push(clock.now());
      return beat(sockets);
    };
    store.users.seen = () => new Promise(() => {});
    await core.presence.connected(a, 's1');
    await core.presence.connected(b, 's2');
    for (let waited = 0; waited < 3 * BEAT_MS; waited += 1_000) {
      await clock.advance(1_000);
      await settled();
    }
    expect(beats).toHaveLength(3);
    await core.presence.disconnected(b, 's2');
    await clock.advance(PRESENCE_GRACE_MS);
    expect(await cluster.presence.reap([])).toMatchObject([{ user: b }]);
  });
});

describe('receipts', () => {
  /** A wrote once, then b so many times; how often the store has been asked for messages since. */
  async function written(byB: number) {
    const setup = setUp();
    const [a, b] = [await setup.person('a1'), await setup.person('b1')];
    const send = (user: string, receiverId: string) =>
      setup.core.messages.send({ user }, { receiverId, content: 'x', messageType: 'text' });
    const { message } = await send(a, b);
    for (let i = 0; i < byB; i++) await send(b, a);
    let asked = 0;
    const { messages } = setup.store;
    const { get, page } = messages;
    messages.get = (places) => {
      asked += 1;
      return get(places);
    };
    messages.page = (query) => {
      asked += 1;
      return page(query);
    };
    return {
      ...setup,
      ...{ a, b, message },
      asked: () => asked,
      async [Symbol.asyncDispose]() {
        setup.core.presence.close();
        await setup.store.close();
      },
    };
  }

  test('R9 a hundred receipts for one sender cost what one costs, and tell him once', async () => {
    await using chat = await written(0);
    const receipt = { messageId: chat.message._id, senderId: chat.a };
    const { receipts } = await chat.core.receipts.delivered({ user: chat.b }, { receipts: Array(100).fill(receipt) });
    expect(receipts).toHaveLength(100);
    expect(chat.asked()).toBe(1);
    expect(chat.told.filter(({ name }) => name === 'message_delivered_receipt')).toHaveLength(1);
  });

  test('R9 however much somebody writes without reading, it is found quickly what he has read', async () => {
    await using chat = await written(3_000);
    expect(await chat.core.receipts.readAll({ user: chat.b }, chat.a)).toEqual({ modifiedCount: 1 });
    expect(chat.asked()).toBeLessThan(20);
    const receipt = chat.told.find(({ name }) => name === 'message_read_receipt');
    expect(receipt?.payload).toMatchObject({ messageId: chat.message._id, readerId: chat.b });
  });
});

describe('accounts', () => {
  const password = 'password123';

  /** Somebody on two devices, and a store that once does not end sessions. */
  async function onTwoDevices() {
    let ends = true;
    const setup = setUp(0, ({ sessions }) => {
      const { end } = sessions;
      sessions.end = (ended) => (ends ? end(ended) : Promise.reject(new DuetError('UNAVAILABLE')));
    });
    const { accounts } = setup.core;
    const user = await setup.person('a1');
    const login = async (device: string) => {
      const { token } = await accounts.login({ email: 'a1@example.org', password, device }, 'test');
      return { token, caller: await accounts.authenticate(token) };
    };
    return {
      ...setup,
      user,
      mine: await login('mine'),
      lost: await login('lost'),
      async withoutEnds(work: () => Promise<unknown>) {
        ends = false;
        await expect(work()).rejects.toMatchObject({ code: 'UNAVAILABLE' });
        ends = true;
      },
    };
  }

  test('I8 a change of the password that fails half-way is repeated, and signs the other devices out', async () => {
    await using setup = await onTwoDevices();
    const { accounts } = setup.core;
    const change = () =>
      accounts.changePassword(setup.mine.caller, { currentPassword: password, newPassword: 'another password' });
    await setup.withoutEnds(change);
    await change();
    await expect(accounts.authenticate(setup.lost.token)).rejects.toMatchObject({ code: 'SESSION_REVOKED' });
    expect(await accounts.authenticate(setup.mine.token)).toMatchObject({ user: setup.user });
  });

  test('I9 an account whose deletion failed half-way writes to nobody, and its sessions end when one is used', async () => {
    await using setup = await onTwoDevices();
    const { accounts, messages } = setup.core;
    const peer = await setup.person('b1');
    await setup.withoutEnds(() => accounts.delete(setup.mine.caller, { password }));
    // The name of somebody is remembered for a while.
    await setup.clock.advance(61_000);
    const send = messages.send(setup.lost.caller, { receiverId: peer, content: 'hi', messageType: 'text' });
    await expect(Promise.resolve(send)).rejects.toMatchObject({ code: 'UNAUTHORIZED' });
    await expect(accounts.authenticate(setup.mine.token)).rejects.toMatchObject({ code: 'UNAUTHORIZED' });
    expect(await setup.store.sessions.list(setup.user)).toEqual([]);
    await expect(accounts.authenticate(setup.lost.token)).rejects.toMatchObject({ code: 'SESSION_REVOKED' });
  });

  test('I9 what a deleted account kept from others is forgotten, also when that failed at first', async () => {
    await using setup = await onTwoDevices();
    const { accounts, privacy } = setup.core;
    await privacy.change(setup.mine.caller, { lastSeen: false });
    const { show } = setup.store.privacy;
    setup.store.privacy.show = () => Promise.reject(new DuetError('UNAVAILABLE'));
    await expect(accounts.delete(setup.mine.caller, { password })).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    setup.store.privacy.show = show;
    await setup.clock.advance(61_000);
    await expect(accounts.authenticate(setup.mine.token)).rejects.toMatchObject({ code: 'UNAUTHORIZED' });
    expect(await setup.store.privacy.get([setup.user])).toEqual([]);
    expect(await setup.store.sessions.list(setup.user)).toEqual([]);
  });

  test('I13 who is signed in on too many devices is signed out where he was the longest ago', async () => {
    await using setup = await onTwoDevices();
    const { accounts, sessions } = setup.core;
    await setup.clock.advance(1_000);
    const { token } = await sessions.begin(setup.user, 'the first of the new ones');
    for (let i = 0; i < 999; i++) await sessions.begin(setup.user, 'another');
    expect(await accounts.authenticate(token)).toMatchObject({ user: setup.user });
    for (const old of [setup.mine, setup.lost])
      await expect(accounts.authenticate(old.token)).rejects.toMatchObject({ code: 'SESSION_REVOKED' });
    expect((await sessions.list({ user: setup.user })).sessions).toHaveLength(1_000);
  });

  test('O19 who is disabled while he changes his password stays so', async () => {
    await using setup = await onTwoDevices();
    const { accounts } = setup.core;
    const admin = createUserAdmin({ ...newAccounts, store: setup.store, clock: setup.clock, pause: async () => {} });
    const { update } = setup.store.users;
    setup.store.users.update = async (...change) => {
      setup.store.users.update = update;
      await admin.disable(setup.user);
      return update(...change);
    };
    const change = { currentPassword: password, newPassword: 'another password' };
    await expect(accounts.changePassword(setup.mine.caller, change)).rejects.toMatchObject({
      code: 'INVALID_CREDENTIALS',
    });
    expect(await admin.show(setup.user)).toMatchObject({ state: 'disabled' });
    for (const each of [password, 'another password']) {
      const login = accounts.login({ email: 'a1@example.org', password: each }, 'test');
      await expect(login).rejects.toMatchObject({ code: 'INVALID_CREDENTIALS' });
    }
    expect(await admin.enable(setup.user)).toMatchObject({ state: 'active' });
    await accounts.login({ email: 'a1@example.org', password }, 'test');
  });

  test('I25 what a user of the host is signed in by ends, also when the first try to end it failed half-way', async () => {
    await using setup = await onTwoDevices();
    const { sessions } = setup.store;
    const admin = createUserAdmin({ ...newAccounts, store: setup.store, clock: setup.clock, pause: async () => {} });
    const { cursor } = await sessions.ended(undefined);
    const { list } = sessions;
    sessions.list = () => Promise.reject(new DuetError('UNAVAILABLE'));
    await expect(admin.revoke(setup.user)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    sessions.list = list;
    const named = (await sessions.ended(cursor)).sessions;
    expect(named).toMatchObject([{ user: setup.user }]);
    await admin.revoke(setup.user);
    // His session of the host has another name by now, his others had not ended.
    const ended = (await sessions.ended(cursor)).sessions.map(({ id }) => id);
    expect(new Set(ended).size).toBeGreaterThan(3);
    expect(ended).toContain(named[0]?.id);
  });

  test('A14 of two settings that are changed at once both hold, and who hides himself is hidden', async () => {
    await using setup = await onTwoDevices();
    const { privacy } = setup.core;
    const { caller } = setup.mine;
    await Promise.all([privacy.change(caller, { lastSeen: false }), privacy.change(caller, { typing: false })]);
    expect((await privacy.settings(caller)).privacy).toEqual({ lastSeen: false, typing: false, readReceipts: true });
  });
});

describe('messages', () => {
  test('M2 when the answer of a commit got lost, the repeat tells the receiver, once', async () => {
    let answers = false;
    const { core, store, told, person } = setUp(0, ({ messages }) => {
      const { append } = messages;
      messages.append = async (drafts) => {
        const results = await append(drafts);
        if (!answers) throw new DuetError('UNAVAILABLE');
        return results;
      };
    });
    const [a, b] = [await person('a1'), await person('b1')];
    const message = { receiverId: b, content: 'hi', messageType: 'text', tempId: 't1' } as const;
    await expect(core.messages.send({ user: a }, message)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    expect(told).toEqual([]);
    answers = true;
    const other = core.messages.send({ user: a }, { ...message, content: 'other' });
    await expect(other).rejects.toMatchObject({ code: 'IDEMPOTENCY_CONFLICT' });
    for (const _ of [1, 2]) await core.messages.send({ user: a }, message);
    expect(told.filter(({ user }) => user === b).map(({ name }) => name)).toEqual(['receive_message']);
    core.presence.close();
    await store.close();
  });
});

describe('group commit', () => {
  function controlled() {
    const groups: number[] = [];
    let release: (() => void) | undefined;
    const messages: Pick<Store['messages'], 'append'> = {
      async append(drafts) {
        groups.push(drafts.length);
        await new Promise<void>((resolve) => {
          release = resolve;
        });
        return drafts.map((draft) => ({
          fresh: true,
          entry: { ...draft, id: 'id', seq: 1, sent: [1, 0] as [number, number] },
        }));
      },
    };
    const clock = createManualClock();
    const commit = createGroupCommit(messages.append, { clock });
    const draft = (n: number) => ({
      conversation: 'c',
      sender: 'a',
      receiver: 'b',
      content: `${n}`,
      messageType: 'text' as const,
      tempId: `${n}`,
      createdAt: n,
    });
    return { clock, commit, groups, draft, release: () => release?.() };
  }

  test('M13 what has waited too long behind slow commits is refused untried', async () => {
    const { clock, commit, groups, draft, release } = controlled();
    const slow = commit.add(draft(0));
    await settled();
    const late = [commit.add(draft(1)), commit.add(draft(2))].map((added) => added.catch((error) => error.code));
    await clock.advance(COMMIT_PATIENCE_MS + 1);
    const inTime = commit.add(draft(3));
    release();
    await settled();
    await settled();
    expect(await Promise.all(late)).toEqual(['UNAVAILABLE', 'UNAVAILABLE']);
    expect(groups).toEqual([1, 1]);
    release();
    expect((await Promise.all([slow, inTime])).map(({ entry }) => entry.content)).toEqual(['0', '3']);
  });

  test('M11 what arrives while a commit is under way shares the next one, in order and at most MAX_GROUP', async () => {
    const { commit, groups, draft, release } = controlled();
    const done: string[] = [];
    const append = (n: number) => commit.add(draft(n)).then(({ entry }) => done.push(entry.content));
    const first = append(0);
    await settled();
    expect(groups).toEqual([1]);
    const rest = Array.from({ length: MAX_GROUP + 5 }, (_, i) => append(i + 1));
    expect(done).toEqual([]);
    for (let i = 0; i < 3; i++) {
      release();
      await settled();
      await settled();
    }
    await Promise.all([first, ...rest]);
    expect(groups).toEqual([1, MAX_GROUP, 5]);
    expect(done).toEqual(Array.from({ length: MAX_GROUP + 6 }, (_, i) => `${i}`));
    await commit.idle();
  });
});

describe('places', () => {
  test('M12 a conversation has one id for both, and a message id finds itself', () => {
    const [a, b, c] = ['a', 'b', 'c'].map((letter) => letter.repeat(24)) as [string, string, string];
    const { id, users } = conversationOf(a, b);
    expect(conversationOf(b, a)).toEqual({ id, users });
    expect(conversationOf(a, c).id).not.toBe(id);
    for (const seq of [1, 255, 256, 2 ** 31]) {
      expect(messageId(id, seq)).toMatch(/^[0-9a-f]{24}$/);
      expect(seqOf(id, messageId(id, seq))).toBe(seq);
      expect(seqOf(conversationOf(a, c).id, messageId(id, seq))).toBeUndefined();
    }
  });
});
