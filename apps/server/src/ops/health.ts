import { toDuetError } from '@duet/contract';
import { type Response, Router } from 'express';

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
  /** From now on not ready: the node drains. */
  drain(): void;
}

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

  router.get('/health', (_req, res) => {
    res.json({ status: 'ok' });
  });

  router.get('/ready', async (_req, res) => {
    if (draining) return notReady(res, ['draining']);
    const waiting = await failing(deps.dependencies());
    if (waiting.length > 0) return notReady(res, waiting);
    if (!deps.serving()) return notReady(res, ['starting']);
    res.json({ status: 'ready' });
  });

  router.get('/metrics', async (req, res, next) => {
    // Whoever comes by a trusted proxy comes from outside; Prometheus asks each node itself.
    if (req.ips.length > 0) return next();
    res.type(deps.metricsType).send(await deps.metrics());
  });

  return {
    router,
    drain() {
      draining = true;
    },
  };
}

function notReady(res: Response, waitsFor: string[]): void {
  res.status(503).json({ status: 'not ready', waitsFor });
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
