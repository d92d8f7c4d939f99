// What Artillery measured, for people: a table for the terminal, and a page that needs no network.

interface Distribution {
  count: number;
  min: number;
  p50: number;
  p75: number;
  p90: number;
  p95: number;
  p99: number;
  p999: number;
  max: number;
}

interface Period {
  /** Its beginning, in milliseconds since 1970. */
  period: number | string;
  counters: Record<string, number>;
  summaries: Record<string, Distribution>;
}

/** The file that `artillery run --output` writes. */
export interface LoadResult {
  aggregate: Period & { firstMetricAt: number; lastMetricAt: number };
  intermediate: Period[];
}

/** What is shown, in this order: name in the file, name for people. All in milliseconds. */
const LATENCIES = [
  ['duet.ack_ms', 'acknowledged'],
  ['duet.e2e_ms', 'at the receiver'],
  ['duet.connect_ms', 'connected'],
  ['duet.reconnect_ms', 'back after a break'],
  ['http.response_time', 'REST answer'],
] as const;
const COUNTS = [
  ['vusers.created', 'virtual users'],
  ['vusers.failed', 'failed virtual users'],
  ['duet.sent', 'messages sent'],
  ['duet.unanswered', 'without acknowledgement'],
  ['duet.refused', 'refused'],
  ['duet.undelivered', 'not at the receiver'],
  ['duet.disconnected', 'connections lost'],
  ['http.requests', 'REST requests'],
] as const;
const QUANTILES = ['p50', 'p75', 'p90', 'p95', 'p99', 'p999', 'max'] as const;

const ms = (value: number): string => value.toFixed(value < 100 ? 1 : 0);

/** Rows of a table of latencies, its head first. */
export function latencies({ aggregate }: LoadResult): string[][] {
  const rows = LATENCIES.flatMap(([name, title]) => {
    const found = aggregate.summaries[name];
    if (!found) return [];
    return [[title, String(found.count), ...QUANTILES.map((quantile) => ms(found[quantile]))]];
  });
  return [['ms until', 'count', ...QUANTILES], ...rows];
}

/** Rows of names and counts, errors of all kinds at the end. */
export function counts({ aggregate }: LoadResult): string[][] {
  const known = COUNTS.flatMap(([name, title]) => {
    const count = aggregate.counters[name];
    return count === undefined ? [] : [[title, String(count)]];
  });
  const errors = Object.entries(aggregate.counters).filter(([name]) => name.startsWith('errors.'));
  return [...known, ...errors.map(([name, count]) => [name.replace('errors.', 'error: '), String(count)])];
}

interface Series {
  title: string;
  points: { at: number; value: number }[];
}

const [WIDTH, HEIGHT, LEFT, BOTTOM, TOP] = [720, 220, 56, 24, 12];
const plain = (text: string): string => text.replace(/[&<>"]/g, (letter) => `&#${letter.charCodeAt(0)};`);

/** A rounded number at or above the largest value, so that axis labels are short. */
function ceiling(value: number): number {
  const unit = 10 ** Math.floor(Math.log10(value || 1));
  return ([1, 2, 5, 10].find((factor) => factor * unit >= value) as number) * unit;
}

function plot(unit: string, candidates: Series[]): string {
  const series = candidates.filter(({ points }) => points.length > 0);
  const all = series.flatMap(({ points }) => points);
  const top = ceiling(Math.max(1, ...all.map(({ value }) => value)));
  const end = Math.max(1, ...all.map(({ at }) => at));
  const x = (at: number) => LEFT + (at / end) * (WIDTH - LEFT - 12);
  const y = (value: number) => HEIGHT - BOTTOM - (value / top) * (HEIGHT - BOTTOM - TOP);
  const grid = [0, 0.5, 1].map((part) => {
    const at = y(top * part);
    return `<line class="grid" x1="${LEFT}" x2="${WIDTH - 12}" y1="${at}" y2="${at}"/><text x="${LEFT - 6}" y="${at + 4}" text-anchor="end">${top * part}</text>`;
  });
  const lines = series.map(({ title, points }, i) => {
    const path = points.map(({ at, value }) => `${x(at).toFixed(1)},${y(value).toFixed(1)}`);
    const dots = path.map((point) => `<circle r="3" cx="${point.split(',')[0]}" cy="${point.split(',')[1]}"/>`);
    return `<g class="s${i}"><title>${plain(title)}</title><polyline points="${path.join(' ')}"/>${dots.join('')}</g>`;
  });
  const legend = series.map(({ title }, i) => `<span class="s${i}">${plain(title)}</span>`);
  return `<figure><figcaption>${plain(unit)} ${legend.join(' ')}</figcaption>
<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${plain(`${unit}: ${series.map(({ title }) => title).join(', ')}`)}">${grid.join('')}${lines.join('')}
<text x="${LEFT}" y="${HEIGHT - 6}">0 s</text><text x="${WIDTH - 12}" y="${HEIGHT - 6}" text-anchor="end">${end} s</text></svg></figure>`;
}

function table(rows: string[][]): string {
  const cells = (row: string[]) => row.map((cell) => `<td>${plain(cell)}</td>`).join('');
  return `<table>${rows.map((row) => `<tr>${cells(row)}</tr>`).join('')}</table>`;
}

/** Values of each period of the run, which Artillery closes every 10 s. */
function over(result: LoadResult, title: string, value: (period: Period) => number | undefined): Series {
  const start = Number(result.intermediate[0]?.period ?? 0);
  const points = result.intermediate.flatMap((period) => {
    const found = value(period);
    return found === undefined ? [] : [{ at: (Number(period.period) - start) / 1000, value: found }];
  });
  return { title, points };
}

const STYLE = `:root{color-scheme:light dark;--ink:light-dark(#1f2933,#e4e7eb);--faint:light-dark(#d9dee4,#39424c)}
body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);max-width:760px;margin:2rem auto;padding:0 1rem}
table{border-collapse:collapse;margin:1rem 0}td{padding:.2rem .8rem .2rem 0;text-align:right;font-variant-numeric:tabular-nums}
td:first-child{text-align:left}tr+tr td{border-top:1px solid var(--faint)}
figure{margin:1.5rem 0}svg{width:100%}text{font-size:11px;fill:currentColor}.grid{stroke:var(--faint)}
polyline{fill:none;stroke:currentColor;stroke-width:2}circle{fill:currentColor}figcaption span{margin-left:1rem;font-weight:600}
.s0{color:light-dark(#2563a8,#6ea8e6)}.s1{color:light-dark(#b4540a,#f0a35e)}.s2{color:light-dark(#2f7d4f,#6fcf97)}`;

/**
 * The page of a run.
 * @param name of the scenario
 * @returns HTML with its plots inside
 */
export function page(result: LoadResult, name: string): string {
  const { firstMetricAt, lastMetricAt } = result.aggregate;
  const plots = LATENCIES.filter(([metric]) => result.aggregate.summaries[metric]).map(([metric, title]) =>
    plot(`ms until ${title}`, [
      over(result, 'p50', ({ summaries }) => summaries[metric]?.p50),
      over(result, 'p99', ({ summaries }) => summaries[metric]?.p99),
    ]),
  );
  const load = plot('in 10 s', [
    over(result, 'virtual users who came', ({ counters }) => counters['vusers.created']),
    over(result, 'messages', ({ counters }) => counters['duet.sent']),
    over(result, 'REST requests', ({ counters }) => counters['http.requests']),
  ]);
  const title = plain(`Duet under load: ${name}`);
  return `<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>${title}</title>
<style>${STYLE}</style><h1>${title}</h1>
<p>${new Date(firstMetricAt).toISOString()}, ${((lastMetricAt - firstMetricAt) / 1000).toFixed(0)} s</p>
${table(latencies(result))}${table(counts(result))}${load}${plots.join('')}</html>
`;
}
