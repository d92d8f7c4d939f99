import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { connect, eventually, register, type TestUser } from '@duet/testkit';
import { describe, expect, test } from 'vitest';
import { contractSuite } from './contract-suite.ts';
import { queries } from './dashboard.ts';
import { composed } from './shapes.ts';
import { startTraffic } from './traffic.ts';

// `docker-compose` or `docker compose`: who started the project did it with this environment.
const [COMPOSE, ...WORDS] = (process.env.DUET_TEST_COMPOSE ?? '').split(' ') as [string, ...string[]];
const PORT = Number(process.env.DUET_PORT ?? 8080);
const ADDRESS = `http://127.0.0.1:${PORT}`;
const PORTS: Record<string, number> = { mongo: 27_017, prometheus: 9090, redis: 6379 };
const ALWAYS_RUNNING = ['duet', 'duet', 'duet', 'mongo', 'nginx', 'prometheus', 'redis'];

async function run(program: string, ...words: string[]): Promise<string> {
  return (await promisify(execFile)(program, words)).stdout.trim();
}
const docker = (...words: string[]) => run('docker', ...words);
const compose = (...words: string[]) => run(COMPOSE, ...WORDS, ...words);

interface Container {
  id: string;
  service: string;
  /** What `docker inspect` says. */
  // biome-ignore lint/suspicious/noExplicitAny: Docker's document, of which a test looks at corners
  is: any;
}

/** The containers of the project, stopped ones too, by service. */
async function containers(): Promise<Container[]> {
  const project = `label=com.docker.compose.project=${process.env.COMPOSE_PROJECT_NAME}`;
  const ids = (await docker('ps', '--all', '--quiet', '--filter', project)).split('\n');
  // biome-ignore lint/suspicious/noExplicitAny: as above
  const all = JSON.parse(await docker('inspect', ...ids)) as any[];
  return all
    .map((is) => ({ id: is.Id, service: is.Config.Labels['com.docker.compose.service'], is }))
    .sort((a, b) => a.service.localeCompare(b.service));
}
const running = async () => (await containers()).filter(({ is }) => is.State.Running);
const of = async (service: string) => (await running()).filter((container) => container.service === service);

async function inside(service: string, ...words: string[]): Promise<string> {
  const [container] = await of(service);
  return docker('exec', container?.id as string, ...words);
}

const addressOf = ({ is }: Container): string =>
  (Object.values(is.NetworkSettings.Networks)[0] as { IPAddress: string }).IPAddress;

/** How many nodes nginx sends people to. */
const listed = async () => (await inside('nginx', 'cat', '/tmp/nodes.conf')).split('\n').length;

/** What Prometheus answers. */
async function ask(query: string): Promise<{ value: [number, string] }[]> {
  const words = ['promtool', 'query', '-o', 'json', 'instant', 'http://127.0.0.1:9090', query];
  return JSON.parse(await inside('prometheus', ...words));
}
const up = async () => (await ask('up{job="duet"} == 1')).length;

/** How many sockets a node has. */
async function sockets(node: Container): Promise<number> {
  const script = "fetch('http://127.0.0.1:5000/metrics').then((answer) => answer.text()).then(console.log)";
  const metrics = await docker('exec', node.id, 'node', '-e', script);
  return Number(/^duet_connected_sockets (\d+)/m.exec(metrics)?.[1]);
}

async function busiest(): Promise<Container> {
  const nodes = await Promise.all((await of('duet')).map(async (node) => ({ node, sockets: await sockets(node) })));
  nodes.sort((a, b) => b.sockets - a.sockets);
  expect(nodes[0]?.sockets).toBeGreaterThan(0);
  return nodes[0]?.node as Container;
}

contractSuite(composed(ADDRESS));

describe('docker-compose.yml', () => {
  const device = (i: number) => `${ADDRESS}/?k=device-${i}`;

  test('O15 every container is healthy', async () => {
    await eventually(
      async () => (await running()).every(({ is }) => is.State.Health.Status === 'healthy'),
      'all are healthy',
    );
    expect((await running()).map(({ service }) => service)).toEqual(ALWAYS_RUNNING);
  });

  test('O15 the containers may do little, and hold no secret in their environment', async () => {
    for (const { id, service, is } of await running()) {
      const { ReadonlyRootfs, CapDrop, SecurityOpt, Privileged } = is.HostConfig;
      expect({ service, ReadonlyRootfs, CapDrop, SecurityOpt, Privileged }).toEqual({
        service,
        ReadonlyRootfs: true,
        CapDrop: ['ALL'],
        SecurityOpt: ['no-new-privileges:true'],
        Privileged: false,
      });
      // Prometheus' image says itself who it runs as.
      if (service !== 'prometheus') expect(await docker('exec', id, 'sh', '-c', 'id -u'), service).not.toBe('0');
      expect(is.Config.Env.join('\n')).not.toMatch(/(SECRET|PASSWORD|TOKEN)=/);
      const anonymous = is.Mounts.filter(
        ({ Type, Name }: { Type: string; Name: string }) => Type === 'volume' && /^\w{64}$/.test(Name),
      );
      expect(anonymous, service).toEqual([]);
    }
    const secret = await inside('duet', 'sh', '-c', 'cat $JWT_SECRET_FILE; stat -c " %a" $JWT_SECRET_FILE');
    expect(secret).toMatch(/^[0-9a-f]{64} 400$/);
  });

  test('O41 a container has a limit of memory and of processes, and a node keeps its heap below it', async () => {
    for (const { service, is } of await running()) {
      expect(is.HostConfig.Memory, service).toBeGreaterThan(0);
      expect(is.HostConfig.PidsLimit, service).toBeGreaterThan(0);
    }
    const [node] = await of('duet');
    const heap = Number(await inside('duet', 'node', '-p', 'v8.getHeapStatistics().heap_size_limit'));
    expect(heap).toBeLessThan(0.6 * node?.is.HostConfig.Memory);
  });

  test('O29 a container holds its own secrets and no other, whole, for its own user', async () => {
    const held: Record<string, string> = {
      duet: 'jwt 400 64|keys 400 50|mongodb-uri 400 \\d+|redis-url 400 \\d+',
      mongo: 'admin 440 64|duet 440 64|keyfile 440 512',
      redis: 'users.acl 440 \\d+',
    };
    for (const { id, service, is } of await running()) {
      const secrets = is.Mounts.filter(({ Name }: { Name?: string }) => Name?.includes('secret'));
      expect(secrets.length, service).toBe(service in held ? 1 : 0);
      if (secrets.length === 0) continue;
      expect(secrets[0]).toMatchObject({ Destination: '/secret', RW: false });
      const files = (await docker('exec', id, 'sh', '-c', 'cd /secret && stat -c "%n %a %s" *')).split('\n');
      expect(files.join('|'), service).toMatch(new RegExp(`^${held[service]}$`));
    }
    const passwordIn = async (file: string) => new URL(await inside('duet', 'cat', `/secret/${file}`)).password;
    const inMongo = await inside('mongo', 'cat', '/secret/duet');
    expect(await passwordIn('mongodb-uri')).toBe(inMongo);
    expect(new Set([inMongo, await passwordIn('redis-url'), await inside('mongo', 'cat', '/secret/admin')]).size).toBe(
      3,
    );
  });

  test('O27 Redis lets nobody in without a password, and no node beyond what it needs', async () => {
    expect(await inside('redis', 'redis-cli', 'ping')).toMatch(/^NOAUTH/);
    const script = `
      import { readFileSync } from 'node:fs';
      import { createConnection } from 'node:net';
      const { username, password } = new URL(readFileSync('/secret/redis-url', 'utf8'));
      const socket = createConnection(6379, 'redis');
      socket.setEncoding('utf8').on('data', (text) => process.stdout.write(text));
      socket.write('AUTH ' + username + ' ' + password + '\\r\\nPING\\r\\nFLUSHALL\\r\\nGET other\\r\\nQUIT\\r\\n');`;
    const answers = (await inside('duet', 'node', '--input-type=module', '-e', script)).split('\r\n');
    expect(answers.map((line) => line.split(' ')[0])).toEqual(['+OK', '+PONG', '-NOPERM', '-NOPERM', '+OK']);
  });

  test('O15 nginx alone is reachable, and gives nobody the metrics', async () => {
    const all = await running();
    const open = all.filter(({ is }) => Object.values(is.NetworkSettings.Ports).some(Boolean));
    expect(open.map(({ service }) => service)).toEqual(['nginx']);
    expect(all.filter(({ is }) => is.HostConfig.NetworkMode === 'host')).toEqual([]);
    expect((await fetch(`${ADDRESS}/ready`)).status).toBe(200);
    const metrics = await fetch(`${ADDRESS}/metrics`);
    expect(metrics.status).toBe(404);
    expect(await metrics.text()).not.toContain('duet_');
    // Not even from the container that the world talks to is there a way to the data, by name or by address.
    for (const service of ['mongo', 'redis', 'prometheus']) {
      await expect(inside('nginx', 'getent', 'hosts', service)).rejects.toMatchObject({ code: 2 });
      const url = `http://${addressOf((await of(service))[0] as Container)}:${PORTS[service]}`;
      await expect(inside('nginx', 'curl', '-s', '--max-time', '2', url)).rejects.toMatchObject({ code: 28 });
    }
  });

  // Four times nginx waits until the list of nodes stays what it is.
  test('O16 a node is killed, started again, joined by another and stopped under load', {
    timeout: 180_000,
  }, async () => {
    using traffic = await startTraffic(device);
    await traffic.flows();
    const victim = await busiest();
    await docker('kill', victim.id);
    await traffic.flows();
    await eventually(async () => (await listed()) === 2, 'nginx knows');
    await traffic.flows();

    // Nodes that come cut nobody who is somewhere else.
    const { token } = traffic.users[0] as TestUser;
    const watchers = await Promise.all(
      [0, 1, 2, 3].map((i) => connect(device(i), token, { transports: ['websocket'] })),
    );
    const cut: string[] = [];
    for (const watcher of watchers) watcher.on('disconnect', (reason) => cut.push(reason));
    await docker('start', victim.id);
    await eventually(async () => (await listed()) === 3, 'nginx knows that it is back');
    await traffic.flows();
    await compose('up', '-d', '--scale', 'duet=4');
    await eventually(async () => (await listed()) === 4, 'nginx knows the new one');
    await traffic.flows();
    expect(cut).toEqual([]);
    // So many that the hash leaves no node out.
    watchers.push(...(await Promise.all(Array.from({ length: 40 }, (_, i) => connect(device(100 + i), token)))));
    const spread = await Promise.all((await of('duet')).map(sockets));
    expect(spread).toHaveLength(4);
    expect(Math.min(...spread)).toBeGreaterThan(0);
    for (const watcher of watchers) watcher.disconnect();

    await compose('up', '-d');
    await eventually(async () => (await listed()) === 3, 'nginx knows that one has stopped');
    await traffic.flows();
    await traffic.finish();
  });

  test('O14 Prometheus asks every node, and has an answer to all that the dashboard asks', async () => {
    await eventually(async () => (await up()) === 3, 'it knows all nodes');
    using traffic = await startTraffic(device, { pairs: 1 });
    // An error for the panel that shows errors.
    const [alice] = traffic.users;
    using socket = await connect(ADDRESS, alice?.token);
    for (const { panel, expr } of queries) {
      const query = expr.replaceAll('$node', '.*').replaceAll('$__rate_interval', '1m');
      await eventually(async () => {
        await socket.emitWithAck('send_message', {});
        return (await ask(query)).some(({ value }) => value[1] !== 'NaN');
      }, `${panel}: ${query}`);
    }
    await traffic.finish();
  });

  test('O17 it stops in its time, and each container by itself', async () => {
    const user = await register(ADDRESS);
    using _ = await connect(ADDRESS, user.token, { transports: ['websocket'] });
    expect((await running()).map(({ service }) => service)).toEqual(ALWAYS_RUNNING);
    await compose('stop');
    expect(await running()).toEqual([]);
    // One that had to be killed would say 137.
    const ends = (await containers()).map(({ service, is }) => ({ service, code: is.State.ExitCode }));
    expect(ends.filter(({ code }) => code !== 0)).toEqual([]);
  });
});
