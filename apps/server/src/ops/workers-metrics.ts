import cluster, { type Worker } from 'node:cluster';
import { AggregatorRegistry, type MetricObjectWithValues, type MetricValue, type Registry } from 'prom-client';

/** For all workers: one that hangs must not keep from the operator what the others say. */
const ANSWER_WITHIN_MS = 1_000;
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

/** In the primary of several workers: the metrics of all of them together, of those that hang or have died what they counted. */
export function createMetricsOfWorkers(): () => Promise<string> {
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
    if (values === undefined) return lasting(known.get(worker.id) ?? []);
    if (!worker.isDead()) known.set(worker.id, values);
    return values;
  }

  return async () => {
    const workers = Object.values(cluster.workers ?? {}).filter((worker) => worker?.isConnected()) as Worker[];
    const living = await Promise.all(workers.map(valuesOf));
    if (ended.length > 1) {
      const all = ended;
      ended = [];
      ended.push(await AggregatorRegistry.aggregate(all).getMetricsAsJSON());
    }
    return AggregatorRegistry.aggregate([...living, ...ended]).metrics();
  };
}
