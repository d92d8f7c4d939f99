import { connect, register } from '@duet/testkit';
import { describe, expect, test } from 'vitest';
import { bubble, hasBrowser, openChat, serverAndBrowser, signInAt, write } from './browser.ts';

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
    const said = async (text: string) => page.locator('.bubble', { hasText: text }).textContent();
    expect(await said('mine')).toMatch(/^You:\s*mine/);
    expect(await said('line 50')).toMatch(new RegExp(`^${name}:\\s*line 50`));
    const log = page.getByRole('log');
    await expect
      .poll(async () => {
        await log.evaluate((element) => element.scrollTo({ top: 0 }));
        return bubble(page, 'line 1').count();
      })
      .toBe(1);
    expect(await log.getAttribute('aria-live')).toBe('off');
    const news = page.getByRole('status', { name: 'New messages' });
    expect(await news.textContent()).toBe('');
    await say('fresh');
    await expect.poll(() => news.textContent()).toBe(`${name}: fresh`);
    await context.close();
  });
});
