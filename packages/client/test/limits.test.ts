import { limits } from '@duet/contract';
import { connect, register, startServer, temporaryFolder } from '@duet/testkit';
import { expect, test } from 'vitest';
import { MAIN, messagesWith, shows, start, stored, synced } from './people.ts';

test('L11 what a limit refuses is kept, and sent when it may be, once and in order; nothing is shown as failed', async () => {
  using folder = temporaryFolder();
  const server = await startServer(MAIN, { DATA_DIR: folder.path, RATE_LIMITS: 'on' });
  try {
    const named = (name: string) => register(server.url, name);
    const [anna, ben, carl] = await Promise.all([named('anna'), named('ben'), named('carl')]);
    using hers = start(server.url, anna);
    using hasty = await connect(server.url, anna.token);
    await synced(hers);
    // On another device she says more at once than she may, however fast the machine is. What that is refused is known.
    const answers = Array.from({ length: limits.send.limit * 3 }, (_, i) =>
      hasty.emitWithAck('send_message', { receiverId: carl.id, content: `${i}` }),
    );
    const texts = Array.from({ length: 15 }, (_, i) => `${i}`);
    const states = new Set<string>();
    hers.subscribe(() => {
      for (const { state } of messagesWith(hers.getState(), ben.id)) states.add(state);
    });
    for (const text of texts) hers.send(ben.id, text);
    await shows(hers, ben.id, texts);
    expect(await stored(server.url, ben, anna.id)).toEqual(texts);
    expect([...states].sort()).toEqual(['sending', 'sent']);
    const refused = (await Promise.all(answers)).filter(({ ok }) => !ok).length;
    const metrics = await (await fetch(`${server.url}/metrics`)).text();
    expect(Number(/duet_limited_total\{limit="send"\} (\d+)/.exec(metrics)?.[1])).toBeGreaterThan(refused);
  } finally {
    await server.kill();
  }
});
