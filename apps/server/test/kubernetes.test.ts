import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  available,
  eventually,
  findProgram,
  hasMongo,
  hasRedis,
  lackOf,
  startCluster,
  temporaryFolder,
} from '@duet/testkit';
import { describe, expect, test } from 'vitest';
import { parse, parseAllDocuments } from 'yaml';
import { readConfig } from '../src/config.ts';
import { MAIN } from './shapes.ts';

const at = (path: string): string => fileURLToPath(new URL(`../../../${path}`, import.meta.url));
const text = (path: string): string => readFileSync(at(path), 'utf8');
const CHART = at('deploy/chart');
const SECRET = '0123456789abcdef0123456789abcdef';
const KEY_RING = `first:${Buffer.from(SECRET).toString('base64')}`;
/** The oldest version that the chart takes, and the newest whose schemas are known. */
const VERSIONS = ['1.30', '1.37'];
/** What a node of a cluster has no use for, or what comes as a file. */
const NOT_FOR_PODS = [
  'DATA_DIR',
  'JWT_SECRET',
  'JWT_SECRET_PREVIOUS_FILE',
  'KEY_RING_COMMAND',
  'MONGODB_URI_FILE',
  'REDIS_URL_FILE',
  'WORKERS',
];

const helm = findProgram('helm');
const validator = findProgram('kubernetes-validate');
const lacks = [
  lackOf('helm', helm, 'install Helm (helm.sh/docs/intro/install, brew install helm)'),
  lackOf('kubernetes-validate', validator, 'install it (pip install kubernetes-validate)'),
];
const hasTools = lacks.map(available).every(Boolean);

// biome-ignore lint/suspicious/noExplicitAny: manifests are judged by their schemas, not by types
type Manifest = any;

const run = (program: string | undefined, args: string[]) => spawnSync(program as string, args, { encoding: 'utf8' });
const settings = (values: string[]): string[] => values.flatMap((value) => ['--set', value]);

function render(...values: string[]): string {
  const { stdout, stderr, status } = run(helm, ['template', 'duet', CHART, ...settings(values)]);
  expect(status, stderr).toBe(0);
  return stdout;
}

const manifests = (...values: string[]): Manifest[] =>
  parseAllDocuments(render(...values)).map((document) => document.toJS());
const named = (all: Manifest[], kind: string, name = 'duet'): Manifest =>
  all.find((manifest) => manifest.kind === kind && manifest.metadata.name === name);
const podOf = (all: Manifest[]): Manifest => named(all, 'Deployment').spec.template.spec;
const number = (path: string, name: string): number =>
  Number(new RegExp(`const ${name} = ([\\d_]+)`).exec(text(path))?.[1]?.replaceAll('_', ''));

const OWN_SECRET = 'secret.name=own';
const EVERYTHING = [
  `secret.jwtSecret=${SECRET}`,
  `secret.keyRing=${KEY_RING}`,
  'secret.mongodbUri=mongodb://db-0/duet',
  'secret.redisUrl=redis://redis',
  'monitoring.enabled=true',
  'monitoring.labels.release=prometheus',
  'ingress.tlsSecret=chat-tls',
  'image.pullSecrets[0]=registry',
  'networkPolicy.redis.to[0].ipBlock.cidr=10.0.0.0/8',
  'networkPolicy.from[0].ipBlock.cidr=10.1.0.0/16',
  'nodeSelector.pool=chat',
  'tolerations[0].key=chat',
  'tolerations[0].operator=Exists',
  'env.PRESENCE_BROADCAST_BUDGET=2000000',
];

describe.skipIf(!hasTools)('the chart for Kubernetes', () => {
  test.each([
    ['with a Secret of the operator', [OWN_SECRET]],
    ['with everything', EVERYTHING],
    ['with as little as can be', [OWN_SECRET, 'autoscaling.enabled=false', 'ingress.enabled=false']],
  ])('G1 what it makes %s is valid for the oldest and the newest Kubernetes', (_, values) => {
    const lint = run(helm, ['lint', '--strict', CHART, ...settings(values)]);
    expect(lint.status, lint.stdout + lint.stderr).toBe(0);
    using folder = temporaryFolder();
    const file = join(folder.path, 'duet.yaml');
    writeFileSync(file, render(...values));
    const { status, stdout } = run(validator, ['--strict', ...VERSIONS.flatMap((v) => ['-k', v]), file]);
    expect(status, stdout).toBe(0);
    // What has no schema passes with a warning: that is what others define, and nothing misspelt.
    const unknown = [...stdout.matchAll(/^WARN .*for kind (\w+)/gm)].map(([, kind]) => kind);
    expect([...new Set(unknown)].sort()).toEqual(values === EVERYTHING ? ['PrometheusRule', 'ServiceMonitor'] : []);
    expect(stdout.match(/passed for resource deployment\/duet/g)).toHaveLength(VERSIONS.length);
  });

  test.each([
    [[], /secret.jwtSecret is missing/],
    [[`secret.jwtSecret=${SECRET}`], /secret.keyRing is missing/],
    [[`secret.jwtSecret=${SECRET}`, `secret.keyRing=${KEY_RING}`], /secret.mongodbUri is missing/],
    [[OWN_SECRET, 'secret.redisUrl=http://redis'], /redisUrl/],
    [[OWN_SECRET, 'replica=3'], /additional properties 'replica' not allowed/],
    [[OWN_SECRET, 'env.WORKERS=4'], /additional properties 'WORKERS' not allowed/],
  ])('G2 values %j are refused', (values, why) => {
    const { status, stderr } = run(helm, ['template', 'duet', CHART, ...settings(values)]);
    expect(status).not.toBe(0);
    expect(stderr).toMatch(why);
  });

  test('G3 pods are given the variables that a node reads, and any other can be set', () => {
    const read = [...text('apps/server/src/config.ts').matchAll(/^ {4}([A-Z_]+): /gm)].map(([, name]) => name);
    const given = podOf(manifests(OWN_SECRET)).containers[0].env.map(({ name }: { name: string }) => name);
    const { properties } = JSON.parse(text('deploy/chart/values.schema.json')).properties.env;
    const known = new Set([...given, ...Object.keys(properties), ...NOT_FOR_PODS]);
    expect([...known].sort()).toEqual(read.toSorted());
  });

  test('G4 the time to stop holds the way out of the ingress, the drain and the stop', () => {
    const stop = number('apps/server/src/main.ts', 'STOP_WITHIN_MS') / 1000;
    for (const values of [[], ['drainSeconds=120', 'preStopSeconds=15']]) {
      const pod = podOf(manifests(OWN_SECRET, ...values));
      const [{ env, lifecycle }] = pod.containers;
      const { value } = env.find(({ name }: { name: string }) => name === 'DRAIN_SECONDS');
      expect(Number(value)).toBe(values.length > 0 ? 120 : 30);
      const needed = lifecycle.preStop.sleep.seconds + Number(value) + stop;
      expect(pod.terminationGracePeriodSeconds).toBeGreaterThan(needed);
    }
  });

  test('G5 the ingress keeps a device at a pod and waits longer than pings', () => {
    const all = manifests(OWN_SECRET);
    const sockets = named(all, 'Ingress', 'duet-sockets');
    const word = (name: string) => sockets.metadata.annotations[`nginx.ingress.kubernetes.io/${name}`];
    const server = 'apps/server/src/socket/server.ts';
    const silence = (number(server, 'PING_INTERVAL_MS') + number(server, 'PING_TIMEOUT_MS')) / 1000;
    expect(Number(word('proxy-read-timeout'))).toBeGreaterThan(silence);
    expect(Number(word('proxy-send-timeout'))).toBeGreaterThan(silence);
    expect(word('upstream-hash-by')).toMatch(/^\$arg_k\$/);
    // The ingress balances by Service: the one with sockets is no other ingress's.
    const backends = all
      .filter(({ kind }) => kind === 'Ingress')
      .map(({ spec }) => spec.rules[0].http.paths[0])
      .map(({ path, pathType, backend }) => [path, pathType, backend.service.name]);
    expect(backends.sort()).toEqual([
      ['/', 'Prefix', 'duet'],
      // Not every version of ingress-nginx takes a dot in a Prefix.
      ['/socket.io/', 'ImplementationSpecific', 'duet-sockets'],
    ]);
  });

  test("G9 what the page gives NGINX's own controller leads where the ingress of the chart does", () => {
    const [, example] = /```yaml\n(apiVersion: k8s\.nginx\.org.*?)```/s.exec(text('docs/kubernetes.md')) ?? [];
    const { metadata, spec } = parse(example as string);
    const all = manifests(OWN_SECRET, 'ingress.tlsSecret=chat-tls');
    const { host, http } = named(all, 'Ingress').spec.rules[0];
    expect(spec).toMatchObject({ host, tls: { secret: 'chat-tls' } });
    expect(http.paths[0].path).toBe('/');
    const ways = spec.routes.map(({ path, action }: Manifest) => {
      const upstream = spec.upstreams.find(({ name }: Manifest) => name === action.pass);
      const [{ port }] = named(all, 'Service', upstream.service).spec.ports;
      expect(upstream.port).toBe(port);
      return [path, upstream.service];
    });
    const chart = all
      .filter(({ kind }) => kind === 'Ingress')
      .map(({ spec: { rules } }) => rules[0].http.paths[0])
      .map(({ path, backend }) => [path, backend.service.name]);
    expect(ways.sort()).toEqual(chart.sort());

    const { annotations } = named(all, 'Ingress', 'duet-sockets').metadata;
    const word = (name: string) => annotations[`nginx.ingress.kubernetes.io/${name}`];
    const [api, sockets] = spec.upstreams;
    expect(sockets).toMatchObject({
      'lb-method': `hash ${word('upstream-hash-by')} consistent`,
      'read-timeout': `${word('proxy-read-timeout')}s`,
      'send-timeout': `${word('proxy-send-timeout')}s`,
    });
    expect(api['lb-method']).toBeUndefined();
    for (const upstream of [api, sockets])
      expect(upstream).toMatchObject({
        'connect-timeout': `${word('proxy-connect-timeout')}s`,
        'client-max-body-size': word('proxy-body-size'),
      });
    expect(metadata).toEqual({ name: 'duet', namespace: 'duet' });
  });

  test('G6 pods are ordinary users without rights, and talk to whom they need', () => {
    const all = manifests(...EVERYTHING);
    const pod = podOf(all);
    expect(pod.securityContext).toMatchObject({ runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } });
    expect(pod.containers[0].securityContext).toEqual({
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ['ALL'] },
    });
    expect(pod.automountServiceAccountToken).toBe(false);
    const { ingress, egress } = named(all, 'NetworkPolicy').spec;
    const from = ingress.flatMap((rule: Manifest) => rule.from);
    const namespaces = from.flatMap((peer: Manifest) => Object.values(peer.namespaceSelector?.matchLabels ?? {}));
    expect(namespaces).toEqual(['ingress-nginx', 'monitoring']);
    expect(egress.map((rule: Manifest) => rule.ports[0].port)).toEqual([53, 27_017, 6_379]);
    expect(egress[2].to).toEqual([{ ipBlock: { cidr: '10.0.0.0/8' } }]);
    // Where a cluster looks names up is its own affair.
    expect(egress[0].to).toBeUndefined();
    const looked = manifests(OWN_SECRET, 'networkPolicy.dns.to[0].ipBlock.cidr=169.254.169.254/32');
    expect(named(looked, 'NetworkPolicy').spec.egress[0].to).toEqual([{ ipBlock: { cidr: '169.254.169.254/32' } }]);
    const closed = named(manifests(OWN_SECRET), 'NetworkPolicy').spec.ingress[0].from;
    expect(closed).toHaveLength(1);
    // A controller on its machine's network, or a load balancer, comes from no namespace.
    const machines = { ipBlock: { cidr: '10.1.0.0/16' } };
    const opened = named(manifests(OWN_SECRET, 'networkPolicy.from[0].ipBlock.cidr=10.1.0.0/16'), 'NetworkPolicy');
    expect(opened.spec.ingress).toMatchObject([{ from: [...closed, machines], ports: [{ port: 'http' }] }]);
    const hosted = manifests(
      OWN_SECRET,
      'env.JWKS_URL=https://id.example.org/jwks.json',
      'networkPolicy.jwks.port=8443',
    );
    expect(named(hosted, 'NetworkPolicy').spec.egress.map((rule: Manifest) => rule.ports[0].port)).toEqual([
      53, 27_017, 6_379, 8_443,
    ]);
  });

  test('G7 what watches pods finds them: labels, ports, and the metric that scales them', () => {
    const all = manifests(...EVERYTHING);
    const pod = named(all, 'Deployment').spec.template.metadata.labels;
    for (const service of all.filter(({ kind }) => kind === 'Service'))
      expect(pod).toMatchObject(service.spec.selector);
    for (const kind of ['PodDisruptionBudget', 'NetworkPolicy']) {
      const { spec } = named(all, kind);
      expect(pod).toMatchObject((spec.selector ?? spec.podSelector).matchLabels);
    }
    const { selector, endpoints } = named(all, 'ServiceMonitor').spec;
    const services = all.filter(({ kind }) => kind === 'Service');
    const found = services.filter(({ metadata }) =>
      Object.entries(selector.matchLabels).every(([name, value]) => metadata.labels[name] === value),
    );
    expect(found).toHaveLength(1);
    expect(found[0].spec.ports.map(({ name }: { name: string }) => name)).toContain(endpoints[0].port);
    const scaled = named(all, 'HorizontalPodAutoscaler').spec.metrics.map((metric: Manifest) => metric.type);
    expect(scaled).toEqual(['Resource', 'Pods']);
    expect(named(manifests(OWN_SECRET), 'HorizontalPodAutoscaler').spec.metrics).toHaveLength(1);
  });

  test('G10 the Secret holds what it is given, and no key that signed before unless it is named', () => {
    const pods = new Set<string>();
    const held = (...values: string[]) => {
      const all = manifests(...EVERYTHING, ...values);
      pods.add(named(all, 'Deployment').spec.template.metadata.annotations['checksum/secret']);
      const secret = named(all, 'Secret');
      // Keys of stringData stay where they were once applied.
      expect(secret.stringData).toBeUndefined();
      return Object.fromEntries(
        Object.entries<string>(secret.data).map(([key, value]) => [key, Buffer.from(value, 'base64').toString()]),
      );
    };
    const given = {
      'jwt-secret': SECRET,
      'key-ring': KEY_RING,
      'mongodb-uri': 'mongodb://db-0/duet',
      'redis-url': 'redis://redis',
    };
    const before = 'fedcba9876543210fedcba9876543210';
    expect(held(`secret.jwtSecretPrevious=${before}`)).toEqual({ ...given, 'jwt-secret-previous': before });
    const now = held();
    // Written, not left out: that takes a former one away, however it came there.
    expect(now).toEqual({ ...given, 'jwt-secret-previous': '' });
    const { jwtSecretPrevious } = readConfig({ JWT_SECRET: SECRET, JWT_SECRET_PREVIOUS: now['jwt-secret-previous'] });
    expect(jwtSecretPrevious).toBeUndefined();
    // What a pod has read it goes on believing: it is replaced.
    expect(pods.size).toBe(2);
  });

  test('G11 alerts are those of deploy/prometheus that fit, from a package too, and find nodes whatever the release is called', () => {
    using folder = temporaryFolder();
    const packed = run(helm, ['package', CHART, '--destination', folder.path]);
    expect(packed.status, packed.stderr).toBe(0);
    const { groups } = parse(text('deploy/prometheus/alerts.yml'));
    for (const chart of [CHART, join(folder.path, `duet-${parse(text('deploy/chart/Chart.yaml')).version}.tgz`)]) {
      const { stdout } = run(helm, ['template', 'other', chart, ...settings(EVERYTHING)]);
      const all: Manifest[] = parseAllDocuments(stdout).map((document) => document.toJS());
      const rules = named(all, 'PrometheusRule', 'other-duet');
      // That pods are fewer is no news where the autoscaler takes them away.
      expect(rules.spec).toEqual({
        groups: groups.map(({ name, rules }: Manifest) => ({
          name,
          rules: rules.filter(({ alert }: Manifest) => alert !== 'DuetNodesMissing'),
        })),
      });
      const monitor = named(all, 'ServiceMonitor', 'other-duet');
      expect(rules.metadata.labels).toEqual(monitor.metadata.labels);
      expect(rules.metadata.labels.release).toBe('prometheus');
      // The operator makes the job of that label of the Service.
      const service = named(all, 'Service', 'other-duet');
      const jobs = [...JSON.stringify(groups).matchAll(/job=\\"(\w+)\\"/g)].map(([, job]) => job);
      expect(new Set(jobs)).toEqual(new Set([service.metadata.labels[monitor.spec.jobLabel]]));
    }
    const fixed = manifests(OWN_SECRET, 'monitoring.enabled=true', 'autoscaling.enabled=false');
    expect(named(fixed, 'PrometheusRule').spec).toEqual({ groups });
    expect(named(manifests(OWN_SECRET), 'PrometheusRule')).toBeUndefined();
  });

  test('G12 a pod asks for the memory that its sockets and its heap need, and may have twice of it', () => {
    const mebibytes = (value: string): number => {
      const [, amount, unit] = /^(\d+)(Mi|Gi)$/.exec(value) ?? [];
      return Number(amount) * (unit === 'Gi' ? 1024 : 1);
    };
    const planned = (flag: string): number =>
      Number(new RegExp(`^\\| \`--${flag}\` +\\| ([\\d.]+) `, 'm').exec(text('docs/capacity.md'))?.[1]);
    const { autoscaling } = parse(text('deploy/chart/values.yaml'));
    const [{ resources }] = podOf(manifests(OWN_SECRET)).containers;
    const request = mebibytes(resources.requests.memory);
    const connected = planned('nodeMib') + (autoscaling.socketsPerPod * planned('socketKib')) / 1024;
    expect(request).toBeGreaterThanOrEqual(connected);
    const [, busy] = /a busy node holds (\d+) MB/.exec(text('docs/decisions/README.md')) ?? [];
    expect(request).toBeGreaterThanOrEqual((Number(busy) * 1e6) / 1024 ** 2);
    // V8 takes half of a container's limit for its heap.
    expect(mebibytes(resources.limits.memory) / 2).toBeGreaterThanOrEqual(request);
  });

  test('G13 pods are taken out after as long without Redis or MongoDB as the pages say', () => {
    const [{ readinessProbe }] = podOf(manifests(OWN_SECRET)).containers;
    const after = `after ${readinessProbe.periodSeconds * readinessProbe.failureThreshold} s`;
    const page = text('docs/kubernetes.md').split('\n');
    for (const what of ['Redis', 'MongoDB'])
      expect(page.find((line) => line.startsWith(`| ${what} is away `))).toContain(`pods become not ready ${after}`);
    expect(text('docs/guarantees.md')).toContain(`as Kubernetes does ${after}`);
  });

  test.skipIf(!(hasMongo() && hasRedis()))(
    'G8 a node starts as a pod would start it, and answers its probes',
    async () => {
      const all = manifests(...EVERYTHING);
      const [container] = podOf(all).containers;
      const given = container.env.filter(({ value }: { value?: string }) => value !== undefined);
      const environment: Record<string, string> = Object.fromEntries(
        given.map(({ name, value }: Record<string, string>) => [name, value]),
      );
      expect(environment.PORT).toBe(String(container.ports[0].containerPort));
      using folder = temporaryFolder();
      const JWT_SECRET_FILE = join(folder.path, 'jwt');
      writeFileSync(JWT_SECRET_FILE, SECRET);
      const KEY_RING_FILE = join(folder.path, 'keys');
      writeFileSync(KEY_RING_FILE, KEY_RING);
      const variables = { ...environment, JWT_SECRET_FILE, KEY_RING_FILE, JWT_SECRET: '' };
      const services = { MONGODB_URI: 'mongodb://db/duet', REDIS_URL: 'redis://redis' };
      expect(readConfig({ ...variables, ...services })).toMatchObject({
        production: true,
        jwtSecret: SECRET,
        encryption: { seals: true },
        trustProxy: 1,
      });

      const options = { main: MAIN, nodes: 1, mongo: true, redis: true };
      await using cluster = await startCluster({ ...options, environment: { ...variables, LOG_LEVEL: 'info' } });
      for (const probe of ['startupProbe', 'livenessProbe', 'readinessProbe']) {
        const answer = await fetch(cluster.url + container[probe].httpGet.path);
        expect([probe, answer.status]).toEqual([probe, 200]);
      }
      const { path } = named(all, 'ServiceMonitor').spec.endpoints[0];
      const metrics = await (await fetch(cluster.url + path)).text();
      const outside = await fetch(cluster.url + path, { headers: { 'x-forwarded-for': '203.0.113.9' } });
      expect([outside.status, await outside.text()]).toEqual([404, expect.not.stringContaining('duet_')]);
      const { metric } = named(all, 'HorizontalPodAutoscaler').spec.metrics[1].pods;
      expect(metrics).toMatch(new RegExp(`^${metric.name} 0$`, 'm'));
      expect(text('deploy/prometheus/adapter.yml')).toContain(`as: ${metric.name}`);
      // Without Redis it serves nobody new, and is not ended for it.
      const ask = async (probe: string) => (await fetch(cluster.url + container[probe].httpGet.path)).status;
      await cluster.redis?.process?.kill();
      await eventually(async () => (await ask('readinessProbe')) === 503, 'it is not ready');
      expect(await ask('livenessProbe')).toBe(200);
      expect(await cluster.nodes[0]?.process.stop()).toBe(0);
    },
  );
});
