// A reporter of Artillery: whatever ends a run, its --output file has what was measured so far. Artillery itself writes
// the file only when a run ends by itself, over this one.
import { renameSync, writeFileSync } from 'node:fs';

const QUANTILES = { p50: 0.5, p75: 0.75, p90: 0.9, p95: 0.95, p99: 0.99, p999: 0.999 };

const summaryOf = (sketch) => ({
  count: sketch.count,
  min: sketch.min,
  max: sketch.max,
  ...Object.fromEntries(Object.entries(QUANTILES).map(([name, part]) => [name, sketch.getValueAtQuantile(part)])),
});

export default function createReporter(events, { output }) {
  const counters = {};
  const sketches = {};
  const intermediate = [];
  let firstMetricAt = Number.POSITIVE_INFINITY;
  // A period of ten seconds, which nothing reads after this any more.
  events.on('stats', (period) => {
    for (const [name, count] of Object.entries(period.counters)) counters[name] = (counters[name] ?? 0) + count;
    for (const [name, sketch] of Object.entries(period.histograms)) {
      if (sketches[name]) sketches[name].merge(sketch);
      else sketches[name] = sketch;
    }
    firstMetricAt = Math.min(firstMetricAt, period.firstMetricAt);
    const { lastMetricAt } = period;
    const summaries = Object.fromEntries(Object.entries(sketches).map(([name, sketch]) => [name, summaryOf(sketch)]));
    intermediate.push({ period: period.period, counters: period.counters, summaries: period.summaries });
    const aggregate = { period: period.period, counters, summaries, firstMetricAt, lastMetricAt };
    // At once, because it may die while it writes.
    writeFileSync(`${output}.new`, JSON.stringify({ aggregate, intermediate }));
    renameSync(`${output}.new`, output);
  });
  return {};
}
