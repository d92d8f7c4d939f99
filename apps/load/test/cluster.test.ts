import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { fileURLToPath } from 'node:url';
import { eventually, freePort, hasMongo, hasNginx, hasRedis, listens, startService } from '@duet/testkit';
import { describe, expect, test } from 'vitest';

const COMMAND = fileURLToPath(new URL('../src/cluster.ts', import.meta.url));

function run(words: string[], environment: Record<string, string | undefined> = {}) {
  const child = spawn(process.execPath, [COMMAND, ...words], { env: { ...process.env, ...environment } });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (output += chunk));
  return { child, output: () => output, exit: once(child, 'exit') as Promise<[number | null]> };
}

describe('npm run cluster', () => {
  test('O12 what is missing is named, with the way to get it', async () => {
    const nothing = { PATH: '/nowhere', DUET_TEST_REDIS_URL: undefined, DUET_TEST_MONGODB_URI: 'mongodb://127.0.0.1' };
    const { output, exit } = run([], { ...nothing, DOCKER_HOST: undefined });
    expect((await exit)[0]).toBe(1);
    expect(output()).toMatch(/nginx is missing: install it/);
    expect(output()).not.toMatch(/MongoDB protocol is missing/);
  });

  test('T9 a port that somebody has is named, and nobody else is taken for what was to be started', async () => {
    const port = (await freePort(2)) + 1;
    const somebody = createServer().listen(port, '127.0.0.1');
    await once(somebody, 'listening');
    for (const first of [port, port - 1]) {
      const { output, exit } = run(['--port', String(first)]);
      expect((await exit)[0]).toBe(1);
      expect(output()).toBe(`Port ${port} is taken: name others with --port\n`);
    }
    await expect(startService('sleep', () => ['60'], { port })).rejects.toThrow(`port ${port} is taken`);
    somebody.close();
  });

  test.skipIf(!(hasMongo() && hasRedis() && hasNginx()))('O13 nodes behind nginx, and all ends with it', async () => {
    const port = await freePort(3);
    const { child, output, exit } = run(['--nodes', '2', '--port', String(port)]);
    await eventually(() => output().includes('Ctrl-C ends all'), 'the cluster runs');
    expect((await fetch(`http://127.0.0.1:${port}/ready`)).status).toBe(200);
    expect(output().match(/node \d/g)).toEqual(['node 1', 'node 2']);
    child.kill('SIGINT');
    expect((await exit)[0]).toBe(0);
    for (const used of [port, port + 1, port + 2]) expect(await listens(used)).toBe(false);
  });
});
