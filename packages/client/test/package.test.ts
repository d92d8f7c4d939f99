import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, realpathSync, symlinkSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { register, type ServerProcess, startServer, temporaryFolder } from '@duet/testkit';
import { build } from 'vite';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { MAIN } from './people.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const tsc = join(createRequire(import.meta.url).resolve('typescript/package.json'), '../bin/tsc');

/** An app of somebody who has installed the package and nothing of this workspace. */
describe('the package as it is published', () => {
  let folder: ReturnType<typeof temporaryFolder>;
  let installed: string;

  beforeAll(() => {
    folder = temporaryFolder();
    const modules = join(folder.path, 'node_modules');
    installed = join(modules, '@duet/client');
    mkdirSync(installed, { recursive: true });
    execFileSync('npx', ['-y', 'pnpm@12', 'pack', '--out', join(folder.path, 'client.tgz')], { cwd: root });
    execFileSync('tar', ['-xzf', join(folder.path, 'client.tgz'), '-C', installed, '--strip-components=1']);
    for (const name of ['socket.io-client', 'react', '@types/react']) {
      mkdirSync(join(modules, name, '..'), { recursive: true });
      symlinkSync(realpathSync(join(root, 'node_modules', name)), join(modules, name));
    }
    writeFileSync(join(folder.path, 'package.json'), '{ "type": "module" }');
  });
  afterAll(() => folder?.[Symbol.dispose]());

  /** What ends up in an app that uses `code`, as the app's bundler makes it. */
  async function bundle(code: string): Promise<string> {
    const entry = join(folder.path, 'app.js');
    writeFileSync(entry, code);
    const output = await build({
      root: folder.path,
      configFile: false,
      logLevel: 'error',
      build: { write: false, lib: { entry, formats: ['es'] }, rolldownOptions: { external: ['socket.io-client'] } },
    });
    const [{ output: chunks }] = output as unknown as [{ output: { code: string }[] }];
    return chunks.map((chunk) => chunk.code).join('');
  }

  test('U12 it holds what it names, and no name of this workspace', () => {
    const manifest = JSON.parse(readFileSync(join(installed, 'package.json'), 'utf8'));
    expect(manifest).toMatchObject({
      name: '@duet/client',
      license: 'Apache-2.0',
      sideEffects: false,
      dependencies: { 'socket.io-client': expect.stringMatching(/^\^4/) },
      peerDependenciesMeta: { react: { optional: true } },
    });
    expect(Object.keys(manifest.dependencies)).toEqual(['socket.io-client']);
    const files = readdirSync(installed, { recursive: true, encoding: 'utf8' });
    expect(files).toEqual(expect.arrayContaining(['LICENSE', 'README.md', 'dist/index.js', 'dist/react.d.ts']));
    expect(files.filter((file) => /^src|\.test\./.test(file))).toEqual([]);
    const texts = files
      .filter((file) => /\.(js|ts)$/.test(file))
      .map((file) => readFileSync(join(installed, file), 'utf8'));
    expect(texts.filter((text) => /@duet\/|\bzod\b/.test(text))).toEqual([]);
  });

  test('U12 it is small, and what an app does not use is left out', async () => {
    const all = await bundle("export * from '@duet/client';");
    expect(gzipSync(all).length).toBeLessThan(15_000);
    expect(all).toContain('indexedDB');
    const some = await bundle("export { createApi } from '@duet/client';");
    expect(some).not.toMatch(/indexedDB|emitWithAck|send_message/);
    expect(gzipSync(some).length).toBeLessThan(3_000);
  });

  test('U12 plain Node imports it, and chats', async () => {
    using data = temporaryFolder();
    const server: ServerProcess = await startServer(MAIN, { DATA_DIR: data.path });
    try {
      const [anna, ben] = await Promise.all([register(server.url, 'anna'), register(server.url, 'ben')]);
      const script = join(folder.path, 'stranger.js');
      writeFileSync(
        script,
        `import { createChat } from '@duet/client';
         import { useConversations } from '@duet/client/react';
         if (typeof useConversations !== 'function') throw new Error('no hooks');
         const [url, token, peer] = process.argv.slice(2);
         const chat = createChat({ url, getToken: () => token });
         chat.start();
         chat.send(peer, 'hello from a stranger');
         const end = chat.subscribe(() => {
           const [message] = chat.getState().threads[peer]?.messages ?? [];
           if (message?.state !== 'sent') return;
           end();
           console.log(message.seq, message.content);
           chat.stop();
         });`,
      );
      // It also ends by itself: nothing is left running after \`stop\`.
      const output = execFileSync(process.execPath, [script, server.url, anna.token, ben.id], { encoding: 'utf8' });
      expect(output).toBe('1 hello from a stranger\n');
    } finally {
      await server.kill();
    }
  });

  test('U12 its types stand alone, and are those of the contract', () => {
    writeFileSync(
      join(folder.path, 'stranger.ts'),
      `import { type Chat, type ChatMessage, createChat, DuetError, keyValueStorage, type Message } from '@duet/client';
       import { useThread } from '@duet/client/react';
       const store = { getItem: async () => null, setItem: async () => {}, removeItem: async () => {} };
       const chat: Chat = createChat({ url: '', getToken: () => 'token', storage: keyValueStorage(store) });
       const state: 'sending' | 'sent' | 'delivered' | 'read' | 'failed' | 'received' | undefined =
         chat.getState().threads['a']?.messages[0]?.state;
       chat.on('message', ({ message, from }) => [message.seq?.toFixed(), from.username.length]);
       // @ts-expect-error there is no such event
       chat.on('messages', () => {});
       // @ts-expect-error a token is text
       createChat({ url: '', getToken: () => 1 });
       export async function test(): Promise<Message | undefined> {
         const { messages } = await chat.api.history('a').catch((error: DuetError) => { throw error.code satisfies string; });
         return messages[0];
       }
       export const Thread = (): readonly ChatMessage[] => useThread('a').messages;
       export { state };`,
    );
    writeFileSync(
      join(folder.path, 'same.ts'),
      `import type * as wire from './node_modules/@duet/client/dist/wire.js';
       import type * as contract from '${root}/src/wire.ts';
       type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : never;
       type Flat<T> = T extends (infer I)[] ? Flat<I>[] : T extends object ? { [K in keyof T]: Flat<T[K]> } : T;
       type AreSame<A, B> = Same<Flat<A>, Flat<B>>;
       export const same: [
         AreSame<wire.Message, contract.Message>, AreSame<wire.User, contract.User>,
         AreSame<wire.Conversation, contract.Conversation>, AreSame<wire.Synced, contract.Synced>,
         AreSame<wire.ServerEvents, contract.ServerEvents>, AreSame<wire.ClientEvents, contract.ClientEvents>,
       ] = [true, true, true, true, true, true];`,
    );
    const check = (file: string, ...options: string[]) => {
      const strict = ['--noEmit', '--strict', '--target', 'es2022', '--types', '', '--ignoreConfig'];
      const exact = ['--exactOptionalPropertyTypes', '--noUncheckedIndexedAccess'];
      try {
        execFileSync(process.execPath, [tsc, file, ...strict, ...exact, ...options], { cwd: folder.path });
      } catch (error) {
        throw new Error(String((error as { stdout: Buffer }).stdout));
      }
    };
    const lib = ['--lib', 'es2022,dom'];
    check('stranger.ts', '--module', 'nodenext', ...lib);
    check('stranger.ts', '--module', 'preserve', '--moduleResolution', 'bundler', ...lib);
    check('same.ts', '--module', 'preserve', '--allowImportingTsExtensions', '--skipLibCheck', '--lib', 'esnext,dom');
  });
});
