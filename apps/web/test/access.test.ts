import { connect, register, rest } from '@duet/testkit';
import type { Locator, Page } from 'playwright-core';
import { describe, expect, test } from 'vitest';
import { bubble, hasBrowser, openChat, scrollUpTo, serverAndBrowser, signInAt, write } from './browser.ts';

describe.skipIf(!hasBrowser)('what everybody can use, in a real browser', () => {
  const { url, openPage } = serverAndBrowser();

  const people = () => Promise.all([register(url(), 'anna'), register(url(), 'ben')]);

  test('W19 rows say all that they show, bubbles who wrote them, and only what is new is announced', async () => {
    const [anna, ben] = await people();
    using his = await connect(url(), ben.token);
    const say = (content: string) => his.emitWithAck('send_message', { receiverId: anna.id, content });
    for (let i = 1; i <= 50; i++) await say(`line ${i}`);
    const { page, context } = await openPage();
    await signInAt(page, url(), anna);
    const name = ben.user.username;
    const row = (says: string) =>
      page.getByRole('list', { name: 'Chats' }).getByRole('button', { name: new RegExp(`^${name} .*${says}`) });
    await row('online line 50 50 unread').waitFor();
    his.emit('typing_start', { receiverId: anna.id });
    await row('typing… 50 unread').waitFor();

    await openChat(page, name);
    await write(page, 'mine');
    const said = async (text: string) =>
      page
        .locator('.bubble')
        .filter({ has: page.getByText(text, { exact: true }) })
        .textContent();
    expect(await said('mine')).toMatch(/^You:\s*mine/);
    expect(await said('line 50')).toMatch(new RegExp(`^${name}:\\s*line 50`));
    const log = page.getByRole('log');
    await scrollUpTo(page, 'line 1');
    expect(await log.getAttribute('aria-live')).toBe('off');
    const news = page.getByRole('status', { name: 'New messages' });
    expect(await news.textContent()).toBe('');
    await say('fresh');
    await expect.poll(() => news.textContent()).toBe(`${name}: fresh`);
    const carl = await register(url(), 'carl');
    using carls = await connect(url(), carl.token);
    await carls.emitWithAck('send_message', { receiverId: anna.id, content: 'not for all ears' });
    await expect
      .poll(() => news.locator('p').allTextContents())
      .toEqual([`${name}: fresh`, `New message from ${carl.user.username}`]);

    const says = (text: string) => page.getByRole('status').filter({ hasText: text }).waitFor({ state: 'attached' });
    const search = page.getByLabel('Search people');
    await search.fill(name);
    await says(`1 found for ${name}`);
    await search.fill(`${name} is not here`);
    await says('Nobody of that name.');
    await page.route(/users\?q=/, (route) => route.abort());
    await search.fill('cannot be searched for');
    await says('The server cannot be reached');
    await search.fill('');
    await page.getByRole('textbox', { name: 'Message' }).fill('x'.repeat(4_005));
    await says('Too long');
    await page.keyboard.press('Enter');
    await says('Not sent: 5 characters too many');

    await rest(url(), `/users/${ben.id}/block`, { method: 'POST', token: anna.token });
    await write(page, 'refused');
    await row('Not sent: refused').waitFor();
    await context.close();
  });

  /** What can be seen of the page with a contrast below 4.5 to 1. */
  const faint = (page: Page): Promise<string[]> =>
    page.evaluate(() => {
      type Rgba = [number, number, number, number];
      const pen = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
      if (!pen) throw new Error('no canvas');
      const parse = (color: string): Rgba => {
        pen.clearRect(0, 0, 1, 1);
        pen.fillStyle = color;
        pen.fillRect(0, 0, 1, 1);
        const [r, g, b, a] = pen.getImageData(0, 0, 1, 1).data as unknown as Rgba;
        return [r, g, b, a / 255];
      };
      const over = ([r, g, b, a]: Rgba, [x, y, z]: Rgba): Rgba => [
        r * a + x * (1 - a),
        g * a + y * (1 - a),
        b * a + z * (1 - a),
        1,
      ];
      const ground = (element: Element | null): Rgba =>
        element
          ? over(parse(getComputedStyle(element).backgroundColor), ground(element.parentElement))
          : [255, 255, 255, 1];
      const opacity = (element: Element | null): number =>
        element ? Number(getComputedStyle(element).opacity) * opacity(element.parentElement) : 1;
      const luminance = (color: Rgba) => {
        const [r, g, b] = color.slice(0, 3).map((value) => {
          const part = value / 255;
          return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
        }) as [number, number, number];
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
      };
      const contrast = (element: Element, color: string) => {
        const [r, g, b, a] = parse(color);
        const behind = ground(element);
        const one = luminance(over([r, g, b, a * opacity(element)], behind)) + 0.05;
        const other = luminance(behind) + 0.05;
        return Math.max(one, other) / Math.min(one, other);
      };
      // A button that has just been pressed is on its way to its own colour.
      for (const animation of document.getAnimations())
        if (animation.effect?.getComputedTiming().endTime !== Number.POSITIVE_INFINITY) animation.finish();
      const found: [Element, string, string][] = [];
      for (const element of document.querySelectorAll('body *')) {
        if (!element.checkVisibility() || element.closest('[aria-hidden=true], :disabled, script, noscript')) continue;
        const { color } = getComputedStyle(element);
        const text = [...element.childNodes]
          .filter((node) => node.nodeType === Node.TEXT_NODE)
          .map((node) => node.textContent?.trim())
          .join('');
        if (text || element.matches('svg[role=img]')) found.push([element, text || 'mark', color]);
        const { placeholder } = element as HTMLInputElement;
        if (placeholder) found.push([element, placeholder, getComputedStyle(element, '::placeholder').color]);
      }
      return found
        .filter(([element, , color]) => contrast(element, color) < 4.5)
        .map(([element, text, color]) => `${text}: ${color} ${contrast(element, color).toFixed(2)}`);
    });

  test('W20 text can be read in light and in dark', async () => {
    for (const colorScheme of ['light', 'dark'] as const) {
      const [anna, ben] = await people();
      const carl = await register(url(), 'carl');
      using his = await connect(url(), ben.token);
      using carls = await connect(url(), carl.token);
      const { page, context } = await openPage({ colorScheme, reducedMotion: 'reduce' });
      await page.goto(url());
      await page.getByRole('button', { name: 'Register' }).click();
      await page.getByLabel('Email').fill('nobody');
      await page.getByRole('button', { name: 'Create account' }).click();
      await page.locator('[aria-invalid=true]').first().waitFor();
      expect(await faint(page)).toEqual([]);

      await signInAt(page, url(), anna);
      await openChat(page, ben.user.username);
      await write(page, 'mine');
      await page.getByRole('img', { name: 'Sent' }).waitFor();
      const { data } = await his.emitWithAck('send_message', { receiverId: anna.id, content: 'theirs' });
      const { body } = await rest(url(), `/messages/${anna.id}`, { token: ben.token });
      await his.emitWithAck('message_read', { messageId: body.data.messages[0]._id, senderId: anna.id });
      expect(data.message.content).toBe('theirs');
      await page.getByRole('img', { name: 'Read' }).waitFor();
      await carls.emitWithAck('send_message', { receiverId: anna.id, content: 'unread' });
      await page.getByText('People', { exact: true }).click();
      await page.getByRole('list', { name: 'People' }).getByText('online').first().waitFor();
      expect(await faint(page)).toEqual([]);
      await page.getByText('Chats', { exact: true }).click();
      await page.getByLabel('1 unread').waitFor();
      await page.locator('.peer-status', { hasText: 'online' }).waitFor();
      expect(await faint(page)).toEqual([]);
      his.emit('typing_start', { receiverId: anna.id });
      await page.locator('.row', { hasText: 'typing…' }).waitFor();
      expect(await faint(page)).toEqual([]);

      await rest(url(), `/users/${ben.id}/block`, { method: 'POST', token: anna.token });
      await write(page, 'refused');
      await page.getByRole('button', { name: 'Discard' }).waitFor();
      for (const state of ['offline', 'connecting', 'refused']) {
        // As the banner looks in each of its states.
        await page.locator('.banner').evaluate((element, state) => {
          element.setAttribute('data-state', state);
          element.textContent = state;
        }, state);
        expect(await faint(page)).toEqual([]);
      }
      await page.getByRole('button', { name: 'Settings' }).click();
      const buttons = page.getByRole('dialog').getByRole('button');
      await buttons.filter({ hasText: 'Unblock' }).waitFor();
      for (const button of await buttons.filter({ visible: true }).all()) {
        await button.hover();
        expect(await faint(page)).toEqual([]);
      }
      for (const form of ['Change password', 'Delete account']) {
        await page.getByRole('button', { name: form }).click();
        await page.getByRole('form', { name: form }).locator('input').last().press('Enter');
        await page.locator('[aria-invalid=true]').first().waitFor();
        expect(await faint(page)).toEqual([]);
        await page.getByRole('button', { name: 'Cancel' }).click();
      }
      await context.close();
    }
  });

  /** How much a line of something, or of what stands before it, differs from what is around. */
  const contrastOf = (target: Locator, line: 'borderTopColor' | 'borderLeftColor' | 'outlineColor', pseudo?: string) =>
    target.evaluate(
      (element, { line, pseudo }) => {
        for (const animation of document.getAnimations()) animation.finish();
        const luminance = (color: string) => {
          const [r, g, b] = (color.match(/[\d.]+/g) ?? []).slice(0, 3).map((value) => {
            const part = Number(value) / 255;
            return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
          }) as [number, number, number];
          return 0.2126 * r + 0.7152 * g + 0.0722 * b;
        };
        let around = pseudo ? element : element.parentElement;
        while (around && /^rgba\(.*, 0\)$/.test(getComputedStyle(around).backgroundColor))
          around = around.parentElement;
        const style = getComputedStyle(element, pseudo);
        const width = style[line.replace('Color', 'Width') as 'outlineWidth'];
        const kind = style[line.replace('Color', 'Style') as 'outlineStyle'];
        if (!around || kind === 'none' || Number.parseFloat(width) === 0) return 0;
        const [one, other] = [luminance(style[line]), luminance(getComputedStyle(around).backgroundColor)].map(
          (each) => each + 0.05,
        ) as [number, number];
        return Math.max(one, other) / Math.min(one, other);
      },
      { line, pseudo },
    );

  test('W36 what is chosen, what has the focus and where one writes can be seen: in light, in dark and in forced colours', async () => {
    const [anna, ben] = await people();
    const { page, context } = await openPage({ reducedMotion: 'reduce' });
    await signInAt(page, url(), anna);
    await openChat(page, ben.user.username);
    await write(page, 'mine');
    await page.getByRole('img', { name: 'Sent' }).waitFor();
    await page.getByText('Chats', { exact: true }).click();
    const row = page.locator('.row[aria-current=true]');
    const search = page.getByLabel('Search people');
    const settings = page.getByRole('button', { name: 'Settings' });
    for (const colorScheme of ['light', 'dark'] as const) {
      await page.emulateMedia({ colorScheme });
      await settings.focus();
      await page.keyboard.press('Shift+Tab');
      await page.keyboard.press('Tab');
      const seen: Record<string, number> = { button: await contrastOf(settings, 'outlineColor') };
      for (let i = 0; i < 10 && !(await row.evaluate((it) => it === document.activeElement)); i++)
        await page.keyboard.press('Tab');
      seen.row = await contrastOf(row, 'outlineColor');
      seen.chosenRow = await contrastOf(row, 'borderLeftColor', '::before');
      seen.chosenTab = await contrastOf(page.locator('.mantine-SegmentedControl-indicator'), 'borderTopColor');
      seen.field = await contrastOf(search, 'borderTopColor');
      await search.focus();
      seen.focusedField = await contrastOf(search, 'borderTopColor');
      expect(Object.entries(seen).filter(([, contrast]) => contrast < 3)).toEqual([]);
    }

    await page.emulateMedia({ forcedColors: 'active' });
    const edge = (target: Locator) => target.evaluate((element) => getComputedStyle(element).borderTopWidth);
    expect(await edge(page.locator('.bubble'))).toBe('1px');
    expect(await edge(page.locator('.mantine-SegmentedControl-indicator'))).toBe('1px');
    await settings.click();
    const receipts = page.getByRole('switch', { name: 'Read receipts' });
    const track = page.locator('.mantine-Switch-track').last();
    const ground = () => track.evaluate((element) => getComputedStyle(element).backgroundColor);
    await receipts.and(page.locator(':checked')).waitFor({ state: 'attached' });
    expect(await edge(track)).toBe('1px');
    const on = await ground();
    await receipts.click();
    await receipts.and(page.locator(':not(:checked)')).waitFor({ state: 'attached' });
    await expect.poll(ground).not.toBe(on);
    await context.close();
  });

  test('W21 a refused form has the focus in its first bad field, and signing out leaves no count in the title', async () => {
    const [anna, ben] = await people();
    using his = await connect(url(), ben.token);
    await his.emitWithAck('send_message', { receiverId: anna.id, content: 'unread' });
    const { page, context } = await openPage();
    await page.goto(url());
    const email = page.getByLabel('Email');
    const password = page.getByLabel('Password', { exact: true });
    const hasFocus = (field: typeof email) => field.evaluate((element) => element === document.activeElement);
    expect(await email.getAttribute('autocomplete')).toBe('username');
    await email.fill(anna.email);
    await password.fill('something else');
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByRole('alert').waitFor();
    await expect.poll(() => hasFocus(password)).toBe(true);

    await page.getByRole('button', { name: 'Register' }).click();
    expect(await page.getByLabel('Username').getAttribute('autocomplete')).toBe('nickname');
    expect(await email.getAttribute('autocomplete')).toBe('username');
    await page.getByLabel('Username').fill('Somebody');
    await email.fill('nonsense');
    await password.fill('short');
    await page.getByRole('button', { name: 'Create account' }).click();
    await expect.poll(() => hasFocus(email)).toBe(true);
    for (const bad of [email, password]) expect(await bad.getAttribute('aria-invalid')).toBe('true');

    await signInAt(page, url(), anna);
    await expect.poll(() => page.title()).toBe('(1) Duet');
    await page.getByRole('button', { name: 'Sign out' }).click();
    await email.waitFor();
    expect(await page.title()).toBe('Duet');
    await context.close();
  });

  test("W22 the browser's Back and the arrow lead from a conversation to the list, however many were open", async () => {
    const [anna, ben] = await people();
    const { page, context } = await openPage({ viewport: { width: 360, height: 700 } });
    await signInAt(page, url(), anna);
    const list = page.getByRole('navigation', { name: 'Chats and people' });
    const entries = await page.evaluate(() => history.length);
    await openChat(page, ben.user.username);
    await write(page, 'hello');
    await bubble(page, 'hello').waitFor();
    await page.goBack();
    await list.waitFor();
    // The focus is where the user left.
    await expect.poll(() => page.locator('.row:focus').textContent()).toContain(ben.user.username);

    await openChat(page, ben.user.username);
    await page.getByRole('button', { name: 'Back to the list' }).dblclick();
    await list.waitFor();
    expect(await page.evaluate(() => history.state)).toBeNull();

    await page.setViewportSize({ width: 1280, height: 700 });
    await openChat(page, ben.user.username);
    await openChat(page, ben.user.username);
    expect(await page.evaluate(() => history.length)).toBe(entries + 1);
    await page.goBack();
    await page.getByText('Pick somebody').waitFor();
    await context.close();
  });

  test('W22 a page that is loaded anew goes on in its conversation, one Back leads to the list, and the next user to his own', async () => {
    const [anna, ben] = await people();
    const { page, context } = await openPage({ viewport: { width: 360, height: 700 } });
    await signInAt(page, url(), anna);
    const list = page.getByRole('navigation', { name: 'Chats and people' });
    const conversation = page.getByRole('main', { name: `Conversation with ${ben.user.username}` });
    await openChat(page, ben.user.username);
    await page.reload();
    await conversation.waitFor();
    await page.goBack();
    await list.waitFor();
    await page.goForward();
    await conversation.waitFor();
    await page.getByRole('button', { name: 'Back to the list' }).click();
    await list.waitFor();
    await page.goForward();
    await conversation.waitFor();

    await page.setViewportSize({ width: 1280, height: 700 });
    await page.getByRole('button', { name: 'Sign out' }).click();
    await page.getByLabel('Email').waitFor();
    await expect.poll(() => page.evaluate(() => history.state)).toBeNull();
    await page.goForward();
    expect(await page.evaluate(() => JSON.stringify(history.state))).not.toContain(ben.user.username);
    await page.getByLabel('Email').fill(ben.email);
    await page.getByLabel('Password', { exact: true }).fill(ben.password);
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByText('Pick somebody').waitFor();
    await expect.poll(() => page.evaluate(() => history.state)).toBeNull();

    // Another tab signs in somebody else, while this one is elsewhere.
    await openChat(page, anna.user.username);
    await page.goto('about:blank');
    const other = await context.newPage();
    await other.goto(url());
    await other.getByRole('button', { name: 'Sign out' }).click();
    await signInAt(other, url(), anna);
    await page.goBack();
    await list.waitFor();
    await expect.poll(() => page.evaluate(() => history.state)).toBeNull();
    await page.getByText('Pick somebody').waitFor();
    await context.close();
  });

  test('W29 where not all people are listed, the list says how to find the others', async () => {
    const [anna, ben] = await people();
    await register(url(), 'carl');
    const { page, context } = await openPage();
    await page.route(/api\/auth\/users/, (route) =>
      route.continue({ url: route.request().url().replace('limit=100', 'limit=2') }),
    );
    await signInAt(page, url(), anna);
    const more = page.getByRole('list', { name: 'People' }).getByText('These are the first 2: type more of a name');
    await more.waitFor();
    await page.getByLabel('Search people').fill(ben.user.username);
    await page.getByRole('list', { name: 'People' }).getByRole('button', { name: ben.user.username }).waitFor();
    await more.waitFor({ state: 'detached' });
    await context.close();
  });

  test('W23 who is alone is told to register somebody else where he is not signed in himself', async () => {
    const [anna] = await people();
    const { page, context } = await openPage();
    await page.route(/\/api\/auth\/users/, async (route) => {
      const { data, ...envelope } = await (await route.fetch()).json();
      await route.fulfill({ json: { ...envelope, data: { ...data, users: [] } } });
    });
    await signInAt(page, url(), anna);
    await page.getByText('Open a private window or another browser').waitFor();
    await context.close();
  });
});
