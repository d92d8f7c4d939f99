import { fileURLToPath } from 'node:url';
import {
  available,
  findProgram,
  lackOf,
  type ServerProcess,
  startServer,
  type TestUser,
  temporaryFolder,
} from '@duet/testkit';
import { type Browser, type BrowserContext, chromium, type Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, expect } from 'vitest';

export const MAIN = fileURLToPath(new URL('../../server/src/main.ts', import.meta.url));
const program = process.env.CHROMIUM ?? findProgram('chromium', 'chromium-browser', 'google-chrome', 'chrome');
export const hasBrowser = available(lackOf('Chromium', program, 'install it, or name it in CHROMIUM'));

/** Debian's Chromium in a container: no sandbox, and nothing that calls home. */
const args = [
  'no-sandbox',
  'disable-gpu',
  'disable-quic',
  'no-first-run',
  'disable-background-networking',
  'disable-component-update',
  'disable-sync',
];

declare global {
  interface Window {
    hacked?: number;
    refused(what: string): void;
  }
}

const options = { executablePath: program as string, args: args.map((arg) => `--${arg}`) };

export const launch = (): Promise<Browser> => chromium.launch(options);

/** With the settings that lie in a folder. */
export const launchProfile = (folder: string): Promise<BrowserContext> =>
  chromium.launchPersistentContext(folder, options);

export interface OpenPage {
  page: Page;
  context: BrowserContext;
  /** What its scripts threw, and what its content security policy refused. */
  errors: string[];
}

/** A page of its own browser profile. */
export async function openPageIn(
  browser: Browser,
  options: Parameters<Browser['newContext']>[0] = {},
): Promise<OpenPage> {
  const context = await browser.newContext(options);
  const errors: string[] = [];
  await context.exposeFunction('refused', (what: string) => errors.push(what));
  await context.addInitScript(() => {
    document.addEventListener('securitypolicyviolation', ({ effectiveDirective, blockedURI, sample }) =>
      window.refused(`${effectiveDirective}: ${blockedURI} ${sample}`),
    );
  });
  context.on('weberror', (error) => errors.push(error.error().message));
  return { page: await context.newPage(), context, errors };
}

/** A server and a browser for the tests of a file, which fail when a script of a page does or its policy refuses something. */
export function serverAndBrowser() {
  const folder = temporaryFolder();
  const errors: string[][] = [];
  let server: ServerProcess;
  let browser: Browser;
  beforeAll(async () => {
    server = await startServer(MAIN, { DATA_DIR: folder.path });
    browser = await launch();
  });
  afterEach(() => expect(errors.splice(0).flat()).toEqual([]));
  afterAll(async () => {
    await browser?.close();
    await server?.kill();
    folder[Symbol.dispose]();
  });
  return {
    url: () => server.url,
    /** @returns a page of its own browser profile */
    async openPage(options?: Parameters<Browser['newContext']>[0]) {
      const opened = await openPageIn(browser, options);
      errors.push(opened.errors);
      return opened;
    },
  };
}

export async function signInAt(page: Page, url: string, user: Pick<TestUser, 'email' | 'password'>): Promise<void> {
  await page.goto(url);
  await page.getByLabel('Email').fill(user.email);
  await page.getByLabel('Password', { exact: true }).fill(user.password);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.getByRole('navigation', { name: 'Chats and people' }).waitFor();
}

export async function pick(page: Page, name: string): Promise<void> {
  await page.getByLabel('Search people').fill(name);
  // Until then those found before are shown, and whoever is clicked may move away under the mouse.
  await page.getByText(`found for ${name}`).waitFor({ state: 'attached' });
  await page.getByRole('list', { name: 'People' }).getByRole('button', { name }).click();
}

export async function openChat(page: Page, name: string): Promise<void> {
  await pick(page, name);
  await page.getByRole('log').waitFor();
}

export async function write(page: Page, text: string): Promise<void> {
  await page.getByRole('textbox', { name: 'Message' }).fill(text);
  // A phone has no key for it.
  await page.getByRole('button', { name: 'Send', exact: true }).click();
}

/** What a page has learned by now it shows by then. */
export const painted = (page: Page): Promise<unknown> =>
  page.evaluate(() => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve))));

export const bubble = (page: Page, text: string) => page.getByRole('log').getByText(text, { exact: true });

/** Scrolls up, page by page, until a message is there. */
export async function scrollUpTo(page: Page, text: string): Promise<void> {
  const look = async () => {
    await page.getByRole('log').evaluate((element) => element.scrollTo({ top: 0 }));
    return bubble(page, text).count();
  };
  await expect.poll(look, { timeout: 30_000 }).toBe(1);
}
