import { DuetError } from '@duet/contract';
import type { ClusterView } from '@duet/core';

const WAIT_MS = 2_000;
const SOCKETS = /^duet_connected_sockets(?:\{[^}]*\})? (\d+)/gm;

/** The one node of this machine, asked by HTTP: nothing else knows of it. */
export function createLocalView(port: number): ClusterView {
  const ask = async (path: string) =>
    fetch(`http://127.0.0.1:${port}${path}`, { signal: AbortSignal.timeout(WAIT_MS) }).catch((cause: unknown) => {
      throw new DuetError('UNAVAILABLE', { cause, message: `Nothing answers on port ${port}` });
    });

  return {
    async nodes() {
      const [{ ok }, metrics] = await Promise.all([ask('/ready'), ask('/metrics')]);
      const counts = [...(await metrics.text()).matchAll(SOCKETS)].map(([, sockets]) => Number(sockets));
      const sockets = counts.reduce((sum, count) => sum + count, 0);
      return [{ name: `localhost:${port}`, alive: ok, sockets }];
    },
    async close() {},
  };
}
