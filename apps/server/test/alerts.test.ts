import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { available, findProgram, lackOf } from '@duet/testkit';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { createMetrics } from '../src/ops/metrics.ts';

const FOLDER = fileURLToPath(new URL('../../../deploy/prometheus', import.meta.url));
const RUNBOOK = new URL('../../../docs/runbook.md', import.meta.url);
const rules = readFileSync(`${FOLDER}/alerts.yml`, 'utf8');
const all = (pattern: RegExp, text: string): string[] =>
  [...text.matchAll(pattern)].map(([, found]) => found as string);
const promtool = findProgram('promtool');

describe('alerts', () => {
  test.skipIf(!available(lackOf('promtool', promtool, 'install Prometheus (apt-get install prometheus)')))(
    'V1 alert rules are valid and fire when they should, and only then',
    () => {
      for (const args of [
        ['check', 'rules', 'alerts.yml'],
        ['test', 'rules', 'alerts.test.yml'],
      ]) {
        const { status, stdout, stderr } = spawnSync(promtool as string, args, { cwd: FOLDER, encoding: 'utf8' });
        expect({ args, status }, stdout + stderr).toEqual({ args, status: 0 });
      }
    },
  );

  test('V1 alerts are looked at as often as their tests do', () => {
    const file = (name: string) => parse(readFileSync(`${FOLDER}/${name}`, 'utf8'));
    const tested = file('alerts.test.yml').evaluation_interval;
    expect(tested).toMatch(/^\d+s$/);
    expect(file('prometheus.yml').global.evaluation_interval).toBe(tested);
  });

  test('V1 every alert has its page in the runbook, and every page its alert', () => {
    const alerts = all(/- alert: (\w+)/g, rules);
    expect(all(/^## (\w+)$/gm, readFileSync(RUNBOOK, 'utf8')).sort()).toEqual(alerts.toSorted());
    const links = all(/runbook_url: docs\/runbook\.md#(\w+)/g, rules);
    expect(links).toEqual(alerts.map((name) => name.toLowerCase()));
  });

  test('V1 alerts ask for metrics that a node has', async () => {
    const metrics = await createMetrics(
      () => ({ websocket: 0, polling: 0 }),
      async () => true,
    ).text();
    const served = new Set(all(/^# HELP (\w+) /gm, metrics));
    const asked = all(/\b((?:duet|nodejs)_\w+)/g, rules).map((name) => name.replace(/_(bucket|count)$/, ''));
    expect(asked.length).toBeGreaterThan(10);
    expect(asked.filter((name) => !served.has(name))).toEqual([]);
  });
});
