import { toDuetError } from '@duet/contract';
import { Router } from 'express';

/** Something that a node needs: its name for people, and a check that rejects while it does not answer. */
export interface Dependency {
  name: string;
  ready: () => Promise<void>;
}

export interface Health {
  /**
   * `/health`: the process runs. `/ready`: it can serve; else 503 with what it waits for. `/metrics`: for Prometheus, who
   * comes by no proxy.
   */
  router: Router;
  /** Whether `/ready` says so. For who asks again and again: an answer that takes longer than 2 s is a no. */
  isReady(): Promise<boolean>;
  /** From now on not ready: the node drains. */
  drain(): void;
}

/** A scrape must not wait as long as a database that hangs: the other metrics would be lost with it. */
const READY_WITHIN_MS = 2_000;

/** What a node says of itself, by HTTP. */
export function createHealth(deps: {
  dependencies: () => Dependency[];
  /** Whether the API and the sockets are there. */
  serving: () => boolean;
  metrics: () => Promise<string>;
  metricsType: string;
}): Health {
  let draining = false;
  // To the letter: a proxy that hides /metrics hides neither /METRICS nor /metrics/.
  const router = Router({ strict: true, caseSensitive: true });

  async function waitsFor(): Promise<string[]> {
    if (draining) return ['draining'];
    const waiting = await failing(deps.dependencies());
    if (waiting.length > 0) return waiting;
    return deps.serving() ? [] : ['starting'];
  }

  router.get('/health', (_req, res) => {
    res.json({ status: 'ok' });
  });

  router.get('/ready', async (_req, res) => {
    const waiting = await waitsFor();
    if (waiting.length === 0) res.json({ status: 'ready' });
    else res.status(503).json({ status: 'not ready', waitsFor: waiting });
  });

  router.get('/metrics', async (req, res, next) => {
    // Whoever comes by a trusted proxy comes from outside; Prometheus asks each node itself.
    if (req.ips.length > 0) return next();
    res.type(deps.metricsType).send(await deps.metrics());
  });

  return {
    router,
    isReady: () =>
      new Promise((resolve) => {
        const timer = setTimeout(resolve, READY_WITHIN_MS, false);
        void waitsFor().then((waiting) => {
          clearTimeout(timer);
          resolve(waiting.length === 0);
        });
      }),
    drain() {
      draining = true;
    },
  };
}

async function failing(dependencies: Dependency[]): Promise<string[]> {
  const names = await Promise.all(
    dependencies.map(({ name, ready }) =>
      ready().then(
        () => undefined,
        (error: unknown) => `${name} (${toDuetError(error).code})`,
      ),
    ),
  );
  return names.filter((name) => name !== undefined);
}
