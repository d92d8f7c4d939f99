import { readFileSync } from 'node:fs';

const FILE = new URL('../../../deploy/grafana/dashboards/duet.json', import.meta.url);

interface Dashboard {
  panels: { title: string; datasource: { uid: string }; targets: { expr: string; legendFormat: string }[] }[];
  templating: { list: { query: { query: string } }[] };
}

/** A question that the dashboard asks Prometheus. */
export interface Query {
  panel: string;
  expr: string;
  /** As Grafana writes it: labels stand in double braces. */
  legend: string;
}

/** The Grafana dashboard that this repository ships. */
export const dashboard: Dashboard = JSON.parse(readFileSync(FILE, 'utf8'));

export const queries: Query[] = dashboard.panels.flatMap(({ title, targets }) =>
  targets.map(({ expr, legendFormat }) => ({ panel: title, expr, legend: legendFormat })),
);
