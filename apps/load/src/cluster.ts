// `npm run cluster`: several nodes on one machine, with nginx, Redis and MongoDB, as processes and without Docker.
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { askedToEnd, lackOfMongo, lackOfNginx, lackOfRedis, startCluster } from '@duet/testkit/cluster';

const HELP = `npm run cluster -- [--nodes 3] [--port 8080]

Starts nginx on the port, the nodes on the ports after it, Redis and MongoDB on free ones.
All of it, data included, is gone when it ends. DUET_TEST_REDIS_URL and DUET_TEST_MONGODB_URI name servers to use instead.`;

const { values } = parseArgs({
  options: {
    nodes: { type: 'string', default: '3' },
    port: { type: 'string', default: '8080' },
    help: { type: 'boolean', default: false },
  },
});
const nodes = Number(values.nodes);
const port = Number(values.port);
if (values.help || !(nodes >= 1 && nodes <= 16) || !(port >= 1 && port + nodes <= 65_535)) {
  console.log(HELP);
  process.exit(values.help ? 0 : 1);
}

const missing = [lackOfMongo(), lackOfRedis(), lackOfNginx()].filter((lack) => lack !== undefined);
if (missing.length > 0) {
  console.error(`A cluster needs what this machine has not:\n${missing.map((lack) => `  ${lack}`).join('\n')}`);
  process.exit(1);
}

console.log(`Starting MongoDB, Redis, ${nodes} nodes and nginx ...`);
await using cluster = await startCluster({
  main: fileURLToPath(new URL('../../server/src/main.ts', import.meta.url)),
  nodes,
  port,
  mongo: true,
  redis: true,
  nginx: true,
  environment: { LOG_LEVEL: 'info' },
  // Log lines, not the greeting of each node.
  onOutput: (text) => text.startsWith('{') && process.stderr.write(text),
});
console.log(`
  Duet, ${nodes} nodes   ${cluster.url}
${cluster.nodes.map(({ url, process }, i) => `  node ${i + 1}          ${url}  (process ${process.pid})`).join('\n')}
  Redis           ${cluster.redis?.url}
  MongoDB         ${cluster.mongo?.url}

  Ctrl-C ends all.`);
await askedToEnd();
console.log('Stopping ...');
