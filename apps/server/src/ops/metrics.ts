import cluster from 'node:cluster';
import {
  type ClientEventName,
  clientEvents,
  type ErrorCode,
  errorTable,
  type LimitName,
  limits,
  type RetryClass,
  type RouteName,
  routes,
} from '@duet/contract';
import { Counter, collectDefaultMetrics, Gauge, type GaugeConfiguration, Histogram, Registry } from 'prom-client';
import { answerPrimary, READY } from './workers-metrics.ts';

/** Seconds. From an empty loop to a stalled disk. */
const LATENCY_BUCKETS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5];
const GROUP_BUCKETS = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512];

/** How an event ended: well, or by what its client does next. */
export type Outcome = 'ok' | RetryClass;
const outcomes: Outcome[] = ['ok', 'never', 'reauth', 'wait', 'same'];

/** A backing service's operation, as the ports name it. */
export type Operation = `${string}.${string}`;

export interface Metrics {
  /** A message was stored and acknowledged. */
  accepted(): void;
  /** A send was answered with what had been stored before. */
  repeated(): void;
  /** A message was handed to a socket. */
  delivered(): void;
  /** Messages were handed out by a sync. */
  synced(messages: number): void;
  /** Messages were read whose content could not be opened. */
  unreadable(messages: number): void;
  /** A client event was answered, `seconds` after it came. */
  event(name: ClientEventName, outcome: Outcome, seconds: number): void;
  request(name: RouteName, seconds: number): void;
  error(code: ErrorCode): void;
  committed(size: number, seconds: number): void;
  presenceChanged(isOnline: boolean): void;
  /** A socket waited this long until its room was known to all nodes. */
  fenced(seconds: number): void;
  /** Local sockets were told that they may have missed something. */
  gap(): void;
  slowConsumer(): void;
  limited(name: LimitName): void;
  store(operation: Operation, seconds: number): void;
  cluster(operation: Operation, seconds: number): void;
  /** All of this process, in Prometheus' text format. */
  text(): Promise<string>;
  contentType: string;
}

/** The kinds of metric, each made in one line. */
function kindsOf(register: Registry) {
  const registers = [register];
  const gauge = (settings: GaugeConfiguration<string>, value: () => number | Promise<number>) =>
    new Gauge({
      ...settings,
      registers,
      async collect() {
        this.set(await value());
      },
    });
  return {
    counter: (name: string, help: string) => new Counter({ name, help, registers }),
    counterBy: (label: string, name: string, help: string) =>
      new Counter({ name, help, labelNames: [label], registers }),
    histogram: (name: string, help: string, buckets = LATENCY_BUCKETS) =>
      new Histogram({ name, help, buckets, registers }),
    histogramBy: (labelNames: string[], name: string, help: string) =>
      new Histogram({ name, help, labelNames, buckets: LATENCY_BUCKETS, registers }),
    gauge: (name: string, help: string, value: () => number) => gauge({ name, help }, value),
    flag: (settings: GaugeConfiguration<string>, holds: () => Promise<boolean>) =>
      gauge(settings, async () => ((await holds()) ? 1 : 0)),
  };
}

const eventNames = Object.keys(clientEvents) as ClientEventName[];

/** Connected sockets, by how they are connected. */
export type CountSockets = () => { websocket: number; polling: number };

/**
 * Labels take names of the contract and of the ports alone, so their number is fixed: a user can make no new time
 * series. docs/metrics.md says what to do when one of them moves.
 * @param sockets asked at each scrape
 * @param isReady as well: whether the node serves, in time for the scrape
 */
export function createMetrics(sockets: CountSockets, isReady: () => Promise<boolean>): Metrics {
  const register = new Registry();
  collectDefaultMetrics({ register });
  if (cluster.isWorker) answerPrimary(register);
  const { counter, counterBy, histogram, histogramBy, gauge, flag } = kindsOf(register);

  const accepted = counter('duet_messages_accepted_total', 'Messages stored and acknowledged');
  const repeated = counter('duet_messages_repeated_total', 'Sends that had been stored before: suppressed duplicates');
  const delivered = counter('duet_messages_delivered_total', 'Messages handed to a connected socket');
  const synced = counter('duet_messages_synced_total', 'Messages handed out by a sync: missed, or a first look');
  const unreadable = counter('duet_unreadable_total', 'Messages read whose content could not be opened');
  const events = histogramBy(
    ['event', 'outcome'],
    'duet_event_seconds',
    'From the arrival of a client event to its answer, in seconds; outcome is ok or the retry class of the error',
  );
  const requests = histogramBy(
    ['route'],
    'duet_http_request_seconds',
    'From the arrival of a REST request to its successful answer, in seconds',
  );
  const errors = counterBy('code', 'duet_errors_total', 'Failed events and requests by error code');
  const limited = counterBy('limit', 'duet_limited_total', 'Refusals by the name of the limit');
  const presence = counterBy('status', 'duet_presence_changes_total', 'Users who came online, or were found offline');
  const batch = histogram('duet_commit_messages', 'Messages stored by one commit', GROUP_BUCKETS);
  const commit = histogram('duet_commit_seconds', 'Time of one commit, in seconds');
  const fence = histogram('duet_fence_seconds', 'From joining a room until all nodes know, in seconds');
  const gaps = counter('duet_resyncs_total', 'Times at which local sockets were told to read again');
  const slow = counter('duet_slow_consumers_total', 'Sockets closed because they did not read');
  const store = histogramBy(['operation'], 'duet_store_seconds', 'Time of one call to the store, in seconds');
  const shared = histogramBy(
    ['operation'],
    'duet_cluster_seconds',
    'Time of one call to Redis or the primary, in seconds',
  );
  flag(READY, isReady);
  const transports = counted(sockets);
  gauge(
    'duet_connected_sockets',
    'Sockets connected to this node',
    () => transports().websocket + transports().polling,
  );
  gauge('duet_polling_sockets', 'Those of them that use long polling', () => transports().polling);

  // Children with their labels bound, so that the message path builds no label object; and every series is there from
  // the start, at zero, so that a first error shows as a rise.
  const eventTimers = bind(eventNames, (event) =>
    bind(outcomes, (outcome) => {
      events.zero({ event, outcome });
      return events.labels(event, outcome);
    }),
  );
  const requestTimers = bind(Object.keys(routes) as RouteName[], (route) => {
    requests.zero({ route });
    return requests.labels(route);
  });
  const errorCounters = bind(Object.keys(errorTable) as ErrorCode[], (code) => atZero(errors.labels(code)));
  const limitCounters = bind(Object.keys(limits) as LimitName[], (limit) => atZero(limited.labels(limit)));
  const presenceCounters = bind(['online', 'offline'], (status) => atZero(presence.labels(status)));

  return {
    accepted: () => accepted.inc(),
    repeated: () => repeated.inc(),
    delivered: () => delivered.inc(),
    synced: (messages) => synced.inc(messages),
    unreadable: (messages) => unreadable.inc(messages),
    event: (name, outcome, seconds) => eventTimers[name][outcome].observe(seconds),
    request: (name, seconds) => requestTimers[name].observe(seconds),
    error: (code) => errorCounters[code].inc(),
    committed(size, seconds) {
      batch.observe(size);
      commit.observe(seconds);
    },
    presenceChanged: (isOnline) => presenceCounters[isOnline ? 'online' : 'offline'].inc(),
    fenced: (seconds) => fence.observe(seconds),
    gap: () => gaps.inc(),
    slowConsumer: () => slow.inc(),
    limited: (name) => limitCounters[name].inc(),
    store: (operation, seconds) => store.labels(operation).observe(seconds),
    cluster: (operation, seconds) => shared.labels(operation).observe(seconds),
    text: () => register.metrics(),
    contentType: register.contentType,
  };
}

/** One walk over the sockets for the gauges of one scrape. */
function counted(sockets: CountSockets): CountSockets {
  let last: ReturnType<CountSockets> | undefined;
  return () => {
    last ??= sockets();
    queueMicrotask(() => {
      last = undefined;
    });
    return last;
  };
}

/** A child of a counter exists for Prometheus once it was counted. */
function atZero(child: Counter.Internal): Counter.Internal {
  child.inc(0);
  return child;
}

function bind<K extends string, V>(names: K[], make: (name: K) => V): Record<K, V> {
  return Object.fromEntries(names.map((name) => [name, make(name)])) as Record<K, V>;
}
