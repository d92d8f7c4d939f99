// `npm run cluster`: several nodes on one machine, with nginx, Redis and MongoDB, as processes and without Docker.
import { fileURLToPath } from 'node:url';
import { askedToEnd, lackOfMongo, lackOfNginx, lackOfRedis, listens, startCluster } from '@duet/testkit/cluster';
import { readOptions, refuse, whole } from './options.ts';

const HELP = `npm run cluster -- [--nodes 3] [--port 8080]

Starts nginx on the port, the nodes on the ports after it, Redis and MongoDB on free ones.
All of it, data included, is gone when it ends. DUET_TEST_REDIS_URL and DUET_TEST_MONGODB_URI name servers to use instead.`;

const MOST_NODES = 16;

const { nodes, port } = readOptions(HELP, {
  nodes: whole(3, { most: MOST_NODES }),
  port: whole(8_080, { most: 65_535 - MOST_NODES }),
});

const ports = Array.from({ length: nodes + 1 }, (_, i) => port + i);
const taken = (await Promise.all(ports.map((each) => listens(each)))).indexOf(true);
if (taken >= 0) refuse(`Port ${ports[taken]} is taken: name others with --port`);

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
