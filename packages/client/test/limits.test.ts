import { limits } from '@duet/contract';
import { register, startServer, temporaryFolder } from '@duet/testkit';
import { expect, test } from 'vitest';
import { MAIN, messagesWith, shows, start, stored, synced } from './people.ts';

test('L11 what a limit refuses is kept, and sent when it may be, once and in order; nothing is shown as failed', async () => {
  using folder = temporaryFolder();
  const server = await startServer(MAIN, { DATA_DIR: folder.path, RATE_LIMITS: 'on' });
  try {
    const [anna, ben] = await Promise.all([register(server.url, 'anna'), register(server.url, 'ben')]);
    using hers = start(server.url, anna);
    await synced(hers);
    const texts = Array.from({ length: limits.send.limit + 15 }, (_, i) => `${i}`);
    const states = new Set<string>();
    hers.subscribe(() => {
      for (const { state } of messagesWith(hers.getState(), ben.id)) states.add(state);
    });
    for (const text of texts) hers.send(ben.id, text);
    await shows(hers, ben.id, texts);
    expect(await stored(server.url, ben, anna.id)).toEqual(texts.slice(-100));
    expect([...states].sort()).toEqual(['sending', 'sent']);
    const metrics = await (await fetch(`${server.url}/metrics`)).text();
    expect(metrics).toMatch(/duet_limited_total\{limit="send"\} [1-9]/);
  } finally {
    await server.kill();
  }
});
