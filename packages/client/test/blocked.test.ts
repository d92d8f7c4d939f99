import { register, startServer, startTcpProxy, temporaryFolder } from '@duet/testkit';
import { expect, test } from 'vitest';
import { createApi } from '../src/index.ts';
import { hurried, loseLists, MAIN, shows, start, synced, textsWith, unreadOf, until } from './people.ts';

test('U18 after a block the conversation goes on, with what was sent meanwhile nowhere; who was blocked sees it all', async () => {
  using folder = temporaryFolder();
  const server = await startServer(MAIN, { DATA_DIR: folder.path });
  try {
    const [anna, ben] = await Promise.all([register(server.url, 'anna'), register(server.url, 'ben')]);
    const api = createApi({ url: server.url, getToken: () => anna.token });
    using hers = start(server.url, anna);
    using his = start(server.url, ben);
    await Promise.all([synced(hers), synced(his)]);
    const before = Array.from({ length: 60 }, (_, i) => `${i}`);
    for (const text of before) his.send(anna.id, text);
    await shows(hers, ben.id, before);
    await api.block(ben.id);
    expect(await api.blocks()).toMatchObject({ blocks: [{ user: { _id: ben.id } }] });
    for (const text of ['unheard', 'unheard too']) his.send(anna.id, text);
    await shows(his, anna.id, [...before, 'unheard', 'unheard too']);
    await api.unblock(ben.id);
    his.send(anna.id, 'heard');
    const heard = [...before, 'heard'];
    await until(hers, (state) => String(textsWith(state, ben.id)) === String(heard), 'nothing is missing');
    hers.send(ben.id, 'well');
    await until(hers, (state) => String(textsWith(state, ben.id)) === String([...heard, 'well']), 'her own as well');
    expect(unreadOf(hers.getState())).toBe(heard.length);

    // A device that knows nothing yet reads back over the gap.
    using fresh = start(server.url, anna);
    await synced(fresh);
    await fresh.open(ben.id);
    await until(fresh, (state) => textsWith(state, ben.id).at(-1) === 'well', 'the newest page');
    await fresh.older(ben.id);
    await until(fresh, (state) => String(textsWith(state, ben.id)) === String([...heard, 'well']), 'all of it');
  } finally {
    await server.kill();
  }
});

test('U21 when a user hides or shows his presence, what he sees of others follows at once', async () => {
  using folder = temporaryFolder();
  const server = await startServer(MAIN, { DATA_DIR: folder.path });
  try {
    const named = (name: string) => register(server.url, name);
    const [anna, ben, carl] = await Promise.all([named('anna'), named('ben'), named('carl')]);
    using hers = start(server.url, anna);
    using his = start(server.url, ben);
    using stranger = start(server.url, carl);
    await Promise.all([synced(hers), synced(his), synced(stranger)]);
    his.send(anna.id, 'here I am');
    await until(hers, (state) => state.people[ben.id]?.isOnline, 'he is shown online');
    await hers.findPeople();
    await until(hers, (state) => state.people[carl.id]?.isOnline, 'so is whom she knows from the directory alone');
    await hers.api.changePrivacy({ lastSeen: false });
    await until(
      hers,
      ({ people }) => people[ben.id]?.isOnline === false && people[carl.id]?.isOnline === false,
      'and neither any longer',
    );
    await hers.api.changePrivacy({ lastSeen: true });
    await until(hers, (state) => state.people[ben.id]?.isOnline, 'and again');
  } finally {
    await server.kill();
  }
});

test('U21 a list that cannot be had when a user shows his presence again is asked for until it can', async () => {
  using folder = temporaryFolder();
  const server = await startServer(MAIN, { DATA_DIR: folder.path });
  try {
    const [anna, ben] = await Promise.all([register(server.url, 'anna'), register(server.url, 'ben')]);
    await using proxy = await startTcpProxy(server.url);
    using hers = start(proxy.url, anna, { runtime: hurried(20) });
    using his = start(server.url, ben);
    await Promise.all([synced(hers), synced(his)]);
    his.send(anna.id, 'here I am');
    await until(hers, (state) => state.people[ben.id]?.isOnline, 'he is shown online');
    await hers.api.changePrivacy({ lastSeen: false });
    await until(hers, (state) => state.people[ben.id]?.isOnline === false, 'and no longer');
    const states: string[] = [];
    hers.subscribe(() => states.push(hers.getState().connection));
    const lost = loseLists(proxy, 2);
    await hers.api.changePrivacy({ lastSeen: true });
    await until(hers, (state) => state.people[ben.id]?.isOnline, 'and again');
    expect([lost(), new Set(states)]).toEqual([2, new Set(['online'])]);
  } finally {
    await server.kill();
  }
});

test('U29 of whoever hides his presence it is not known when he was last here, live or found later', async () => {
  using folder = temporaryFolder();
  const server = await startServer(MAIN, { DATA_DIR: folder.path });
  try {
    const [anna, ben] = await Promise.all(['anna', 'ben'].map((name) => register(server.url, name)));
    if (!anna || !ben) throw new Error('nobody');
    using hers = start(server.url, anna);
    await synced(hers);
    using his = start(server.url, ben);
    await synced(his);
    await until(hers, (state) => state.people[ben.id]?.lastSeen, 'he has come');
    await his.api.changePrivacy({ lastSeen: false });
    await until(hers, (state) => state.people[ben.id]?.isOnline === false, 'he seems to have gone');
    expect(hers.getState().people[ben.id]?.lastSeen).toBeUndefined();
    const { people } = await hers.findPeople();
    expect(people).toMatchObject([{ username: ben.user.username, lastSeen: undefined }]);

    await his.api.changePrivacy({ lastSeen: true });
    await until(hers, (state) => state.people[ben.id]?.isOnline, 'he is here again');
    expect(hers.getState().people[ben.id]?.lastSeen).toEqual(expect.any(String));
  } finally {
    await server.kill();
  }
});
