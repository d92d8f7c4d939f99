import cluster from 'node:cluster';
import { loadStore, loadWorkers } from './adapters.ts';
import { systemClock } from './clock.ts';
import { type Config, ConfigError, readConfig } from './config.ts';
import { markRarely } from './heap.ts';
import { createNode, listen } from './node.ts';
import { createLog, type Log } from './ops/log.ts';
import { createMetricsOfWorkers } from './ops/workers-metrics.ts';
import { putMessagesFirst } from './priority.ts';

/** A stop that takes longer than this after the drain is not going to end. */
const STOP_WITHIN_MS = 20_000;

const logOf = (config: Config): Log =>
  createLog({ level: config.logLevel, pretty: !config.production && process.stdout.isTTY });

async function start(config: Config, log: Log): Promise<{ port: number; close(): Promise<void> }> {
  if (config.workers === 1) return createNode({ config, log });
  const { createWorkerCluster, reportReady, startPrimary } = await loadWorkers();
  if (cluster.isPrimary) {
    // The schema is brought up to date before there are workers: while one did it, the others would give up waiting for
    // the file, and each would say what is wrong with it.
    if (config.store.kind === 'sqlite') await (await loadStore(config.store)).close();
    return startPrimary({
      ...config,
      listen,
      clock: systemClock,
      metrics: createMetricsOfWorkers(config.workers),
      log,
    });
  }
  const node = await createNode({ config, log, worker: createWorkerCluster() });
  reportReady();
  return node;
}

function greet(config: Config, port: number, log: Log): void {
  const address = `http://localhost:${port}`;
  if (config.production) {
    log.info({ port }, `listening on ${address}`);
    return;
  }
  console.log(`
  Duet is running

    Web client    ${address}
    Text client   ${address}/text-client.html
    REST API      ${address}/api/docs
    Messages in   ${config.store.kind === 'sqlite' ? config.store.file : 'MongoDB'}

  Open the web client, and again in a private window or another browser, and chat. Ctrl+C stops it.
`);
}

/** @param close undefined while the node still starts: then there is nothing to finish */
function stopOnSignal(close: () => (() => Promise<void>) | undefined, withinMs: number): void {
  const stop = () => {
    setTimeout(() => process.exit(1), withinMs).unref();
    Promise.resolve(close()?.()).then(
      () => process.exit(0),
      (error) => {
        console.error(error);
        process.exit(1);
      },
    );
  };
  process.on('SIGTERM', stop);
  process.on('SIGINT', stop);
  // A worker whose primary has died serves nobody.
  process.on('disconnect', stop);
}

// The database, its log and backups are for this user alone.
process.umask(0o077);
putMessagesFirst();
markRarely();

try {
  const config = readConfig(process.env);
  const log = logOf(config);
  let node: Awaited<ReturnType<typeof start>> | undefined;
  // Before the start, which may wait for other services as long as it takes.
  stopOnSignal(() => node?.close, config.drainMs + STOP_WITHIN_MS);
  node = await start(config, log);
  if (cluster.isPrimary) greet(config, node.port, log);
} catch (error) {
  const what = error instanceof ConfigError ? 'The configuration is not valid:\n' : 'Duet cannot start: ';
  console.error(what + (error instanceof Error ? error.message : String(error)));
  process.exit(1);
}
