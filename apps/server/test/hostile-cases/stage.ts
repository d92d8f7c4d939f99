import { readdirSync } from 'node:fs';
import {
  connect,
  eventually,
  register,
  rest,
  type ServerProcess,
  startServer,
  type TestUser,
  temporaryFolder,
} from '@duet/testkit';
import { expect } from 'vitest';
import { residentOf } from '../processes.ts';
import { MAIN } from '../shapes.ts';

const GROWTH = 96 * 1024 * 1024;
export const SECRET = 'a secret of the tests that is long enough';

/** One node without limits, one with, and one of several processes; people on the first. */
export interface Stage {
  server: ServerProcess;
  url: string;
  /** A node that counts, behind a proxy that is believed. */
  limited: ServerProcess;
  /** A node of two workers. */
  crowd: ServerProcess;
  mallory: TestUser;
  alice: TestUser;
  bob: TestUser;
  /** All nodes live and serve others, and have logged no fault. */
  unharmed(): Promise<void>;
  /** Open descriptors and resident bytes of the first node. */
  usage(): { descriptors: number; resident: number };
  /** The first node holds as many descriptors as when it had started, and hardly more memory. */
  flat(): Promise<void>;
}

/** A hostile input: what it is, and either what is done with it here or the promises whose tests hold it. */
export interface Case {
  n: number;
  input: string;
  run?: (stage: Stage) => Promise<void>;
  heldBy?: string[];
}

export async function startStage(): Promise<Stage & AsyncDisposable> {
  await using stack = new AsyncDisposableStack();
  const start = async (environment: Record<string, string>) => {
    const folder = stack.use(temporaryFolder());
    const server = await startServer(MAIN, { DATA_DIR: folder.path, JWT_SECRET: SECRET, ...environment });
    stack.defer(() => server.kill());
    return server;
  };
  const server = await start({});
  const limited = await start({ RATE_LIMITS: 'on', TRUST_PROXY: '1' });
  const crowd = await start({ WORKERS: '2' });
  const { url } = server;
  const [mallory, alice, bob] = await Promise.all(['mallory', 'alice', 'bob'].map((name) => register(url, name)));
  const usage = () => ({
    descriptors: readdirSync(`/proc/${server.pid}/fd`).length,
    resident: residentOf(server.pid),
  });
  const before = usage();
  const disposal = stack.move();
  return {
    server,
    url,
    limited,
    crowd,
    mallory: mallory as TestUser,
    alice: alice as TestUser,
    bob: bob as TestUser,
    async unharmed() {
      using b = await connect(url, (bob as TestUser).token, { transports: ['websocket'] });
      const typing = await b.emitWithAck('typing_start', { receiverId: (alice as TestUser).id });
      expect(typing).toMatchObject({ ok: true });
      for (const node of [server, limited, crowd]) {
        expect((await fetch(`${node.url}/health`)).status).toBe(200);
        expect(node.output()).not.toMatch(/TypeError|RangeError|Unhandled|"level":(50|60)/);
        expect(node.output()).not.toContain('password123');
      }
    },
    usage,
    async flat() {
      await eventually(() => usage().descriptors <= before.descriptors + 10, 'descriptors are free again');
      expect(usage().resident - before.resident).toBeLessThan(GROWTH);
    },
    [Symbol.asyncDispose]: () => disposal.disposeAsync(),
  };
}

/** A refusal by REST: its status and code, in the envelope, without a trace of what made it. */
export function refused(answer: { status: number; body: unknown }, status: number, code: string): void {
  expect(answer).toMatchObject({ status, body: { success: false, code, message: expect.any(String) } });
  expect(JSON.stringify(answer.body)).not.toMatch(/zod|express|sqlite|node_modules|\bat .*\.ts/i);
}

/** The texts that two people have between them, as one of them sees it. */
export async function textsOf(url: string, me: TestUser, peer: TestUser): Promise<string[]> {
  const { body } = await rest(url, `/messages/${peer.id}?limit=100`, { token: me.token });
  return body.data.messages.map(({ content }: { content: string }) => content);
}
