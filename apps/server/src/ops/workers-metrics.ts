import cluster, { type Worker } from 'node:cluster';
import { AggregatorRegistry, Gauge, type MetricObjectWithValues, type MetricValue, Registry } from 'prom-client';

/** For all workers: one that hangs must not keep from the operator what the others say. */
const ANSWER_WITHIN_MS = 1_000;
/** How each worker says whether it can serve, and all of them together how many of them can. */
export const READY = {
  name: 'duet_ready',
  help: 'Whether the node can serve: 1 or 0; with several workers the share of them that can',
  aggregator: 'average',
} as const;
const TYPE = 'duet:metrics';

type Values = MetricObjectWithValues<MetricValue<string>>[];

/** The primary's question, and the same with `metrics` as its answer. */
interface Asked {
  type: typeof TYPE;
  id: number;
  metrics?: Values;
}

const isAsked = (message: unknown): message is Asked =>
  typeof message === 'object' && message !== null && (message as { type?: unknown }).type === TYPE;

/** Lets the primary ask this worker for its metrics. */
export function answerPrimary(register: Registry): void {
  process.on('message', (message) => {
    if (!isAsked(message)) return;
    void register.getMetricsAsJSON().then((metrics) => {
      // The primary may be gone: then this process ends, too.
      process.send?.({ ...message, metrics }, undefined, {}, () => {});
    });
  });
}

/** What goes on counting when its worker does not: to Prometheus a sum that falls is a counter that began anew. */
const lasting = (values: Values): Values =>
  values.filter(({ type }) => ['counter', 'histogram'].includes(String(type)));

/** What is to be said of a worker that says nothing. */
function notReady(): Promise<Values> {
  const register = new Registry();
  register.registerMetric(new Gauge({ ...READY, registers: [] }));
  return register.getMetricsAsJSON();
}

/**
 * In the primary of several workers: the metrics of all of them together, of those that hang or have died what they
 * counted.
 * @param wanted how many there should be: those that do not come up are not ready
 */
export function createMetricsOfWorkers(wanted: number): () => Promise<string> {
  /** What each worker said last. */
  const known = new Map<number, Values>();
  let ended: Values[] = [];
  let asked = 0;

  cluster.on('exit', ({ id }) => {
    ended.push(lasting(known.get(id) ?? []));
    known.delete(id);
  });

  /** @returns undefined without an answer in time */
  function ask(worker: Worker): Promise<Values | undefined> {
    const id = asked++;
    return new Promise((resolve) => {
      const timer = setTimeout(finish, ANSWER_WITHIN_MS, undefined);
      function finish(values: Values | undefined): void {
        clearTimeout(timer);
        worker.off('message', hear);
        resolve(values);
      }
      function hear(message: unknown): void {
        if (isAsked(message) && message.id === id) finish(message.metrics);
      }
      worker.on('message', hear);
      worker.send({ type: TYPE, id } satisfies Asked, (error) => {
        if (error) finish(undefined);
      });
    });
  }

  async function valuesOf(worker: Worker): Promise<Values> {
    const values = await ask(worker);
    if (values === undefined) return [...lasting(known.get(worker.id) ?? []), ...(await notReady())];
    if (!worker.isDead()) known.set(worker.id, values);
    return values;
  }

  return async () => {
    const workers = Object.values(cluster.workers ?? {}).filter((worker) => worker?.isConnected()) as Worker[];
    const missing = Array.from({ length: wanted - workers.length }, notReady);
    const all = await Promise.all([...workers.map(valuesOf), ...missing]);
    if (ended.length > 1) {
      const those = ended;
      ended = [];
      ended.push(await AggregatorRegistry.aggregate(those).getMetricsAsJSON());
    }
    return AggregatorRegistry.aggregate([...all, ...ended]).metrics();
  };
}
