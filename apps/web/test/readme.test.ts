import { readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import {
  collect,
  connect,
  eventually,
  next,
  register,
  rest,
  type ServerProcess,
  startServer,
  type TestUser,
  temporaryFolder,
} from '@duet/testkit';
import type { Browser, Page } from 'playwright-core';
import { build } from 'vite';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { hasBrowser, launch, MAIN, openPageIn } from './browser.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const readme = readFileSync(new URL('../../../packages/client/README.md', import.meta.url), 'utf8');
const [WEB_APP, PHONE_APP] = [...readme.matchAll(/```jsx\n(.*?)```/gs)].map(([, code]) => code) as [string, string];

/** What a phone has and a browser has not, by the names under which the app imports it. */
const PHONE: Record<string, string> = {
  '@react-native-async-storage/async-storage': `
    export default {
      getItem: async (key) => localStorage.getItem(key),
      setItem: async (key, value) => localStorage.setItem(key, value),
      removeItem: async (key) => localStorage.removeItem(key),
    };`,
  'react-native-safe-area-context': `
    export { View as SafeAreaProvider, View as SafeAreaView } from 'react-native';`,
  'start.jsx': `
    import { AppRegistry } from 'react-native';
    import App from 'app.jsx';
    AppRegistry.registerComponent('App', () => App);
    AppRegistry.runApplication('App', { rootTag: document.getElementById('root') });`,
};

declare global {
  interface Window {
    notified: string[];
    show(visibility: 'visible' | 'hidden'): void;
  }
}

/** A page that says it is seen when it is told so, in a browser that asks for notifications and then refuses to make any. */
function likeAndroid(): void {
  window.notified = [];
  window.show = (visibility) => {
    Object.defineProperty(document, 'visibilityState', { configurable: true, value: visibility });
    Object.defineProperty(document, 'hidden', { configurable: true, value: visibility === 'hidden' });
    document.dispatchEvent(new Event('visibilitychange'));
  };
  class Refusing {
    static permission = 'default';
    static requestPermission = async () => 'granted';
    constructor(title: string, { body }: { body: string }) {
      window.notified.push(`${title}: ${body}`);
      throw new TypeError('Illegal constructor');
    }
  }
  Object.defineProperty(window, 'Notification', { value: Refusing });
}

/** One script of these modules, which stand where the web client does: what is installed for that one is there for them. */
async function bundle(modules: Record<string, string>, entry: string): Promise<string> {
  const output = await build({
    root,
    configFile: false,
    logLevel: 'error',
    resolve: { alias: { 'react-native': 'react-native-web' } },
    plugins: [
      {
        name: 'modules',
        enforce: 'pre',
        resolveId: (id) => (Object.hasOwn(modules, id) ? `${root}${id}` : undefined),
        load: (id) => modules[id.slice(root.length)],
      },
    ],
    oxc: { jsx: { runtime: 'automatic' } },
    build: { write: false, target: 'esnext', rolldownOptions: { input: entry } },
  });
  return (output as unknown as { output: [{ code: string }] }).output[0].code;
}

describe.skipIf(!hasBrowser)("the apps of the SDK's README", () => {
  let folder: ReturnType<typeof temporaryFolder>;
  let server: ServerProcess;
  let browser: Browser;
  const pages: Server[] = [];

  beforeAll(async () => {
    folder = temporaryFolder();
    server = await startServer(MAIN, { DATA_DIR: folder.path });
    browser = await launch();
  });
  afterAll(async () => {
    await browser?.close();
    for (const page of pages) page.close();
    await server?.kill();
    folder?.[Symbol.dispose]();
  });

  /** A page of an origin of its own, as those of an app are. @returns its address */
  async function serve(script: string): Promise<string> {
    const text = script.replace('https://chat.example.org', server.url);
    const page = createServer((req, res) => {
      const isScript = req.url === '/app.js';
      res.setHeader('content-type', isScript ? 'text/javascript' : 'text/html');
      res.end(isScript ? text : '<!doctype html><div id="root"></div><script type="module" src="/app.js"></script>');
    });
    pages.push(page);
    await new Promise<void>((resolve) => page.listen(0, '127.0.0.1', resolve));
    return `http://127.0.0.1:${(page.address() as AddressInfo).port}`;
  }

  /** Somebody who has been written to, and the one who wrote. */
  async function twoPeople() {
    const [reader, writer] = await Promise.all([register(server.url, 'reader'), register(server.url, 'writer')]);
    const socket = await connect(server.url, writer.token);
    await socket.emitWithAck('send_message', { receiverId: reader.id, content: 'Are you there?' });
    return { reader, writer: { name: writer.user.username, socket } };
  }

  /**
   * The reader writes back: the writer gets it, and the page shows it as stored. What the server does not take stays the
   * last one, and what comes before it is read nevertheless.
   */
  async function answers(
    page: Page,
    { reader, writer }: Awaited<ReturnType<typeof twoPeople>>,
    shown: string,
  ): Promise<void> {
    const answer = next(writer.socket, 'receive_message');
    await page.getByRole('textbox').fill('Here I am');
    await page.keyboard.press('Enter');
    expect(await answer).toMatchObject({ message: { content: 'Here I am', sender: { _id: reader.id } } });
    await page.getByText(shown).waitFor();
    await page.getByRole('textbox').fill('x'.repeat(4_001));
    await page.keyboard.press('Enter');
    await page.getByText('x failed').waitFor();
    const receipts = collect(writer.socket, 'message_read_receipt');
    const sent = await writer.socket.emitWithAck('send_message', { receiverId: reader.id, content: 'Good' });
    const isRead = () => receipts.some(({ messageId }) => messageId === sent.data.message._id);
    await eventually(isRead, 'what came before it is read');
    writer.socket.close();
  }

  test('U19 the web app: signs in, shows who has written, answers, and asks again when its session has ended', async () => {
    const { reader, writer } = await twoPeople();
    const address = await serve(await bundle({ 'app.jsx': WEB_APP }, 'app.jsx'));
    const { page, context, errors } = await openPageIn(browser);
    const entries = [reader.email, reader.password];
    page.on('dialog', (dialog) => dialog.accept(entries.shift() as string));
    await page.goto(address);
    await page.getByText(`${writer.name} • Are you there? (1)`).click();
    await page.getByText(`${writer.name}: Are you there?`).waitFor();
    await answers(page, { reader, writer }, 'You: Here I am sent');
    await endOthers(reader);
    const again = page.getByRole('button', { name: 'Sign in again' });
    await again.waitFor();
    expect(await page.getByText('Here I am').count()).toBe(0);
    entries.push(reader.email, reader.password);
    await again.click();
    await page.getByText(writer.name).waitFor();
    expect(errors).toEqual([]);
    await context.close();
  });

  test('U26 the web app asks on a click whether it may notify, and what comes while nobody sees the page is read when it is seen', async () => {
    const { reader, writer } = await twoPeople();
    const address = await serve(await bundle({ 'app.jsx': WEB_APP }, 'app.jsx'));
    const { page, context, errors } = await openPageIn(browser);
    await page.addInitScript(likeAndroid);
    const entries = [reader.email, reader.password];
    page.on('dialog', (dialog) => dialog.accept(entries.shift() as string));
    await page.goto(address);
    await page.getByRole('button', { name: 'Notify me' }).click();
    await page.getByRole('button', { name: 'Notify me' }).waitFor({ state: 'detached' });
    await page.getByText(`${writer.name} • Are you there? (1)`).click();
    await page.getByText(`${writer.name} • Are you there?`, { exact: true }).waitFor();

    await page.evaluate(() => window.show('hidden'));
    const receipts = collect(writer.socket, 'message_read_receipt');
    const delivered = next(writer.socket, 'message_delivered_receipt', ({ seq }) => seq === 2);
    await writer.socket.emitWithAck('send_message', { receiverId: reader.id, content: 'Hello?' });
    await page.getByText(`${writer.name} • Hello? (1)`).waitFor();
    expect(await page.evaluate(() => window.notified)).toEqual([`${writer.name}: Hello?`]);
    // Had it been read, that would have been told first.
    await delivered;
    expect(receipts.filter(({ seq }) => seq === 2)).toEqual([]);
    await page.evaluate(() => window.show('visible'));
    await eventually(() => receipts.some(({ seq }) => seq === 2), 'read when it is seen');
    await page.getByText(`${writer.name} • Hello?`, { exact: true }).waitFor();
    expect(errors).toEqual([]);
    await context.close();
  });

  /** Pages of history that are asked for, and do not come as long as they are refused. */
  async function refuseOlder(page: Page) {
    const pages = /\/messages\/.*before=/;
    let count = 0;
    await page.route(pages, (route) => {
      count += 1;
      return route.abort();
    });
    return { asked: () => count > 0, allow: () => page.unroute(pages) };
  }

  test('U27 in both apps a page of history that cannot be had now is asked for again', async () => {
    const { reader, writer } = await twoPeople();
    for (let n = 2; n <= 45; n++)
      await writer.socket.emitWithAck('send_message', { receiverId: reader.id, content: `text ${n}` });
    {
      const address = await serve(await bundle({ 'app.jsx': WEB_APP }, 'app.jsx'));
      const { page, context, errors } = await openPageIn(browser);
      const entries = [reader.email, reader.password];
      page.on('dialog', (dialog) => dialog.accept(entries.shift() as string));
      await page.goto(address);
      await page.getByText(`${writer.name} • text 45`).click();
      const older = await refuseOlder(page);
      await page.getByRole('button', { name: 'Older' }).click();
      await eventually(older.asked, 'asked');
      await older.allow();
      await page.getByRole('button', { name: 'Older' }).click();
      await page.getByText('Are you there?').waitFor();
      expect(errors).toEqual([]);
      await context.close();
    }
    {
      const address = await serve(await bundle({ ...PHONE, 'app.jsx': PHONE_APP }, 'start.jsx'));
      const { page, context, errors } = await openPageIn(browser);
      await page.goto(address);
      await signInOnPhone(page, reader);
      const older = await refuseOlder(page);
      await page.getByText(`${writer.name}: text 45`).click();
      await eventually(older.asked, 'asked');
      await older.allow();
      // A list that grows has another end.
      await writer.socket.emitWithAck('send_message', { receiverId: reader.id, content: 'Are you still there?' });
      await page.getByText('Are you there?').waitFor();
      expect(errors).toEqual([]);
      await context.close();
    }
  });

  /** Somebody who signs out on all other devices. */
  async function endOthers(user: TestUser): Promise<void> {
    const { body } = await rest(server.url, '/auth/sessions', { token: user.token });
    for (const { _id, current } of body.data.sessions)
      if (!current) await rest(server.url, `/auth/sessions/${_id}`, { method: 'DELETE', token: user.token });
  }

  async function signInOnPhone(page: Page, { email, password }: Pick<TestUser, 'email' | 'password'>): Promise<void> {
    await page.getByPlaceholder('Email').fill(email);
    await page.getByPlaceholder('Password').fill(password);
    await page.getByRole('button', { name: 'Sign in' }).click();
  }

  test('U19 the phone app: signs in, stays so, shows who has written, answers, and asks again when its session has ended', async () => {
    const { reader, writer } = await twoPeople();
    const address = await serve(await bundle({ ...PHONE, 'app.jsx': PHONE_APP }, 'start.jsx'));
    const { page, context, errors } = await openPageIn(browser);
    await page.goto(address);
    await signInOnPhone(page, { ...reader, password: 'wrong' });
    await page.getByText('Invalid email or password').waitFor();
    await signInOnPhone(page, reader);
    await page.getByText(`${writer.name}: Are you there? 1`).waitFor();
    await page.reload();
    await page.getByText(`${writer.name}: Are you there? 1`).click();
    await page.getByText('Are you there?').waitFor();
    await answers(page, { reader, writer }, 'Here I am sent');
    await endOthers(reader);
    await page.getByPlaceholder('Email').waitFor();
    expect(await page.evaluate(() => Object.keys(localStorage).filter((key) => key.includes('session')))).toEqual([]);
    await signInOnPhone(page, reader);
    await page.getByText(`${writer.name}:`).waitFor();
    expect(errors).toEqual([]);
    await context.close();
  });
});
