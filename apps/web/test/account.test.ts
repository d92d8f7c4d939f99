import { connect, register, rest, startHostApp, startServer, type TestUser, temporaryFolder } from '@duet/testkit';
import type { Page } from 'playwright-core';
import { describe, expect, test } from 'vitest';
import { hasBrowser, MAIN, openChat, serverAndBrowser, signInAt, write } from './browser.ts';

const NEW_PASSWORD = 'another password';

describe.skipIf(!hasBrowser)('the own account in a real browser', () => {
  const { url, openPage } = serverAndBrowser();

  const field = (page: Page, label: string) => page.getByLabel(label, { exact: true });
  const button = (page: Page, name: string) => page.getByRole('dialog').getByRole('button', { name, exact: true });
  const hasFocus = (target: ReturnType<typeof field>) =>
    target.evaluate((element) => element === document.activeElement);
  /** What is said at a field that has the focus because of it. */
  async function fault(page: Page, label: string, text: string) {
    const bad = field(page, label).and(page.locator('[aria-invalid=true]'));
    await bad.waitFor();
    await expect.poll(() => bad.getAttribute('aria-describedby').then((ids) => said(page, ids))).toContain(text);
    await expect.poll(() => hasFocus(bad)).toBe(true);
  }
  const said = (page: Page, ids: string | null) =>
    page.evaluate(
      (ids) =>
        (ids ?? '')
          .split(' ')
          .map((id) => document.getElementById(id)?.textContent)
          .join(' '),
      ids,
    );
  async function openSettings(page: Page) {
    await page.getByRole('button', { name: 'Settings' }).click();
    await button(page, 'Change password').waitFor();
  }
  const login = async ({ email }: TestUser, password: string) =>
    (await rest(url(), '/auth/login', { method: 'POST', body: { email, password } })).status;

  test('W24 the password is changed by keyboard alone, what is wrong is said at its field, and only this device stays signed in', async () => {
    const anna = await register(url(), 'anna');
    using other = await connect(url(), anna.token);
    const gone = new Promise((resolve) => other.on('disconnect', resolve));
    const { page, context } = await openPage();
    await signInAt(page, url(), anna);
    await openSettings(page);
    await button(page, 'Sign out node').waitFor();
    await button(page, 'Change password').press('Enter');
    await expect.poll(() => hasFocus(field(page, 'Current password'))).toBe(true);
    expect(await field(page, 'Current password').getAttribute('autocomplete')).toBe('current-password');
    expect(await field(page, 'New password').getAttribute('autocomplete')).toBe('new-password');

    const submit = async (current: string, next: string) => {
      await field(page, 'Current password').fill(current);
      await field(page, 'New password').fill(next);
      await page.keyboard.press('Enter');
    };
    await submit(anna.password, 'short');
    await fault(page, 'New password', 'Must have at least 8 characters');
    await submit(anna.password, 'ä'.repeat(37));
    await fault(page, 'New password', 'Must have at most 72 bytes');
    await submit('', NEW_PASSWORD);
    await fault(page, 'Current password', 'Must not be empty');
    await submit('not the password', NEW_PASSWORD);
    await fault(page, 'Current password', 'This is not your password');

    await field(page, 'Current password').fill(anna.password);
    await page.keyboard.press('Tab');
    await page.keyboard.press('Tab');
    await page.keyboard.press('Tab');
    await page.keyboard.press('Space');
    expect(await field(page, 'New password').getAttribute('type')).toBe('text');
    await field(page, 'New password').press('Enter');
    await page.getByRole('status').getByText('Your password is changed').waitFor();
    await expect.poll(() => hasFocus(button(page, 'Change password'))).toBe(true);
    await gone;
    await button(page, 'Sign out node').waitFor({ state: 'detached' });
    await page.getByText('This device').waitFor();
    expect(await login(anna, anna.password)).toBe(401);
    expect(await login(anna, NEW_PASSWORD)).toBe(200);
    await page.reload();
    await page.getByRole('navigation', { name: 'Chats and people' }).waitFor();
    await context.close();
  });

  test('W24 who guesses is told when to try again', async () => {
    using folder = temporaryFolder();
    const server = await startServer(MAIN, { DATA_DIR: folder.path, RATE_LIMITS: 'on' });
    try {
      const anna = await register(server.url, 'anna');
      const { page, context } = await openPage();
      await signInAt(page, server.url, anna);
      await openSettings(page);
      await button(page, 'Change password').click();
      const body = { currentPassword: 'a guess', newPassword: NEW_PASSWORD };
      for (let i = 0; i < 10; i++) await rest(server.url, '/auth/password', { method: 'PUT', token: anna.token, body });
      await field(page, 'Current password').fill(anna.password);
      await field(page, 'New password').fill(NEW_PASSWORD);
      await page.keyboard.press('Enter');
      await fault(page, 'Current password', 'Too many tries. Try again in ');
      await context.close();
    } finally {
      await server.kill();
    }
  });

  test('W25 an account is deleted with its password alone, and nothing of it stays on the device', async () => {
    const [anna, ben, carl] = await Promise.all(['anna', 'ben', 'carl'].map((name) => register(url(), name)));
    if (!anna || !ben || !carl) throw new Error('nobody');
    const { page, context } = await openPage();
    await signInAt(page, url(), anna);
    await openChat(page, ben.user.username);
    await write(page, 'to stay');
    await page.getByRole('img', { name: 'Sent' }).waitFor();
    await page.getByRole('textbox', { name: 'Message' }).fill('a draft');
    await openChat(page, carl.user.username);
    await rest(url(), `/users/${carl.id}/block`, { method: 'POST', token: anna.token });
    await write(page, 'refused and kept');
    await page.getByRole('button', { name: 'Discard' }).waitFor();
    const stored = () =>
      page.evaluate(async () => {
        const finished = <T>(request: IDBRequest<T>) =>
          new Promise<T>((resolve) => {
            request.onsuccess = () => resolve(request.result);
          });
        const database = await finished(indexedDB.open('duet'));
        const outbox = await finished(database.transaction('outbox').objectStore('outbox').getAll());
        database.close();
        return JSON.stringify([outbox, sessionStorage, localStorage.getItem('duet.session'), history.state]);
      });
    await expect.poll(stored).toContain('refused and kept');
    expect(await stored()).toContain('a draft');

    await openSettings(page);
    await button(page, 'Delete account').press('Enter');
    await expect.poll(() => hasFocus(field(page, 'Your password'))).toBe(true);
    const consequence = await said(page, await field(page, 'Your password').getAttribute('aria-describedby'));
    expect(consequence).toMatch(/cannot be undone.*without your name/);
    await button(page, 'Cancel').click();
    await expect.poll(() => hasFocus(button(page, 'Delete account'))).toBe(true);
    await button(page, 'Delete account').click();
    await field(page, 'Your password').fill('not the password');
    await page.keyboard.press('Enter');
    await fault(page, 'Your password', 'This is not your password');
    await field(page, 'Your password').fill(anna.password);
    await button(page, 'Delete my account').click();

    const notice = page.getByRole('status').filter({ hasText: 'Your account has been deleted' });
    await notice.waitFor();
    await expect.poll(() => hasFocus(notice)).toBe(true);
    await expect.poll(stored).toBe('[[],{},null,null]');
    expect(await login(anna, anna.password)).toBe(401);
    const { body } = await rest(url(), `/messages/${anna.id}`, { token: ben.token });
    expect(body.data.messages).toMatchObject([{ content: 'to stay', sender: { username: 'Deleted user' } }]);

    await signInAt(page, url(), ben);
    await page.getByRole('button', { name: 'Sign out' }).click();
    await page.getByLabel('Email').waitFor();
    expect(await notice.count()).toBe(0);
    await context.close();
  });

  test('W26 who signs in with another application is told that his password is there', async () => {
    await using host = await startHostApp();
    using folder = temporaryFolder();
    const server = await startServer(MAIN, { DATA_DIR: folder.path, ...host.environment });
    try {
      for (const [opens, label, does] of [
        ['Change password', 'Current password', 'Change password'],
        ['Delete account', 'Your password', 'Delete my account'],
      ] as const) {
        const { page, context } = await openPage();
        const session = JSON.stringify({ token: host.token('anna', { name: 'Anna' }), refreshToken: 'none' });
        await context.addInitScript((session) => localStorage.setItem('duet.session', session), session);
        await page.goto(server.url);
        await openSettings(page);
        await button(page, opens).click();
        await field(page, label).fill('any password');
        if (opens === 'Change password') await field(page, 'New password').fill(NEW_PASSWORD);
        await button(page, does).click();
        await page.getByRole('status').getByText('You sign in with another application').waitFor();
        expect(await button(page, opens).count()).toBe(0);
        expect(await page.getByRole('alert').count()).toBe(0);
        await expect.poll(() => hasFocus(page.getByRole('heading', { name: 'Account' }))).toBe(true);
        await context.close();
      }
    } finally {
      await server.kill();
    }
  });
});
