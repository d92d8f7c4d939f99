import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { request } from 'node:http';
import { eventually, register, startServer, temporaryFolder } from '@duet/testkit';
import { beforeAll, describe, expect, test } from 'vitest';
import { readConfig } from '../src/config.ts';
import { dashboard, queries } from './dashboard.ts';
import { startNode } from './in-process.ts';
import { allServe, childrenOf } from './processes.ts';
import { MAIN } from './shapes.ts';

const deploy = (file: string) => readFileSync(new URL(`../../../${file}`, import.meta.url), 'utf8');

/** What Prometheus adds to every series. */
const OF_PROMETHEUS = ['job', 'instance'];

/** In the dashboard's queries each metric is written with matchers. */
const SELECTOR = /([a-z]\w*)\{([^}]*)\}/g;
const BY = / by \(([^)]*)\)/g;
const FUNCTIONS = ['histogram_quantile', 'max', 'rate', 'sum'];

interface Series {
  name: string;
  labels: Record<string, string>;
}

const labelsOf = (text = ''): Record<string, string> =>
  Object.fromEntries([...text.matchAll(/(\w+)="([^"]*)"/g)].map(([, name, value]) => [name, value]));

/** Every series of a node, in Prometheus' text format. */
const seriesOf = (text: string): Series[] =>
  [...text.matchAll(/^([a-z]\w*)(?:\{(.*)\})? /gm)].map(([, name, labels]) => ({
    name: name as string,
    labels: labelsOf(labels),
  }));

/** Those that a selector such as `name{label="value",other=~"a|b"}` means, regardless of the node. */
function selected(all: Series[], name: string, matchers: string): Series[] {
  const wanted = [...matchers.matchAll(/(\w+)(=~?)"([^"]*)"/g)]
    .filter(([, label]) => !OF_PROMETHEUS.includes(label as string))
    .map(([, label, operator, value]) => ({
      label: label as string,
      pattern: operator === '=~' ? new RegExp(`^(?:${value})$`) : { test: (text: string) => text === value },
    }));
  return all.filter(
    (series) => series.name === name && wanted.every(({ label, pattern }) => pattern.test(series.labels[label] ?? '')),
  );
}

describe('monitoring', () => {
  let all: Series[];

  beforeAll(async () => {
    using folder = temporaryFolder();
    const server = await startServer(MAIN, { DATA_DIR: folder.path });
    all = seriesOf(await (await fetch(`${server.url}/metrics`)).text());
    await server.kill();
  });

  test.each(queries)('O14 what "$panel" asks for exists: $expr', ({ expr, legend }) => {
    const labels = [...expr.matchAll(BY)].flatMap(([, list]) => (list as string).split(', '));
    labels.push(...[...legend.matchAll(/\{\{(\w+)\}\}/g)].map(([, label]) => label as string));
    const selectors = [...expr.matchAll(SELECTOR)];
    expect(selectors).not.toEqual([]);
    for (const [selector, name, matchers] of selectors) {
      // Prometheus' own, of each target.
      if (name === 'up') continue;
      const found = selected(all, name as string, matchers as string);
      expect(found, selector).not.toEqual([]);
      const known = [...OF_PROMETHEUS, ...found.flatMap((series) => Object.keys(series.labels))];
      for (const label of labels) expect(known, `${label} of ${selector}`).toContain(label);
    }
    // Nothing is left over that could be a metric.
    const rest = expr
      .replaceAll(SELECTOR, '')
      .replaceAll(BY, '')
      .replaceAll(/\[.*?\]/g, '');
    const words = rest.match(/[a-z_]+/g) ?? [];
    expect(words.filter((word) => !FUNCTIONS.includes(word))).toEqual([]);
  });

  test('O14 the list of nodes comes from a metric that exists', () => {
    const [, name] = /^label_values\((\w+), instance\)$/.exec(dashboard.templating.list[0]?.query.query ?? '') ?? [];
    expect(selected(all, name as string, '')).not.toEqual([]);
  });

  test('O14 Prometheus asks the nodes, and Grafana Prometheus, by the names that they have', () => {
    const services = [...deploy('docker-compose.yml').matchAll(/^ {2}(\w+):\n {4}<<: \*service/gm)].map(
      ([, name]) => name,
    );
    const prometheus = deploy('deploy/prometheus/prometheus.yml');
    const [, node] = /names: \[(\w+)\]/.exec(prometheus) ?? [];
    expect(node).toBe('duet');
    expect(services).toContain(node);
    expect(prometheus).toContain(`port: ${readConfig({}).port}\n`);
    expect(prometheus).toContain('job_name: duet\n');
    const source = deploy('deploy/grafana/provisioning/datasources/prometheus.yml');
    const [, host] = /url: http:\/\/(\w+):9090/.exec(source) ?? [];
    expect(services).toContain(host);
    const [, uid] = /uid: (\w+)/.exec(source) ?? [];
    expect(new Set(dashboard.panels.map(({ datasource }) => datasource.uid))).toEqual(new Set([uid]));
  });
});

test('O46 what one worker counted stays counted when it dies, and one that hangs keeps the others from saying nothing', async () => {
  using folder = temporaryFolder();
  const server = await startServer(MAIN, { DATA_DIR: folder.path, WORKERS: '2' });
  const told = async () => {
    const text = await (await fetch(`${server.url}/metrics`)).text();
    const [, requests] = /^duet_http_request_seconds_count\{route="register"\} (\d+)$/m.exec(text) ?? [];
    const [, ready] = /^duet_ready (.+)$/m.exec(text) ?? [];
    return { requests: Number(requests), ready: Number(ready) };
  };
  await allServe(server);
  const workers = childrenOf(server.pid);
  for (let i = 0; i < 6; i++) await register(server.url);
  expect(await told()).toEqual({ requests: 6, ready: 1 });
  const [dies, hangs] = workers as [number, number];
  process.kill(dies, 'SIGKILL');
  await eventually(() => !childrenOf(server.pid).includes(dies), 'it has died');
  await allServe(server);
  expect(await told()).toEqual({ requests: 6, ready: 1 });
  process.kill(hangs, 'SIGSTOP');
  // Connections go to the workers in turn: one of two is answered.
  expect(await Promise.any(Array.from({ length: 4 }, told))).toEqual({ requests: 6, ready: 0.5 });
  process.kill(hangs, 'SIGCONT');
  await server.stop();
});

test('O48 a request is measured from its arrival: how long its body takes is in the time', async () => {
  using folder = temporaryFolder();
  await using node = await startNode({ DATA_DIR: folder.path });
  const { token } = await register(node.url);
  const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json', expect: '100-continue' };
  const slow = request(`${node.url}/api/auth/me/privacy`, { method: 'PUT', headers });
  slow.flushHeaders();
  await once(slow, 'continue');
  const arrived = performance.now();
  for (let i = 0; i < 20; i++) await fetch(`${node.url}/health`);
  const waited = (performance.now() - arrived) / 1000;
  slow.end(JSON.stringify({ typing: true }));
  const [answer] = await once(slow, 'response');
  expect(answer.statusCode).toBe(200);
  answer.resume();
  await once(answer, 'end');
  const metrics = await (await fetch(`${node.url}/metrics`)).text();
  const [, seconds] = /^duet_http_request_seconds_sum\{route="changePrivacy"\} (.+)$/m.exec(metrics) ?? [];
  expect(Number(seconds)).toBeGreaterThan(waited);
});
