import { connect, next, register, rest, startTcpProxy, type TcpProxy } from '@duet/testkit';
import type { Locator, Page, Route } from 'playwright-core';
import { describe, expect, test } from 'vitest';
import { bubble, hasBrowser, openChat, painted, serverAndBrowser, signInAt, write } from './browser.ts';

type ClientSocket = Awaited<ReturnType<typeof connect>>;

describe.skipIf(!hasBrowser)('a conversation in a real browser', () => {
  const { url, openPage } = serverAndBrowser();

  const people = () => Promise.all([register(url(), 'anna'), register(url(), 'ben'), register(url(), 'carl')]);
  /** Somebody writes so many lines to somebody else. */
  async function writeLines(socket: ClientSocket, receiverId: string, count: number) {
    for (let i = 1; i <= count; i++) await socket.emitWithAck('send_message', { receiverId, content: `line ${i}` });
  }
  /** More than fits. */
  async function writeThirty(socket: ClientSocket, receiverId: string, what: string) {
    for (let i = 1; i <= 30; i++) await socket.emitWithAck('send_message', { receiverId, content: `${what} ${i}` });
  }
  /** The page has noticed it when this resolves. */
  const scroll = (page: Page, to: 'start' | 'end') =>
    page.getByRole('log').evaluate(
      (element, to) =>
        new Promise((resolve) => {
          element.addEventListener('scroll', resolve, { once: true });
          element.scrollTop = to === 'start' ? 0 : element.scrollHeight;
        }),
      to,
    );
  /** Where something is, from the top of the list of messages as it is seen. */
  const inList = (target: Locator) =>
    target.evaluate((element) => {
      const list = element.closest('.messages') as HTMLElement;
      return element.getBoundingClientRect().top - list.getBoundingClientRect().top;
    });
  const dividerIn = (page: Page) => page.getByRole('separator').filter({ hasText: 'New messages' });
  /** The list begins with the divider, and this line below it. */
  async function expectBegins(page: Page, line: string) {
    const [above, below] = [await inList(dividerIn(page)), await inList(bubble(page, line))];
    expect(above).toBeGreaterThan(-1);
    expect(below).toBeGreaterThan(above);
    expect(below).toBeLessThan(100);
  }
  /** Where nothing listens. */
  const NOWHERE = 'http://127.0.0.1:9';
  async function loseConnection(page: Page, proxy: TcpProxy) {
    proxy.lead(NOWHERE);
    proxy.cut();
    await page.locator('.banner[data-state=offline]').waitFor();
  }
  async function findConnection(page: Page, proxy: TcpProxy) {
    proxy.lead(url());
    await page.evaluate(() => window.dispatchEvent(new Event('online')));
  }
  const textBox = (page: Page) => page.getByRole('textbox', { name: 'Message' });

  test('W15 what was written stays while one looks at another conversation, after a reload, and not for the next user', async () => {
    const [anna, ben, carl] = await people();
    const { page, context } = await openPage();
    await signInAt(page, url(), anna);
    await openChat(page, ben.user.username);
    await textBox(page).fill('for Ben');
    await openChat(page, carl.user.username);
    expect(await textBox(page).inputValue()).toBe('');
    await write(page, 'sent to Carl');
    await openChat(page, ben.user.username);
    expect(await textBox(page).inputValue()).toBe('for Ben');
    await page.reload();
    await openChat(page, carl.user.username);
    expect(await textBox(page).inputValue()).toBe('');
    await openChat(page, ben.user.username);
    expect(await textBox(page).inputValue()).toBe('for Ben');
    await page.getByRole('button', { name: 'Sign out' }).click();
    await page.getByLabel('Email').waitFor();
    expect(await page.evaluate(() => JSON.stringify(sessionStorage))).not.toContain('for Ben');
    await context.close();
  });

  test('W15 Escape keeps what is written, and keys that pick a word neither send nor leave', async () => {
    const [anna, ben] = await people();
    const { page, context } = await openPage();
    await signInAt(page, url(), anna);
    await openChat(page, ben.user.username);
    /** As Safari does, when an input method picks or drops a word. */
    const compose = (key: string) =>
      textBox(page).evaluate(
        (element, key) =>
          element.dispatchEvent(new KeyboardEvent('keydown', { key, keyCode: 229, bubbles: true, cancelable: true })),
        key,
      );
    await compose('Escape');
    await textBox(page).fill('half a word');
    await compose('Enter');
    expect(await textBox(page).inputValue()).toBe('half a word');
    await page.keyboard.press('Escape');
    expect(await textBox(page).inputValue()).toBe('half a word');
    await page.keyboard.press('Enter');
    await bubble(page, 'half a word').waitFor();
    await page.keyboard.press('Escape');
    await page.getByText('Pick somebody').waitFor();
    await context.close();
  });

  test('W44 settings wait for nothing that was asked for in an outage, and say nothing of what became of it', async () => {
    const anna = await register(url(), 'anna');
    await using proxy = await startTcpProxy(url());
    const { page, context } = await openPage();
    await signInAt(page, proxy.url, anna);
    await page.getByRole('button', { name: 'Settings' }).click();
    const receipts = page.getByRole('switch', { name: 'Read receipts' });
    await receipts.and(page.locator(':checked')).waitFor({ state: 'attached' });
    const swallowed = Promise.withResolvers<Route>();
    let isOver = false;
    await page.route('**/api/**', async (route) => (isOver ? route.continue() : swallowed.resolve(route)));
    await loseConnection(page, proxy);
    const lost = await swallowed.promise;
    // Waits behind what is lost.
    await receipts.click();
    isOver = true;
    await findConnection(page, proxy);
    await page.locator('.banner[data-state=online]').waitFor({ state: 'attached' });
    await receipts.and(page.locator(':not(:checked)')).waitFor({ state: 'attached' });
    await receipts.click();
    await receipts.and(page.locator(':checked')).waitFor({ state: 'attached' });
    const failed = page.waitForEvent('requestfailed');
    await lost.abort();
    await failed;
    await painted(page);
    expect(await page.getByRole('alert').count()).toBe(0);
    const { body } = await rest(url(), '/auth/me/privacy', { token: anna.token });
    expect(body.data.privacy.readReceipts).toBe(true);
    expect(await receipts.isChecked()).toBe(true);
    await context.close();
  });

  test('W18 who searches already when the page comes up again goes on there', async () => {
    const [anna, ben] = await people();
    const { page, context } = await openPage();
    await signInAt(page, url(), anna);
    await openChat(page, ben.user.username);
    const held = Promise.withResolvers<void>();
    await page.route('**/api/auth/me', async (route) => {
      await held.promise;
      await route.continue();
    });
    await page.reload();
    await page.getByLabel('Search people').fill('who');
    held.resolve();
    await textBox(page).waitFor();
    await page.keyboard.type('ever');
    expect(await page.getByLabel('Search people').inputValue()).toBe('whoever');
    await context.close();
  });

  test('W30 a conversation opens while the list of all of them still loads', async () => {
    const [anna, ben] = await people();
    const { page, context } = await openPage();
    let release = () => {};
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    await page.route(/api\/conversations/, async (route) => {
      await held;
      await route.continue();
    });
    await page.clock.install();
    await signInAt(page, url(), anna);
    await page.locator('.banner[data-state=online]').waitFor({ state: 'attached' });
    // The list is not waited for longer than a while: that does not end here.
    await page.clock.pauseAt(await page.evaluate(() => Date.now() + 1_000));
    await page.getByText('People', { exact: true }).click();
    await page.clock.runFor(100);
    await page.getByRole('list', { name: 'People' }).getByRole('button', { name: ben.user.username }).click();
    await write(page, 'early');
    await bubble(page, 'early').waitFor();
    release();
    await page.getByRole('img', { name: 'Sent' }).waitFor();
    await context.close();
  });

  test('W35 on a phone a conversation opens, and is left again, while the server does not say who the user is', async () => {
    const [anna, ben] = await people();
    using his = await connect(url(), ben.token);
    await writeLines(his, anna.id, 1);
    const { page, context } = await openPage({ viewport: { width: 390, height: 844 } });
    await page.route('**/api/auth/me', (route) => route.fulfill({ status: 503, body: '' }));
    await signInAt(page, url(), anna);
    await page.getByRole('list', { name: 'Chats' }).getByRole('button', { name: ben.user.username }).click();
    await bubble(page, 'line 1').waitFor();
    await textBox(page).fill('half a thought');
    await page.goBack();
    const list = page.getByRole('navigation', { name: 'Chats and people' });
    await list.waitFor();
    await page.goForward();
    await page.reload();
    await bubble(page, 'line 1').waitFor();
    expect(await textBox(page).inputValue()).toBe('half a thought');
    await page.getByRole('button', { name: 'Back to the list' }).click();
    await list.waitFor();
    await context.close();
  });

  test('W37 who is blocked in one tab is so in all of them, and on another device as soon as one looks or writes there', async () => {
    const [anna, ben] = await people();
    using _his = await connect(url(), ben.token);
    const { page, context } = await openPage();
    await signInAt(page, url(), anna);
    const other = await context.newPage();
    await other.goto(url());
    const unblock = other.getByRole('button', { name: 'Unblock' });
    const dot = other.locator('main .mantine-Indicator-indicator');
    for (const tab of [page, other]) await openChat(tab, ben.user.username);
    await dot.waitFor();
    await page.getByRole('button', { name: `More about ${ben.user.username}` }).click();
    await page.getByRole('menuitem', { name: 'Block' }).click();
    await unblock.waitFor();
    expect(await dot.count()).toBe(0);
    await page.getByRole('button', { name: 'Unblock' }).click();
    await textBox(other).waitFor();

    const block = (method: 'POST' | 'DELETE') => rest(url(), `/users/${ben.id}/block`, { method, token: anna.token });
    const comeBack = () => other.evaluate(() => document.dispatchEvent(new Event('visibilitychange')));
    await block('POST');
    await comeBack();
    await unblock.waitFor();
    await block('DELETE');
    await comeBack();
    await textBox(other).waitFor();
    await block('POST');
    await write(other, 'refused');
    await unblock.waitFor();
    await expect.poll(() => unblock.evaluate((element) => element === document.activeElement)).toBe(true);
    await context.close();
  });

  test('W39 what is written from right to left begins on the right, wherever it stands', async () => {
    const [anna, ben] = await people();
    const { page, context } = await openPage();
    await signInAt(page, url(), anna);
    await openChat(page, ben.user.username);
    await textBox(page).fill('שלום!\nמה שלומך היום?');
    expect(await textBox(page).evaluate((box) => getComputedStyle(box).direction)).toBe('rtl');
    await page.keyboard.press('Enter');
    // From the right edge of the bubble to that of its first line, which is the shorter one.
    const gap = () =>
      page.locator('.bubble').evaluate((element) => {
        const range = document.createRange();
        range.selectNodeContents(element.querySelector('.text') as Element);
        const parts = [...range.getClientRects()];
        const line = parts.filter(({ top }) => top === parts[0]?.top).map(({ right }) => right);
        return element.getBoundingClientRect().right - Math.max(...line);
      });
    expect(await gap()).toBeLessThan(20);
    await page.getByText('Chats', { exact: true }).click();
    const preview = page.getByRole('list', { name: 'Chats' }).locator('bdi');
    expect(await preview.textContent()).toContain('שלום!');
    await context.close();
  });

  test('W40 in the dark the page is dark before its script has come', async () => {
    const { page, context } = await openPage({ colorScheme: 'dark' });
    await page.route('**/*.js', (route) => route.abort());
    await page.goto(url());
    expect(await page.evaluate(() => getComputedStyle(document.body).backgroundColor)).toBe('rgb(31, 31, 31)');
    await context.close();
  });

  test('W31 whoever has deleted his account has no name any more, also where his conversation was open', async () => {
    const [anna, ben] = await people();
    using his = await connect(url(), ben.token);
    await writeLines(his, anna.id, 1);
    const { page, context } = await openPage();
    await signInAt(page, url(), anna);
    await openChat(page, ben.user.username);
    await rest(url(), '/auth/me', { method: 'DELETE', token: ben.token, body: { password: ben.password } });
    await page.reload();
    await page.getByRole('main', { name: 'Conversation with Deleted user' }).waitFor();
    await page.getByRole('heading', { name: 'Deleted user' }).waitFor();
    await page.locator('.bubble', { hasText: /^Deleted user:\s*line 1/ }).waitFor();
    expect(await page.getByText(ben.user.username).count()).toBe(0);
    await context.close();
  });

  test('W43 who is online is seen to be so after a reload, and when one shows again that one is, in list and conversation', async () => {
    const [anna, ben, carl] = await people();
    using _his = await connect(url(), ben.token);
    using hers = await connect(url(), anna.token);
    await writeLines(hers, carl.id, 1);
    const { page, context } = await openPage();
    await signInAt(page, url(), anna);
    await page.getByText('People', { exact: true }).click();
    const row = page.getByRole('list', { name: 'People' }).getByRole('button', { name: ben.user.username });
    const says = (target: Locator, text: string) => expect.poll(() => target.textContent()).toBe(text);
    await says(row.locator('.row-line').last(), 'online');
    async function hideAndShow(target: Locator) {
      await page.getByRole('button', { name: 'Settings' }).click();
      const presence = page.getByRole('switch', { name: 'Presence' });
      await presence.and(page.locator(':checked')).waitFor({ state: 'attached' });
      await presence.click();
      await says(target, '');
      await presence.click();
      await says(target, 'online');
      await page.keyboard.press('Escape');
      await page.getByRole('dialog').waitFor({ state: 'detached' });
    }
    await hideAndShow(row.locator('.row-line').last());

    await row.click();
    await page.getByText('Chats', { exact: true }).click();
    await row.waitFor({ state: 'detached' });
    const status = page.locator('.peer-status');
    await hideAndShow(status);
    await page.reload();
    await says(status, 'online');
    await context.close();
  });

  test('W45 who has just come is in the list of people, also after somebody who is not in it', async () => {
    const anna = await register(url(), 'anna');
    const { page, context } = await openPage();
    await signInAt(page, url(), anna);
    await page.getByLabel('Search people').fill('newcomer');
    await page.getByText('Nobody of that name').waitFor();
    const asked = page.waitForResponse(/users\?q=newcomer/);
    const stranger = await register(url(), 'stranger');
    using _theirs = await connect(url(), stranger.token);
    await asked;
    const newcomer = await register(url(), 'newcomer');
    using _his = await connect(url(), newcomer.token);
    await page.getByRole('list', { name: 'People' }).getByRole('button', { name: newcomer.user.username }).waitFor();
    await context.close();
  });

  test('W45 strangers who come do not keep a search from its end', async () => {
    const [anna, ben] = await Promise.all([register(url(), 'anna'), register(url(), 'ben')]);
    const { page, context } = await openPage();
    const opened = page.waitForEvent('websocket');
    await signInAt(page, url(), anna);
    const socket = await opened;
    const first = Promise.withResolvers<Route>();
    // Any after the first one is never answered.
    await page.route(/users\?q=ben/, (route) => first.resolve(route));
    await page.getByLabel('Search people').fill(ben.user.username);
    const route = await first.promise;
    const stranger = await register(url(), 'stranger');
    const announced = socket.waitForEvent('framereceived', ({ payload }) => payload.includes(stranger.id));
    using _theirs = await connect(url(), stranger.token);
    await announced;
    await painted(page);
    await route.continue();
    await page.getByText(`1 found for ${ben.user.username}`).waitFor({ state: 'attached' });
    await context.close();
  });

  test('W32 what was said today was said yesterday when the day has ended, in the list and in the conversation', async () => {
    const [anna, ben] = await people();
    using his = await connect(url(), ben.token);
    const { data } = await his.emitWithAck('send_message', { receiverId: anna.id, content: 'good night' });
    const midnight = new Date(data.message.createdAt).setUTCHours(24, 0, 0, 0);
    const { page, context } = await openPage({ timezoneId: 'UTC' });
    await page.clock.install({ time: midnight - 10_000 });
    await page.clock.pauseAt(midnight - 3_000);
    await signInAt(page, url(), anna);
    const heading = page.getByRole('log').getByRole('heading');
    const row = page.getByRole('list', { name: 'Chats' }).getByRole('button', { name: ben.user.username });
    await row.click();
    await expect.poll(() => heading.allTextContents()).toEqual(['Today']);
    expect(await row.textContent()).not.toContain('Yesterday');
    await page.clock.runFor(5_000);
    await expect.poll(() => heading.allTextContents()).toEqual(['Yesterday']);
    expect(await row.textContent()).toContain('Yesterday');
    await context.close();
  });

  test('W16 what comes while the reader has scrolled up is read when he gets there, by a button or by scrolling', async () => {
    const [anna, ben] = await people();
    using his = await connect(url(), ben.token);
    using hers = await connect(url(), anna.token);
    await writeLines(hers, ben.id, 30);
    const { page, context } = await openPage();
    await signInAt(page, url(), anna);
    await openChat(page, ben.user.username);
    await page.getByText('Chats', { exact: true }).click();
    await bubble(page, 'line 1').waitFor();
    const button = page.getByRole('button', { name: 'New messages' });
    const unread = page.getByLabel('1 unread');
    for (const go of [() => button.click(), () => scroll(page, 'end')]) {
      await unread.waitFor({ state: 'detached' });
      await scroll(page, 'start');
      expect(await button.count()).toBe(0);
      const { data } = await his.emitWithAck('send_message', { receiverId: anna.id, content: 'news' });
      await button.waitFor();
      await unread.waitFor();
      const read = next(his, 'message_read_receipt', ({ messageId }) => messageId === data.message._id);
      await go();
      await read;
      await unread.waitFor({ state: 'detached' });
      await button.waitFor({ state: 'detached' });
    }
    await scroll(page, 'start');
    await writeThirty(his, anna.id, 'more');
    await page.getByLabel('30 unread').waitFor();
    await button.click();
    await expectBegins(page, 'more 1');
    expect(await page.getByLabel('30 unread').count()).toBe(1);
    await button.click();
    await page.getByLabel('30 unread').waitFor({ state: 'detached' });
    await context.close();
  });

  test('W33 a conversation is read from where the unread begins, and nothing of it before it could be loaded', async () => {
    const [anna, ben] = await people();
    using his = await connect(url(), ben.token);
    await writeLines(his, anna.id, 60);
    const { page, context } = await openPage();
    const history = `**/api/messages/${ben.id}*`;
    const error = { success: false, code: 'UNAVAILABLE', message: 'not now' };
    await page.route(history, (route) => route.fulfill({ status: 503, json: error }));
    await signInAt(page, url(), anna);
    const unread = page.getByLabel('60 unread');
    await unread.waitFor();
    await page.getByRole('list', { name: 'Chats' }).getByRole('button', { name: ben.user.username }).click();
    await bubble(page, 'line 60').waitFor();
    await page.getByRole('alert').getByText('The messages could not be loaded').waitFor();
    expect(await unread.count()).toBe(1);

    await page.unroute(history);
    let release = () => {};
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    await page.route(history, async (route) => {
      await held;
      await route.continue();
    });
    await page.getByRole('button', { name: 'Try again' }).click();
    await page.getByLabel('Loading messages').waitFor();
    release();
    const divider = dividerIn(page);
    await bubble(page, 'line 1').waitFor();
    const [above, below] = [await inList(divider), await inList(bubble(page, 'line 1'))];
    expect(above).toBeGreaterThanOrEqual(0);
    expect(below).toBeGreaterThan(above);
    expect(below).toBeLessThan(300);
    expect(await unread.count()).toBe(1);

    const read = next(his, 'message_read_receipt', ({ seq }) => seq === 60);
    await scroll(page, 'end');
    await read;
    await unread.waitFor({ state: 'detached' });
    // What comes now is seen as it comes.
    await his.emitWithAck('send_message', { receiverId: anna.id, content: 'live' });
    await bubble(page, 'live').waitFor();
    expect(await divider.count()).toBe(1);
    expect(await inList(divider)).toBeLessThan(0);
    await context.close();
  });

  test('W33 neither what was read before nor what waits to be sent keeps a conversation from opening at the unread', async () => {
    const [anna, ben, carl] = await people();
    using his = await connect(url(), ben.token);
    await using proxy = await startTcpProxy(url());
    const { page, context } = await openPage({ viewport: { width: 1000, height: 600 } });
    await signInAt(page, proxy.url, anna);
    await openChat(page, ben.user.username);
    await writeLines(his, anna.id, 420);
    await bubble(page, 'line 420').waitFor();
    await openChat(page, carl.user.username);
    await writeThirty(his, anna.id, 'later');
    await page.getByText('Chats', { exact: true }).click();
    await page.getByLabel('30 unread').waitFor();
    const row = page.getByRole('list', { name: 'Chats' }).getByRole('button', { name: ben.user.username });
    await row.click();
    await bubble(page, 'later 30').waitFor();
    await expectBegins(page, 'later 1');
    await page.getByLabel('30 unread').waitFor();

    const read = next(his, 'message_read_receipt', ({ seq }) => seq === 450);
    await scroll(page, 'end');
    await read;
    await loseConnection(page, proxy);
    await write(page, 'it waits');
    await page.goto('about:blank');
    await writeThirty(his, anna.id, 'last');
    proxy.lead(url());
    await page.goBack();
    await bubble(page, 'last 30').waitFor();
    await page.getByRole('img', { name: 'Sent' }).waitFor();
    await expectBegins(page, 'last 1');
    await page.getByLabel('30 unread').waitFor();
    await context.close();
  });

  test('W42 who reads the end stays where the new begins when more has come than fits, as while he was away', async () => {
    const [anna, ben] = await people();
    using his = await connect(url(), ben.token);
    using hers = await connect(url(), anna.token);
    await writeLines(hers, ben.id, 20);
    await using proxy = await startTcpProxy(url());
    const { page, context } = await openPage({ viewport: { width: 1000, height: 600 } });
    await signInAt(page, proxy.url, anna);
    await openChat(page, ben.user.username);
    await page.getByText('Chats', { exact: true }).click();
    await bubble(page, 'line 20').waitFor();
    const unread = page.getByLabel('30 unread');
    const live = async (text: string) => {
      const { data } = await his.emitWithAck('send_message', { receiverId: anna.id, content: text });
      await next(his, 'message_read_receipt', ({ messageId }) => messageId === data.message._id);
      expect(await inList(bubble(page, text))).toBeLessThan(600);
    };
    await live('seen as it comes');
    expect(await dividerIn(page).count()).toBe(0);

    await loseConnection(page, proxy);
    await writeThirty(his, anna.id, 'asleep');
    await findConnection(page, proxy);
    await bubble(page, 'asleep 30').waitFor();
    await expectBegins(page, 'asleep 1');
    expect(await unread.count()).toBe(1);
    await scroll(page, 'end');
    await unread.waitFor({ state: 'detached' });
    await live('at the end again');

    const see = (state: 'hidden' | 'visible') =>
      page.evaluate((state) => {
        Object.defineProperty(document, 'visibilityState', { configurable: true, get: () => state });
        document.dispatchEvent(new Event('visibilitychange'));
      }, state);
    await see('hidden');
    await writeThirty(his, anna.id, 'hidden');
    await bubble(page, 'hidden 30').waitFor();
    await see('visible');
    await expectBegins(page, 'hidden 1');
    expect(await unread.count()).toBe(1);
    await context.close();
  });

  test('W34 whoever reads older messages stays there when he writes in another tab', async () => {
    const [anna, ben] = await people();
    using his = await connect(url(), ben.token);
    await writeLines(his, anna.id, 35);
    await using proxy = await startTcpProxy(url());
    const { page, context } = await openPage();
    await signInAt(page, proxy.url, anna);
    await openChat(page, ben.user.username);
    await bubble(page, 'line 35').waitFor();
    const other = await context.newPage();
    await other.goto(proxy.url);
    await openChat(other, ben.user.username);
    await loseConnection(page, proxy);
    const before = await inList(bubble(page, 'line 1'));
    await write(other, 'it waits');
    await other.getByRole('img', { name: 'Sending' }).waitFor();
    await page.evaluate(() => window.dispatchEvent(new Event('focus')));
    await bubble(page, 'it waits').waitFor();
    expect(await inList(bubble(page, 'line 1'))).toBe(before);
    await context.close();
  });

  test('W34 whoever reads older messages stays there, whatever waits or comes and however the window turns', async () => {
    const [anna, ben] = await people();
    using his = await connect(url(), ben.token);
    using hers = await connect(url(), anna.token);
    for (let i = 1; i <= 35; i++)
      await hers.emitWithAck('send_message', { receiverId: ben.id, content: `${i} ${'and so on '.repeat(12 + i)}` });
    const { page, context } = await openPage();
    await page.routeWebSocket(/socket\.io/, (client) => {
      const node = client.connectToServer();
      client.onMessage((packet) => {
        if (!String(packet).includes('"send_message"')) node.send(packet);
      });
    });
    await signInAt(page, url(), anna);
    await openChat(page, ben.user.username);
    await page.locator('.bubble').nth(34).waitFor();
    await write(page, 'it waits');
    await page.getByRole('img', { name: 'Sending' }).waitFor();
    const place = (i: number) =>
      page
        .locator('.bubble')
        .nth(i)
        .evaluate((element) => Math.round(element.getBoundingClientRect().top));
    await page.getByRole('log').evaluate(
      (list) =>
        new Promise((resolve) => {
          list.addEventListener('scroll', resolve, { once: true });
          const [top, to] = [list, list.querySelectorAll('.bubble')[14] as Element].map(
            (element) => element.getBoundingClientRect().top,
          ) as [number, number];
          list.scrollTop += to - top + 10;
        }),
    );
    const before = await place(14);
    await his.emitWithAck('send_message', { receiverId: anna.id, content: 'news' });
    await page.getByRole('button', { name: 'New messages' }).waitFor();
    expect(await place(14)).toBe(before);

    for (const width of [500, 1280]) {
      await page.setViewportSize({ width, height: 720 });
      await painted(page);
      expect(Math.abs((await place(14)) - before)).toBeLessThanOrEqual(2);
    }
    await context.close();
  });

  test('W17 where the window holds more than a page the older ones come by themselves', async () => {
    const [anna, ben] = await people();
    using his = await connect(url(), ben.token);
    await writeLines(his, anna.id, 90);
    const { page, context } = await openPage({ viewport: { width: 1280, height: 6000 } });
    await signInAt(page, url(), anna);
    await openChat(page, ben.user.username);
    await bubble(page, 'line 1').waitFor();
    expect(await page.locator('.older').count()).toBe(0);
    await context.close();
  });

  test('W17 what could not be loaded is loaded by a button, or when the connection is back', async () => {
    const [anna, ben] = await people();
    using hers = await connect(url(), anna.token);
    await writeLines(hers, ben.id, 90);
    await using proxy = await startTcpProxy(url());
    const { page, context } = await openPage();
    await signInAt(page, proxy.url, anna);
    await openChat(page, ben.user.username);
    await bubble(page, 'line 51').waitFor();
    const button = page.getByRole('button', { name: 'Try again' });
    for (const [again, line] of [
      [() => button.click(), 'line 50'],
      [proxy.cut, 'line 10'],
    ] as const) {
      await page.route(/before=/, (route) => route.abort());
      const failed = page.waitForEvent('requestfailed');
      await scroll(page, 'start');
      await failed;
      await button.waitFor();
      await page.getByRole('alert').getByText('could not be loaded').waitFor();
      expect(await page.getByLabel('Loading older messages').count()).toBe(0);
      await page.unroute(/before=/);
      await again();
      await bubble(page, line).waitFor();
    }
    await context.close();
  });

  test('W17 older messages move nobody, also where both ends of the list are near', async () => {
    const [anna, ben] = await people();
    using hers = await connect(url(), anna.token);
    await writeLines(hers, ben.id, 60);
    const { page, context } = await openPage();
    let release = () => {};
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    await page.route(/before=/, async (route) => {
      await held;
      await route.continue();
    });
    await signInAt(page, url(), anna);
    await openChat(page, ben.user.username);
    const oldest = bubble(page, 'line 21');
    await oldest.waitFor();
    const height = await page
      .getByRole('log')
      .evaluate((element) => window.innerHeight - element.clientHeight + element.scrollHeight - 30);
    const asked = page.waitForRequest(/before=/);
    await page.setViewportSize({ width: 1280, height });
    // The list has followed the size of the window two frames later.
    await painted(page);
    await scroll(page, 'start');
    await asked;
    const place = () => oldest.evaluate((element) => Math.round(element.getBoundingClientRect().top));
    const before = await place();
    release();
    await bubble(page, 'line 1').waitFor();
    expect(Math.abs((await place()) - before)).toBeLessThanOrEqual(1);
    await context.close();
  });

  test('W18 the focus stays in the text box, and goes to the row of whoever is left, to the form and to the list', async () => {
    const [anna, ben, carl] = await people();
    const { page, context } = await openPage();
    await signInAt(page, url(), anna);
    await openChat(page, ben.user.username);
    const isWriting = () => textBox(page).evaluate((element) => element === document.activeElement);
    await textBox(page).fill('by button');
    await page.getByRole('button', { name: 'Send', exact: true }).hover();
    await page.mouse.down();
    expect(await isWriting()).toBe(true);
    await page.mouse.up();
    await page.getByRole('img', { name: 'Sent' }).waitFor();
    expect(await isWriting()).toBe(true);
    await textBox(page).fill('by keyboard');
    await page.keyboard.press('Tab');
    await page.keyboard.press('Enter');
    await bubble(page, 'by keyboard').waitFor();
    expect(await isWriting()).toBe(true);

    await openChat(page, carl.user.username);
    // Who is no more gets nothing: what is written to him is refused.
    await rest(url(), '/auth/me', { method: 'DELETE', token: carl.token, body: { password: carl.password } });
    await write(page, 'refused');
    await page.getByRole('button', { name: 'Try again' }).click();
    await expect.poll(isWriting).toBe(true);
    await page.getByRole('button', { name: 'Discard' }).click();
    await bubble(page, 'refused').waitFor({ state: 'detached' });
    expect(await isWriting()).toBe(true);

    await openChat(page, ben.user.username);
    await page.getByText('Chats', { exact: true }).click();
    const row = page.getByRole('list', { name: 'Chats' }).getByRole('button', { name: ben.user.username });
    await row.waitFor();
    await textBox(page).focus();
    await page.keyboard.press('Escape');
    await page.getByText('Pick somebody').waitFor();
    await expect.poll(() => row.evaluate((element) => element === document.activeElement)).toBe(true);

    const hasFocus = (target: Locator) =>
      expect.poll(() => target.evaluate((element) => element === document.activeElement)).toBe(true);
    const list = page.getByRole('navigation', { name: 'Chats and people' });
    await page.getByRole('button', { name: 'Sign out' }).click();
    await page.getByLabel('Email').waitFor();
    await hasFocus(page.getByLabel('Email'));
    await page.keyboard.type(anna.email);
    await page.getByLabel('Password', { exact: true }).fill(anna.password);
    await page.keyboard.press('Enter');
    await list.waitFor();
    await hasFocus(list);
    await row.click();
    await textBox(page).waitFor();
    const { token } = JSON.parse(await page.evaluate(() => localStorage.getItem('duet.session') as string));
    await rest(url(), '/auth/logout', { method: 'POST', token });
    const banner = page.getByRole('status').filter({ hasText: 'You have been signed out.' });
    await banner.waitFor();
    await hasFocus(banner);
    await page.keyboard.press('Tab');
    await page.keyboard.press('Enter');
    await hasFocus(page.getByLabel('Email'));
    await context.close();
  });
});
