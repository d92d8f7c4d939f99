import { once } from 'node:events';
import { createServer } from 'node:http';
import { type AddressInfo, createServer as createTcpServer } from 'node:net';
import { text } from 'node:stream/consumers';
import { hasNginx, startNginx } from '@duet/testkit';
import { describe, expect, test } from 'vitest';

const PATH = '/api/auth/me?of=one';
const CHANGES = ['POST', 'PUT', 'DELETE'];

/** What stands where a node would: it notes what it has read, and answers, or dies before it does. */
async function startUpstream(name: string, heard: string[], { dies = false } = {}) {
  const server = createServer(async (request, response) => {
    heard.push(`${name} ${request.method} ${request.url} ${await text(request)}`);
    if (dies) request.socket.destroy();
    else response.setHeader('heard-from', request.headers['x-forwarded-for'] ?? 'nobody').end(name);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    host: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** An address at which nothing listens. */
async function nobody(): Promise<string> {
  const server = createTcpServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return `127.0.0.1:${port}`;
}

/** Of a new nginx, which asks the nodes in their order. */
async function ask(nodes: string[], method: string) {
  await using nginx = await startNginx(nodes);
  const body = method === 'GET' ? {} : { body: 'of it' };
  const answer = await fetch(`http://127.0.0.1:${nginx.port}${PATH}`, { method, ...body });
  return { status: answer.status, said: await answer.text(), after: answer.headers.get('retry-after') };
}

const UNAVAILABLE = { status: 503, said: expect.stringContaining('"code":"UNAVAILABLE"'), after: '1' };

describe.skipIf(!hasNginx())('nginx before nodes', () => {
  test.each(CHANGES)('O55 a %s that a node may have done goes to no other one', async (method) => {
    const heard: string[] = [];
    await using first = await startUpstream('first', heard, { dies: true });
    await using second = await startUpstream('second', heard);
    expect(await ask([first.host, second.host], method)).toEqual(UNAVAILABLE);
    expect(heard).toEqual([`first ${method} ${PATH} of it`]);
  });

  test('O55 a GET goes to another one', async () => {
    const heard: string[] = [];
    await using first = await startUpstream('first', heard, { dies: true });
    await using second = await startUpstream('second', heard);
    expect(await ask([first.host, second.host], 'GET')).toMatchObject({ status: 200, said: 'second' });
    expect(heard).toEqual([`first GET ${PATH} `, `second GET ${PATH} `]);
  });

  test.each(['GET', ...CHANGES])('O55 a %s goes past two nodes that cannot be reached', async (method) => {
    const heard: string[] = [];
    await using third = await startUpstream('third', heard);
    expect(await ask([await nobody(), await nobody(), third.host], method)).toMatchObject({
      status: 200,
      said: 'third',
    });
    expect(heard).toEqual([`third ${method} ${PATH} ${method === 'GET' ? '' : 'of it'}`]);
  });

  test.each(['GET', ...CHANGES])('O55 where no node can be reached, a %s is told to come again', async (method) => {
    expect(await ask([await nobody(), await nobody()], method)).toEqual(UNAVAILABLE);
  });

  test.each([
    ['GET', '/api/auth/me'],
    ['PUT', '/api/auth/me'],
    ['GET', '/assets/index.js'],
    ['GET', '/socket.io/?EIO=4&transport=polling'],
  ])('L8 an address that a client claims does not come through nginx with %s %s', async (method, path) => {
    await using node = await startUpstream('node', []);
    await using nginx = await startNginx([node.host]);
    const headers = { 'x-forwarded-for': '198.51.100.1' };
    const answer = await fetch(`http://127.0.0.1:${nginx.port}${path}`, { method, headers });
    expect({ status: answer.status, from: answer.headers.get('heard-from') }).toEqual({
      status: 200,
      from: '127.0.0.1',
    });
  });
});
