import { mkdirSync, writeFileSync } from 'node:fs';
import {
  awkwardTexts,
  connect,
  next,
  register,
  rest,
  type ServerProcess,
  startServer,
  startTcpProxy,
  type TestUser,
  temporaryFolder,
} from '@duet/testkit';
import type { Browser, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import {
  bubble,
  hasBrowser,
  launch,
  launchProfile,
  MAIN,
  openChat,
  openPageIn,
  pick,
  scrollUpTo,
  signInAt,
  write,
} from './browser.ts';

const TEXT_CLIENT = new URL('../public/text-client.html', import.meta.url).href;

describe.skipIf(!hasBrowser)('in a real browser', () => {
  let folder: ReturnType<typeof temporaryFolder>;
  let server: ServerProcess;
  let browser: Browser;
  let environment: Record<string, string>;

  beforeAll(async () => {
    folder = temporaryFolder();
    environment = { DATA_DIR: folder.path };
    server = await startServer(MAIN, environment);
    browser = await launch();
  });
  afterAll(async () => {
    await browser?.close();
    await server?.kill();
    folder?.[Symbol.dispose]();
  });

  /** Of all pages of a test: no script failed, and nothing was refused by the content security policy. */
  const errors: string[][] = [];
  afterEach(() => expect(errors.splice(0).flat()).toEqual([]));

  async function openPage(options?: Parameters<Browser['newContext']>[0]) {
    const opened = await openPageIn(browser, options);
    errors.push(opened.errors);
    return opened;
  }
  const signIn = (page: Page, user: Pick<TestUser, 'email' | 'password'>) => signInAt(page, server.url, user);

  /** How many messages wait in the browser's storage. */
  const keptOn = (page: Page): Promise<number> =>
    page.evaluate(async () => {
      const finished = <T>(request: IDBRequest<T>) =>
        new Promise<T>((resolve) => {
          request.onsuccess = () => resolve(request.result);
        });
      const database = await finished(indexedDB.open('duet'));
      const count = await finished(database.transaction('outbox').objectStore('outbox').count());
      database.close();
      return count;
    });

  /** Whether nothing of it is scrolled out of the list of messages. */
  const isInView = (target: ReturnType<Page['getByText']>) =>
    target.evaluate((element) => {
      const list = element.closest('.messages')?.getBoundingClientRect();
      return list !== undefined && element.getBoundingClientRect().bottom <= list.bottom;
    });

  test('W1 two people register, find each other and chat live: typing, delivered and read marks, unread badge', async () => {
    const one = await openPage();
    const two = await openPage();
    for (const [{ page }, name] of [
      [one, 'Anna Berg'],
      [two, 'Ben Cole'],
    ] as const) {
      await page.goto(server.url);
      await page.getByRole('button', { name: 'Register' }).click();
      await page.getByLabel('Username').fill(name);
      await page.getByLabel('Email').fill(`${name.replace(' ', '.')}@example.org`);
      await page.getByLabel('Password', { exact: true }).fill('password123');
      await page.getByRole('button', { name: 'Create account' }).click();
      await page.getByRole('navigation', { name: 'Chats and people' }).waitFor();
    }
    await one.page.getByRole('button', { name: /^Ben Cole\b.* online\b/ }).click();
    await write(one.page, 'Hello Ben');
    const badge = two.page.getByLabel('1 unread');
    await badge.waitFor();
    await expect.poll(() => two.page.title()).toBe('(1) Duet');
    const shape = (mark: string) => one.page.getByRole('img', { name: mark }).innerHTML();
    const delivered = await shape('Delivered');
    await two.page.getByRole('button', { name: /^Anna Berg\b.* online\b/ }).click();
    await bubble(two.page, 'Hello Ben').waitFor();
    await badge.waitFor({ state: 'detached' });
    expect(await shape('Read')).not.toBe(delivered);

    await two.page.getByRole('textbox', { name: 'Message' }).pressSequentially('Hi');
    await one.page.locator('.peer-status', { hasText: 'typing…' }).waitFor();
    await two.page.keyboard.press('Enter');
    await bubble(one.page, 'Hi').waitFor();
    await one.page.locator('.peer-status', { hasText: 'online' }).waitFor();
    await one.context.close();
    await two.context.close();
  });

  test('W11 what is sent and answered while the history still loads is shown as sent, then as read', async () => {
    const [anna, ben] = await Promise.all([register(server.url, 'anna'), register(server.url, 'ben')]);
    using reader = await connect(server.url, ben.token);
    const { page, context } = await openPage();
    const stored = next(reader, 'receive_message');
    let release = () => {};
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    await page.route(`**/api/messages/${ben.id}*`, async (route) => {
      const response = await route.fetch();
      await held;
      await route.fulfill({ response });
    });
    await signIn(page, anna);
    const asked = page.waitForRequest(`**/api/messages/${ben.id}*`);
    await pick(page, ben.user.username);
    await asked;
    await write(page, 'before the history');
    const { message } = await stored;
    release();
    await bubble(page, 'before the history').waitFor();
    await page.getByRole('img', { name: 'Sent' }).waitFor();
    await reader.emitWithAck('message_read', { messageId: message._id, senderId: anna.id });
    await page.getByRole('img', { name: 'Read' }).waitFor();
    await context.close();
  });

  test('W12 somebody is blocked in the menu of a chat and unblocked in the settings, and is not told', async () => {
    const [anna, ben] = await Promise.all([register(server.url, 'anna'), register(server.url, 'ben')]);
    using his = await connect(server.url, ben.token);
    await his.emitWithAck('send_message', { receiverId: anna.id, content: 'first' });
    const { page, context } = await openPage();
    await signIn(page, anna);
    await page.getByRole('list', { name: 'Chats' }).getByRole('button', { name: ben.user.username }).click();
    await bubble(page, 'first').waitFor();
    await page.getByRole('button', { name: `More about ${ben.user.username}` }).click();
    // Keys are its own once it has the focus.
    await page.locator('[role=menu]:focus-within').waitFor();
    await page.keyboard.press('Escape');
    await page.getByRole('menuitem', { name: 'Block' }).waitFor({ state: 'detached' });
    await bubble(page, 'first').waitFor();
    await page.getByRole('button', { name: `More about ${ben.user.username}` }).click();
    await page.getByRole('menuitem', { name: 'Block' }).click();
    await page.getByText(`You have blocked ${ben.user.username}`).waitFor();
    expect(await page.getByRole('textbox', { name: 'Message' }).count()).toBe(0);
    expect(await his.emitWithAck('send_message', { receiverId: anna.id, content: 'unheard' })).toMatchObject({
      ok: true,
    });

    await page.getByRole('button', { name: 'Settings' }).click();
    const settings = page.getByRole('dialog', { name: 'Settings' });
    await settings.getByRole('button', { name: `Unblock ${ben.user.username}` }).click();
    await settings.getByText('Nobody. Block somebody').waitFor();
    await page.keyboard.press('Escape');
    await settings.waitFor({ state: 'detached' });
    await his.emitWithAck('send_message', { receiverId: anna.id, content: 'heard again' });
    await bubble(page, 'heard again').waitFor();
    expect(await bubble(page, 'unheard').count()).toBe(0);
    const answered = next(his, 'receive_message');
    await write(page, 'welcome back');
    expect(await answered).toMatchObject({ message: { content: 'welcome back' } });
    await context.close();
  });

  test('W12 what others see can be hidden, and another device signed out', async () => {
    const anna = await register(server.url, 'anna');
    const privacy = async () => (await rest(server.url, '/auth/me/privacy', { token: anna.token })).body.data.privacy;
    using other = await connect(server.url, anna.token);
    const { page, context } = await openPage();
    await signIn(page, anna);
    await page.getByRole('button', { name: 'Settings' }).click();
    const settings = page.getByRole('dialog', { name: 'Settings' });
    await settings.getByRole('switch', { name: 'Read receipts', checked: true }).click();
    await settings.getByRole('switch', { name: 'Read receipts', checked: false }).waitFor();
    expect(await privacy()).toEqual({ lastSeen: true, typing: true, readReceipts: false });

    const gone = new Promise((resolve) => other.on('disconnect', resolve));
    await settings.getByText(/^Chrome on /).waitFor();
    await settings.getByText('This device').waitFor();
    const signOut = settings.getByRole('button', { name: 'Sign out node' });
    expect(
      await signOut.evaluate((node) => node.ariaDescribedByElements?.map((element) => element.textContent)),
    ).toEqual([expect.stringMatching(/^Last used: Today · Signed in: Today, \d+:\d+/)]);
    await signOut.click();
    await gone;
    await signOut.waitFor({ state: 'detached' });
    await context.close();
  });

  test('W2 what others write stays text', async () => {
    const [anna, ben] = await Promise.all([register(server.url, 'anna'), register(server.url, 'ben')]);
    using socket = await connect(server.url, ben.token);
    const { page, context } = await openPage();
    await signIn(page, anna);
    await openChat(page, ben.user.username);
    for (const content of awkwardTexts) {
      await socket.emitWithAck('send_message', { receiverId: anna.id, content });
      await expect
        .poll(() =>
          page
            .locator('.bubble .text')
            .last()
            .evaluate((element) => element.textContent),
        )
        .toBe(content);
    }
    expect(await page.locator('.bubble img:not([src="/icon.svg"]), .bubble script').count()).toBe(0);
    expect(await page.evaluate(() => window.hacked)).toBeUndefined();
    await context.close();
  });

  test('W3 history loads when the reader scrolls up, and stays where he reads', async () => {
    const [anna, ben] = await Promise.all([register(server.url, 'anna'), register(server.url, 'ben')]);
    using socket = await connect(server.url, anna.token);
    for (let i = 1; i <= 120; i++)
      await socket.emitWithAck('send_message', { receiverId: ben.id, content: `line ${i}` });
    const { page, context } = await openPage();
    await signIn(page, anna);
    await openChat(page, ben.user.username);
    await bubble(page, 'line 120').waitFor();
    expect(await bubble(page, 'line 1').count()).toBe(0);
    await scrollUpTo(page, 'line 1');
    const texts = await page.locator('.bubble .text').allTextContents();
    expect(texts).toEqual(Array.from({ length: 120 }, (_, i) => `line ${i + 1}`));
    await context.close();
  });

  test('W4 it says that it is offline, comes back by itself, and sends what was written meanwhile once', async () => {
    const [anna, ben] = await Promise.all([register(server.url, 'anna'), register(server.url, 'ben')]);
    const { page, context } = await openPage();
    await signIn(page, anna);
    await openChat(page, ben.user.username);
    await write(page, 'before');
    await page.getByRole('img', { name: 'Sent' }).waitFor();
    await page.getByText('People', { exact: true }).click();
    await page.getByLabel('Search people').fill('nobody has this name');
    await page.getByText('Nobody of that name').waitFor();
    const { port } = new URL(server.url);
    await server.kill();
    await page.getByText('You are offline').waitFor();
    await page.getByLabel('Search people').fill('');
    await page.locator('.list[aria-busy]').waitFor();
    expect(await page.getByText('Nobody else is here').count()).toBe(0);
    await write(page, 'meanwhile');
    await page.getByRole('img', { name: 'Sending' }).waitFor();
    await page.getByRole('button', { name: 'Settings' }).click();
    const receipts = page.getByRole('switch', { name: 'Read receipts' });
    await page.getByRole('alert').getByText('The server cannot be reached').waitFor();
    expect(await receipts.isDisabled()).toBe(true);
    server = await startServer(MAIN, { ...environment, PORT: port });
    await page.getByText('You are offline').waitFor({ state: 'detached' });
    await page.getByRole('img', { name: 'Sending' }).waitFor({ state: 'detached' });
    await expect.poll(() => receipts.isEnabled(), { timeout: 10_000 }).toBe(true);
    await page.getByRole('alert').waitFor({ state: 'detached' });
    const { body } = await rest(server.url, `/messages/${anna.id}`, { token: ben.token });
    expect(body.data.messages.map((message: { content: string }) => message.content)).toEqual(['before', 'meanwhile']);
    await context.close();
  });

  test('W28 a search that fails says so and is tried again, and never shows what another one has found', async () => {
    const [anna, ben] = await Promise.all([register(server.url, 'anna'), register(server.url, 'ben')]);
    const { page, context } = await openPage();
    await signIn(page, anna);
    const search = page.getByLabel('Search people');
    const found = page.getByRole('list', { name: 'People' }).getByRole('button', { name: ben.user.username });
    const failing = /users\?q=/;
    await search.fill(ben.user.username);
    await page.getByText(`found for ${ben.user.username}`).waitFor({ state: 'attached' });
    await page.route(failing, (route) => route.abort());
    await search.fill('ben');
    // He is still shown, and nobody is said to have been found for what is searched for now.
    expect(await page.getByText('found for').count()).toBe(0);
    await page.getByText('The server cannot be reached').waitFor();
    await search.fill('nobody has this name');
    await page.getByText('The server cannot be reached').waitFor();
    expect(await found.count()).toBe(0);
    await page.unroute(failing);
    await page.getByText('Nobody of that name').waitFor();

    await search.fill(ben.user.username);
    await found.waitFor();
    const { port } = new URL(server.url);
    await server.kill();
    await page.getByText('You are offline').waitFor();
    await search.fill('nor this one');
    await page.locator('.list[aria-busy]').waitFor();
    expect(await found.count()).toBe(0);
    server = await startServer(MAIN, { ...environment, PORT: port });
    await page.getByText('Nobody of that name').waitFor();
    await context.close();
  });

  test('W13 who looks at a conversation has read it, also what comes while a message of his own is on its way', async () => {
    const [anna, ben] = await Promise.all([register(server.url, 'anna'), register(server.url, 'ben')]);
    using his = await connect(server.url, ben.token);
    await using proxy = await startTcpProxy(server.url);
    const { page, context } = await openPage();
    await signInAt(page, proxy.url, anna);
    await openChat(page, ben.user.username);
    await page.locator('.banner[data-state=online]').waitFor({ state: 'attached' });
    proxy.freeze();
    await write(page, 'on its way');
    await page.getByRole('img', { name: 'Sending' }).waitFor();
    const { data } = await his.emitWithAck('send_message', { receiverId: anna.id, content: 'before it' });
    const read = next(his, 'message_read_receipt', ({ messageId }) => messageId === data.message._id);
    proxy.cut();
    await bubble(page, 'before it').waitFor();
    await read;
    await context.close();
  });

  test('W13 who looks at a conversation has read it, also what got lost and is found before a message of his own', async () => {
    const [anna, ben] = await Promise.all([register(server.url, 'anna'), register(server.url, 'ben')]);
    using his = await connect(server.url, ben.token);
    const { page, context } = await openPage();
    await page.routeWebSocket(/socket\.io/, (client) => {
      const node = client.connectToServer();
      node.onMessage((packet) => {
        if (!String(packet).includes('"receive_message"')) client.send(packet);
      });
    });
    await signIn(page, anna);
    await openChat(page, ben.user.username);
    await write(page, 'first');
    await page.getByRole('img', { name: 'Sent' }).waitFor();
    const { data } = await his.emitWithAck('send_message', { receiverId: anna.id, content: 'lost' });
    const read = next(his, 'message_read_receipt', ({ messageId }) => messageId === data.message._id);
    await write(page, 'behind it');
    await bubble(page, 'lost').waitFor();
    await read;
    await context.close();
  });

  /** Ends the session of a page, as another device does. */
  async function endSession(page: Page): Promise<void> {
    const { token } = JSON.parse(await page.evaluate(() => localStorage.getItem('duet.session') as string));
    expect((await rest(server.url, '/auth/logout', { method: 'POST', token })).status).toBe(200);
  }

  test('W14 who signs in again in an old tab ends nothing of whoever has signed in in another one', async () => {
    const [anna, ben] = await Promise.all([register(server.url, 'anna'), register(server.url, 'ben')]);
    for (const later of [anna, ben]) {
      const { page: old, context } = await openPage();
      await signIn(old, anna);
      await endSession(old);
      const again = old.getByRole('button', { name: 'Sign in again' });
      await again.waitFor();
      const page = await context.newPage();
      await signIn(page, later);
      // Where somebody else has signed in, the old tab has left by itself.
      if (later === anna) await again.click();
      await old.getByLabel('Email').waitFor();
      const next = await context.newPage();
      await next.goto(server.url);
      await next.getByRole('button', { name: 'Settings' }).click();
      await next.getByText('This device').waitFor();
      await context.close();
    }
  });

  test('W27 who signs out is gone from all tabs, also offline, and so is he in whose place somebody else signs in', async () => {
    const [anna, ben] = await Promise.all([register(server.url, 'anna'), register(server.url, 'ben')]);
    const { page, context } = await openPage();
    await signIn(page, anna);
    const other = await context.newPage();
    await other.goto(server.url);
    await openChat(other, ben.user.username);
    await other.getByRole('textbox', { name: 'Message' }).fill('half a thought');
    await page.route('**/api/auth/logout', (route) => route.abort());
    await page.getByRole('button', { name: 'Sign out' }).click();
    await other.getByText('You have been signed out.').waitFor();
    await other.getByLabel('Email').waitFor();
    expect(await other.getByRole('textbox', { name: 'Message' }).count()).toBe(0);
    expect(await other.evaluate(() => JSON.stringify(sessionStorage))).not.toContain('half a thought');

    // Both tabs ask who it is.
    const fill = async (tab: Page, user: TestUser) => {
      await tab.getByLabel('Email').fill(user.email);
      await tab.getByLabel('Password', { exact: true }).fill(user.password);
      await tab.getByRole('button', { name: 'Sign in' }).click();
      await tab.getByRole('navigation').getByText(user.user.username, { exact: true }).waitFor();
    };
    await fill(page, anna);
    await fill(other, ben);
    await page.getByLabel('Email').waitFor();
    expect(await page.getByText(anna.user.username).count()).toBe(0);
    await context.close();
  });

  test('W27 who has been signed out reads and writes nothing any more, and finds what he had begun when he is back', async () => {
    const [anna, ben] = await Promise.all([register(server.url, 'anna'), register(server.url, 'ben')]);
    const { page, context } = await openPage();
    await signIn(page, anna);
    await openChat(page, ben.user.username);
    await page.getByRole('textbox', { name: 'Message' }).fill('half a thought');
    await endSession(page);
    await page.getByRole('button', { name: 'Sign in again' }).waitFor();
    expect(await page.getByRole('navigation').count()).toBe(0);
    expect(await page.getByRole('textbox', { name: 'Message' }).count()).toBe(0);
    await page.getByRole('button', { name: 'Sign in again' }).click();
    await page.getByLabel('Email').waitFor();
    await signIn(page, anna);
    await openChat(page, ben.user.username);
    expect(await page.getByRole('textbox', { name: 'Message' }).inputValue()).toBe('half a thought');
    await context.close();
  });

  test('U15 what a tab has left unsent another tab of the same browser sends, once and in order', async () => {
    const [anna, ben] = await Promise.all([register(server.url, 'anna'), register(server.url, 'ben')]);
    const { page, context } = await openPage();
    await signIn(page, anna);
    await openChat(page, ben.user.username);
    const other = await context.newPage();
    await other.goto(server.url);
    await openChat(other, ben.user.username);
    const { port } = new URL(server.url);
    await server.kill();
    for (const tab of [page, other]) await tab.getByText('You are offline').waitFor();
    await write(page, 'one');
    await write(page, 'two');
    await expect.poll(() => keptOn(page)).toBe(2);
    await page.close();
    await write(other, 'from the other tab');
    await bubble(other, 'two').waitFor();
    await expect.poll(() => keptOn(other)).toBe(3);
    await other.close();

    // All tabs are closed; the next one finds it.
    server = await startServer(MAIN, { ...environment, PORT: port });
    const last = await context.newPage();
    await last.goto(server.url);
    await openChat(last, ben.user.username);
    await bubble(last, 'from the other tab').waitFor();
    await last.getByRole('img', { name: 'Sending' }).waitFor({ state: 'detached' });
    await expect.poll(() => keptOn(last)).toBe(0);
    const { body } = await rest(server.url, `/messages/${anna.id}`, { token: ben.token });
    const texts = body.data.messages.map(({ content }: { content: string }) => content);
    expect(texts.filter((text: string) => text !== 'from the other tab')).toEqual(['one', 'two']);
    expect(texts).toHaveLength(3);
    await context.close();
  });

  test('W41 on a phone Enter begins a new line, and the button sends', async () => {
    const [anna, ben] = await Promise.all([register(server.url, 'anna'), register(server.url, 'ben')]);
    const { page, context } = await openPage({ viewport: { width: 360, height: 700 }, hasTouch: true, isMobile: true });
    await signIn(page, anna);
    await openChat(page, ben.user.username);
    const input = page.getByRole('textbox', { name: 'Message' });
    await input.pressSequentially('one');
    await input.press('Enter');
    await input.pressSequentially('two');
    expect(await input.inputValue()).toBe('one\ntwo');
    await page.getByRole('button', { name: 'Send' }).tap();
    await bubble(page, 'one two').waitFor();
    expect(await input.inputValue()).toBe('');
    await context.close();
  });

  test('W5 on a phone nothing is cut off or zooms, and list and conversation are two screens', async () => {
    const [anna, ben] = await Promise.all([register(server.url, 'anna'), register(server.url, 'W'.repeat(37))]);
    const device = 'd'.repeat(60);
    await rest(server.url, '/auth/login', { body: { email: anna.email, password: anna.password, device } });
    const { page, context } = await openPage({ viewport: { width: 360, height: 700 }, hasTouch: true, isMobile: true });
    const textSize = (label: string) =>
      page.getByLabel(label, { exact: true }).evaluate((box) => getComputedStyle(box).fontSize);
    await page.goto(server.url);
    for (const label of ['Email', 'Password']) expect(await textSize(label)).toBe('16px');
    await signIn(page, anna);
    const width = () => page.evaluate(() => document.documentElement.scrollWidth);
    expect(await width()).toBe(360);
    expect(await textSize('Search people')).toBe('16px');
    await openChat(page, ben.user.username);
    expect(await textSize('Message')).toBe('16px');
    await write(page, `a very long word ${'x'.repeat(300)}`);
    expect(await width()).toBe(360);
    for (let i = 0; i < 12; i++) await write(page, `line ${i}`);
    await expect.poll(() => isInView(bubble(page, 'line 11'))).toBe(true);
    // The text below grows, and the newest message stays in sight.
    await page.getByRole('textbox', { name: 'Message' }).fill('one\ntwo\nthree\nfour');
    await expect.poll(() => isInView(bubble(page, 'line 11'))).toBe(true);
    // Also when something else looks at the list before it is told of its new size.
    await page.getByRole('log').evaluate((log) => {
      (document.querySelector('.composer') as HTMLElement).style.minHeight = '300px';
      log.dispatchEvent(new Event('scroll'));
    });
    await expect.poll(() => isInView(bubble(page, 'line 11'))).toBe(true);
    expect(await page.getByRole('navigation').isVisible()).toBe(false);
    await page.getByRole('button', { name: `More about ${ben.user.username}` }).click();
    await page.getByRole('menuitem', { name: 'Block' }).click();
    /** Whether it can be pressed. */
    const fits = async (name: string) => {
      const { x, width } = (await page.getByRole('button', { name, exact: true }).boundingBox()) ?? { x: 0, width: 0 };
      return width > 0 && x >= 0 && x + width <= 360;
    };
    await expect.poll(() => fits('Unblock')).toBe(true);
    await page.getByRole('button', { name: 'Back to the list' }).click();
    expect(await page.getByRole('navigation').isVisible()).toBe(true);
    await page.getByRole('button', { name: 'Settings' }).click();
    for (const name of [`Unblock ${ben.user.username}`, `Sign out ${device}`, 'Close settings'])
      await expect.poll(() => fits(name), { message: name }).toBe(true);
    await context.close();
  });

  test('W6 signing in, choosing somebody and sending works by keyboard alone', async () => {
    const [anna, ben] = await Promise.all([register(server.url, 'anna'), register(server.url, 'ben')]);
    const { page, context } = await openPage();
    await page.goto(server.url);
    const focus = async (target: ReturnType<Page['getByLabel']>) => {
      for (let i = 0; i < 40; i++) {
        if (await target.evaluate((element) => element === document.activeElement)) return;
        await page.keyboard.press('Tab');
      }
      throw new Error('not reachable by keyboard');
    };
    await page.getByLabel('Email').waitFor();
    await focus(page.getByLabel('Email'));
    await page.keyboard.type(anna.email);
    await focus(page.getByLabel('Password', { exact: true }));
    await page.keyboard.type(anna.password);
    await page.keyboard.press('Enter');
    await page.getByLabel('Search people').waitFor();
    await focus(page.getByLabel('Search people'));
    await page.keyboard.type(ben.user.username);
    const person = page.getByRole('list', { name: 'People' }).getByRole('button');
    await expect.poll(() => person.count()).toBe(1);
    await focus(person);
    await page.keyboard.press('Enter');
    await focus(page.getByRole('textbox', { name: 'Message' }));
    await page.keyboard.type('no mouse');
    await page.keyboard.press('Enter');
    await bubble(page, 'no mouse').waitFor();
    await page.keyboard.press('Escape');
    await page.getByText('Pick somebody').waitFor();
    await context.close();
  });

  test('W38 where the browser is told to keep nothing one chats all the same, and is told what is lost', async () => {
    const [anna, ben] = await Promise.all([register(server.url, 'anna'), register(server.url, 'ben')]);
    using profile = temporaryFolder();
    mkdirSync(`${profile.path}/Default`);
    const allCookies = { profile: { default_content_setting_values: { cookies: 2 } } };
    writeFileSync(`${profile.path}/Default/Preferences`, JSON.stringify(allCookies));
    await using context = await launchProfile(profile.path);
    const page = await context.newPage();
    await signIn(page, anna);
    const error = await page.evaluate(() => localStorage.length).catch(({ message }: Error) => message);
    expect(error).toContain('Access is denied');
    await openChat(page, ben.user.username);
    await write(page, 'kept nowhere');
    await page.getByRole('img', { name: 'Sent' }).waitFor();
    await page.getByRole('alert').getByText('This browser keeps no messages').waitFor();
    await page.getByRole('button', { name: 'Sign out' }).click();
    await page.getByLabel('Email').waitFor();
  });

  test('W38 where there is no storage, tabs share nothing or the storage is full, one chats all the same', async () => {
    const [anna, ben] = await Promise.all([register(server.url, 'anna'), register(server.url, 'ben')]);
    const lacks = {
      // As in Firefox when all cookies are blocked.
      refused: () => {
        function refuse(): never {
          throw new DOMException('The operation is insecure.', 'SecurityError');
        }
        Object.defineProperty(window, 'BroadcastChannel', { value: refuse });
        for (const name of ['localStorage', 'sessionStorage']) Object.defineProperty(window, name, { get: refuse });
      },
      // As in a web view of Android whose app did not ask for it.
      none: () => {
        for (const name of ['localStorage', 'sessionStorage']) Object.defineProperty(window, name, { value: null });
      },
      full: () => {
        Storage.prototype.setItem = () => {
          throw new DOMException('The quota has been exceeded.', 'QuotaExceededError');
        };
      },
    };
    for (const lack of Object.values(lacks)) {
      const { page, context } = await openPage();
      await context.addInitScript(lack);
      await signIn(page, anna);
      await openChat(page, ben.user.username);
      await write(page, 'sent');
      await page.getByRole('img', { name: 'Sent' }).first().waitFor();
      await page.getByRole('button', { name: 'Sign out' }).click();
      await page.getByLabel('Email').waitFor();
      await context.close();
    }
  });

  test('W38 where the browser keeps who was signed in before and takes nobody else, one is signed in as oneself', async () => {
    const [anna, ben] = await Promise.all([register(server.url, 'anna'), register(server.url, 'ben')]);
    const { page, context } = await openPage();
    await page.goto(server.url);
    await page.evaluate((token) => {
      localStorage.setItem('duet.session', JSON.stringify({ token, refreshToken: 'his' }));
      Storage.prototype.setItem = () => {
        throw new DOMException('The quota has been exceeded.', 'QuotaExceededError');
      };
    }, ben.token);
    await page.getByLabel('Email').fill(anna.email);
    await page.getByLabel('Password', { exact: true }).fill(anna.password);
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByRole('navigation').getByText(anna.user.username).waitFor();
    await openChat(page, ben.user.username);
    await write(page, 'from Anna');
    await page.getByRole('img', { name: 'Sent' }).waitFor();
    await page.reload();
    await page.getByLabel('Email').waitFor();
    await context.close();
  });

  test('W7 two text clients chat, one from a file and one from the server, and log everything', async () => {
    const [anna, ben] = await Promise.all([register(server.url, 'anna'), register(server.url, 'ben')]);
    const one = await openPage();
    const two = await openPage();
    await one.page.goto(`${server.url}/text-client.html#token=${anna.token}&to=${ben.id}`);
    await two.page.goto(TEXT_CLIENT);
    await two.page.fill('#server', server.url);
    await two.page.fill('#token', ben.token);
    await two.page.fill('#receiver', anna.id);
    for (const { page } of [one, two]) {
      await page.click('#connect');
      await page.locator('#state[data-state="online"]').waitFor();
    }
    const evil = '<img src=x onerror="window.hacked=1">';
    await one.page.locator('#message').pressSequentially(evil);
    await two.page.locator('#typing', { hasText: 'typing…' }).waitFor();
    await one.page.click('#send');
    await two.page.locator('#messages li', { hasText: evil }).waitFor();
    await one.page.locator('#messages li', { hasText: 'read' }).waitFor();
    await two.page.fill('#message', 'answer');
    await two.page.click('#send');
    await one.page.locator('#messages li', { hasText: 'answer' }).waitFor();
    await two.page.click('#disconnect');
    for (const what of [
      'connect ',
      'receive_message',
      'user_typing',
      'typing_start',
      'message_read',
      'acknowledgement of send_message',
      'notification sound',
      'disconnect',
    ]) {
      await two.page.locator('#log li', { hasText: what }).first().waitFor();
    }
    for (const { page, context } of [one, two]) {
      expect(await page.evaluate(() => window.hacked)).toBeUndefined();
      expect(await page.locator('#messages img, #log img').count()).toBe(0);
      await context.close();
    }
  });

  test('W8 the text client says why it was refused', async () => {
    const { page, context } = await openPage();
    await page.goto(`${server.url}/text-client.html#token=wrong`);
    await page.click('#connect');
    await page.locator('#log li', { hasText: 'UNAUTHORIZED' }).waitFor();
    await context.close();
  });

  test('W9 the REST reference opens in a browser', async () => {
    const { page, context } = await openPage();
    await page.goto(`${server.url}/api/docs/`);
    await page.getByText('Duet REST API').waitFor();
    await page.getByText('/messages/{userId}', { exact: false }).first().waitFor();
    await context.close();
  });
});
