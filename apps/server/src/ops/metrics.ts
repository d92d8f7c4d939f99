import cluster from 'node:cluster';
import { type ClientEventName, clientEvents, type ErrorCode, errorTable, type RouteName, routes } from '@duet/contract';
import { AggregatorRegistry, Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';

/** Seconds. From an empty loop to a stalled disk. */
const LATENCY_BUCKETS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5];

export interface Metrics {
  /** A message was stored and acknowledged. */
  accepted(): void;
  /** A message was handed to a socket. */
  delivered(): void;
  /** A client event was answered, `seconds` after it came. */
  event(name: ClientEventName, seconds: number): void;
  request(name: RouteName, seconds: number): void;
  error(code: ErrorCode): void;
  committed(size: number, seconds: number): void;
  presenceChanged(isOnline: boolean): void;
  slowConsumer(): void;
  /** All of this process, in Prometheus' text format. */
  text(): Promise<string>;
  contentType: string;
}

/**
 * Lets the primary of several workers ask this process for its metrics.
 * (The library listens for that as a side effect of making an aggregator.)
 */
function answerPrimary(register: Registry): void {
  AggregatorRegistry.setRegistries([register]);
  new AggregatorRegistry();
}

/**
 * Labels take names of the contract alone, so their number is fixed: a user can make no new time series.
 * @param sockets asked for the number of connected sockets at each scrape
 */
export function createMetrics(sockets: () => number): Metrics {
  const register = new Registry();
  const registers = [register];
  collectDefaultMetrics({ register });
  if (cluster.isWorker) answerPrimary(register);

  const counter = (name: string, help: string) => new Counter({ name, help, registers });
  const histogram = (name: string, help: string, buckets: number[]) =>
    new Histogram({ name, help, buckets, registers });
  const accepted = counter('duet_messages_accepted_total', 'Messages stored and acknowledged');
  const delivered = counter('duet_messages_delivered_total', 'Messages handed to a connected socket');
  const slow = counter('duet_slow_consumers_total', 'Sockets closed because they did not read');
  const events = new Histogram({
    name: 'duet_event_seconds',
    help: 'From the arrival of a client event to its successful answer, in seconds',
    labelNames: ['event'],
    buckets: LATENCY_BUCKETS,
    registers,
  });
  const requests = new Histogram({
    name: 'duet_http_request_seconds',
    help: 'From the arrival of a REST request to its answer, in seconds',
    labelNames: ['route'],
    buckets: LATENCY_BUCKETS,
    registers,
  });
  const errors = new Counter({
    name: 'duet_errors_total',
    help: 'Failed events and requests by error code',
    labelNames: ['code'],
    registers,
  });
  const presence = new Counter({
    name: 'duet_presence_changes_total',
    help: 'Users who came online or went offline',
    labelNames: ['status'],
    registers,
  });
  const batch = histogram('duet_commit_messages', 'Messages stored by one commit', [1, 2, 4, 8, 16, 32, 64]);
  const commit = histogram('duet_commit_seconds', 'Time of one commit, in seconds', LATENCY_BUCKETS);
  new Gauge({
    name: 'duet_connected_sockets',
    help: 'Sockets connected to this node',
    registers,
    collect() {
      this.set(sockets());
    },
  });

  // Children with their labels bound, so that the message path builds no label object; and every series is there from
  // the start, so that a first error shows as a rise.
  const eventTimers = bind(Object.keys(clientEvents) as ClientEventName[], (event) => events.labels(event));
  const requestTimers = bind(Object.keys(routes) as RouteName[], (route) => requests.labels(route));
  const errorCounters = bind(Object.keys(errorTable) as ErrorCode[], (code) => errors.labels(code));
  const online = presence.labels('online');
  const offline = presence.labels('offline');

  return {
    accepted: () => accepted.inc(),
    delivered: () => delivered.inc(),
    event: (name, seconds) => eventTimers[name].observe(seconds),
    request: (name, seconds) => requestTimers[name].observe(seconds),
    error: (code) => errorCounters[code].inc(),
    committed(size, seconds) {
      batch.observe(size);
      commit.observe(seconds);
    },
    presenceChanged: (isOnline) => (isOnline ? online : offline).inc(),
    slowConsumer: () => slow.inc(),
    text: () => register.metrics(),
    contentType: register.contentType,
  };
}

function bind<K extends string, V>(names: K[], make: (name: K) => V): Record<K, V> {
  return Object.fromEntries(names.map((name) => [name, make(name)])) as Record<K, V>;
}

/** In the primary of several workers: the metrics of all of them together. */
export function createMetricsOfWorkers(): () => Promise<string> {
  const registry = new AggregatorRegistry();
  return () => registry.clusterMetrics();
}
