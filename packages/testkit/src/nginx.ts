import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Host } from './hosts.ts';
import { type ServiceProcess, startService } from './service-process.ts';
import { available, findProgram, lackOf } from './services.ts';

const CONFIGURATION = new URL('../../../nginx.conf', import.meta.url);

export const lackOfNginx = (): string | undefined =>
  lackOf('nginx', findProgram('nginx'), 'install it (apt-get install nginx, brew install nginx)');
/** Whether tests can have nginx. @throws Error in CI when they cannot */
export const hasNginx = (): boolean => available(lackOfNginx());

/**
 * nginx with the project's own configuration.
 * @param nodes `address:port` of each node behind it
 */
export async function startNginx(
  nodes: string[],
  options: { port?: number; host?: Host } = {},
): Promise<ServiceProcess> {
  return startService(
    findProgram('nginx') as string,
    ({ address, port, folder }) => {
      const configuration = readFileSync(CONFIGURATION, 'utf8')
        // What is /tmp in a container is a folder of its own here, and the port is free.
        .replaceAll('/tmp/', `${folder}/`)
        .replace('listen 8080;', `listen ${options.host ? '0.0.0.0' : address}:${port};`)
        // Everybody comes from one address here.
        .replace(/limit_conn per_address \d+;/, 'limit_conn per_address 60000;');
      const servers = nodes.map((node) => `server ${node} max_fails=2 fail_timeout=5s;\n`);
      writeFileSync(join(folder, 'nodes.conf'), servers.join(''));
      writeFileSync(join(folder, 'nginx.conf'), configuration);
      return ['-c', join(folder, 'nginx.conf'), '-e', join(folder, 'error.log'), '-g', 'daemon off;'];
    },
    options,
  );
}
