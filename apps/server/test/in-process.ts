import { readConfig } from '../src/config.ts';
import { createNode, type NodeOptions } from '../src/node.ts';
import { createLog } from '../src/ops/log.ts';

export const SECRET = '0123456789abcdef0123456789abcdef';

/** A whole node of this process, without limits, that ends at once. */
export async function startNode(
  environment: Record<string, string>,
  options: Pick<NodeOptions, 'clock' | 'store'> = {},
): Promise<AsyncDisposable & { url: string }> {
  const config = readConfig({ PORT: '0', JWT_SECRET: SECRET, RATE_LIMITS: 'off', DRAIN_SECONDS: '0', ...environment });
  const node = await createNode({ config, log: createLog({ level: 'silent', pretty: false }), ...options });
  return { url: `http://127.0.0.1:${node.port}`, [Symbol.asyncDispose]: node.close };
}
