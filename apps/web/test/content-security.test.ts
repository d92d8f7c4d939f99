import {
  connect,
  hasNginx,
  register,
  type ServerProcess,
  startNginx,
  startServer,
  temporaryFolder,
} from '@duet/testkit';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { bubble, hasBrowser, launch, MAIN, openChat, openPageIn, signInAt, write } from './browser.ts';

const POLICY = [
  "default-src 'none'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  "script-src 'nonce-?'",
  "style-src 'nonce-?'",
  "img-src 'self'",
  "connect-src 'self'",
  "require-trusted-types-for 'script'",
  'trusted-types default library',
];
const NONCE = /'nonce-([\w+/]{22}==)'/;

const policyOf = (answer: Response) => answer.headers.get('content-security-policy') ?? '';

describe.skipIf(!hasBrowser || !hasNginx())('the content security policy', () => {
  const folder = temporaryFolder();
  let node: ServerProcess;
  let nginx: Awaited<ReturnType<typeof startNginx>>;
  let browser: Browser;
  const ways = () => [node.url, `http://127.0.0.1:${nginx.port}`];

  beforeAll(async () => {
    node = await startServer(MAIN, { DATA_DIR: folder.path, TRUST_PROXY: '1' });
    nginx = await startNginx([new URL(node.url).host]);
    browser = await launch();
  });
  afterAll(async () => {
    await browser?.close();
    await nginx?.[Symbol.asyncDispose]();
    await node?.kill();
    folder[Symbol.dispose]();
  });

  test('O28 straight from a node and through nginx, each answer has the same policy and a nonce of its own, which its page names', async () => {
    const nonces: string[] = [];
    for (const url of ways().flatMap((way) => [`${way}/`, `${way}/index.html`, `${way}/text-client.html`, `${way}/`])) {
      const page = await fetch(url, { headers: { 'if-none-match': '*' } });
      expect(page.status, url).toBe(200);
      expect(page.headers.get('cache-control'), url).toBe('no-store');
      expect(page.headers.get('etag'), url).toBeNull();
      const nonce = NONCE.exec(policyOf(page))?.[1] as string;
      expect(policyOf(page).replaceAll(nonce, '?').split(';'), url).toEqual(POLICY);
      const html = await page.text();
      const tags = html.match(/<(script|link rel="(stylesheet|modulepreload)")[^>]*>/g) ?? [];
      expect(tags.length).toBeGreaterThan(1);
      for (const tag of tags) expect(tag).toContain(`nonce="${nonce}"`);
      // Scripts come as files, with nothing between their tags.
      expect(html).not.toMatch(/<script[^>]*>[^<]|<style| style=| on\w+=/);
      nonces.push(nonce);
    }
    expect(new Set(nonces).size).toBe(nonces.length);
  });

  test('O28 what is no page may do nothing if somebody opens it as one', async () => {
    const nothing = POLICY.slice(0, 4).join(';');
    for (const way of ways()) {
      const asset = /src="(\/assets\/[^"]+)"/.exec(await (await fetch(way)).text())?.[1];
      // nginx keeps assets: the second time it answers by itself.
      for (const path of [asset, asset, '/icon.svg', '/api/auth/me', '/%69ndex.html', '/health'])
        expect(policyOf(await fetch(way + path)), `${way}${path}`).toBe(nothing);
    }
  });

  test('O28 the clients work under it in a browser, and nothing of theirs is refused', async () => {
    for (const way of ways()) {
      const [anna, ben] = await Promise.all([register(node.url, 'anna'), register(node.url, 'ben')]);
      using bens = await connect(node.url, ben.token);
      const { page, context, errors } = await openPageIn(browser);
      await signInAt(page, way, anna);
      await openChat(page, ben.user.username);
      await write(page, 'under a policy');
      await page.getByRole('img', { name: 'Sent' }).waitFor();
      await bens.emitWithAck('send_message', { receiverId: anna.id, content: 'so am I' });
      await bubble(page, 'so am I').waitFor();
      // The styles that the component library makes while it runs are applied.
      const colour = () =>
        getComputedStyle(document.documentElement).getPropertyValue('--mantine-primary-color-filled');
      expect(await page.evaluate(colour)).not.toBe('');
      await page.goto(`${way}/text-client.html#token=${anna.token}&to=${ben.id}`);
      await page.click('#connect');
      await page.locator('#state[data-state="online"]').waitFor();
      await page.goto(`${way}/api/docs`);
      await page.getByText('Duet REST API').waitFor();
      await page.getByText('/messages/{userId}', { exact: false }).first().click();
      expect(errors).toEqual([]);
      await context.close();
    }
  });

  test('O28 scripts, styles and connections that somebody smuggles into a page are refused and reported', async () => {
    const { page, context, errors } = await openPageIn(browser);
    for (const way of ways()) {
      for (const path of ['/', '/text-client.html']) {
        await page.goto(way + path);
        await page.evaluate(() => {
          const { body } = document;
          const script = document.createElement('script');
          script.append('window.hacked = 1');
          const attempts = [
            () => body.append(script),
            () => body.setAttribute('onclick', 'window.hacked = 2'),
            () => body.insertAdjacentHTML('beforeend', '<iframe srcdoc="x"></iframe>'),
            () => setTimeout('window.hacked = 3'),
            () => body.setAttribute('style', 'opacity: 0'),
            () => body.append(Object.assign(document.createElement('style'), { textContent: 'body { opacity: 0 }' })),
            () => body.click(),
          ];
          for (const attempt of attempts) {
            try {
              attempt();
            } catch {
              // What is refused may throw.
            }
          }
          return fetch('http://127.0.0.1:9/').catch(() => {});
        });
        const directives = () => [...new Set(errors.map((error) => error.split(':')[0]))].sort();
        await expect
          .poll(directives, { message: path })
          .toEqual(
            expect.arrayContaining(['connect-src', 'require-trusted-types-for', 'style-src-attr', 'style-src-elem']),
          );
        errors.length = 0;
        expect(await page.evaluate(() => window.hacked)).toBeUndefined();
        expect(await page.evaluate(() => document.querySelector('iframe'))).toBeNull();
        expect(await page.evaluate(() => getComputedStyle(document.body).opacity)).toBe('1');
      }
    }
    await context.close();
  });

  test('O28 an inline script in the page itself does not run, and the page goes on', async () => {
    const { page, context, errors } = await openPageIn(browser);
    await page.route(node.url, async (route) => {
      const response = await route.fetch();
      const smuggled = '<script>window.hacked = 1</script><body onload="window.hacked = 2">';
      await route.fulfill({ response, body: (await response.text()).replace('<body>', smuggled) });
    });
    await page.goto(node.url);
    await page.getByLabel('Email').waitFor();
    expect(await page.evaluate(() => window.hacked)).toBeUndefined();
    expect(errors.map((error) => error.split(':')[0]).sort()).toEqual(['script-src-attr', 'script-src-elem']);
    await context.close();
  });
});
