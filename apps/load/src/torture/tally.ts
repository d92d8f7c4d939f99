import type { Line } from './history.ts';
import { quantile } from './judge/liveness.ts';

const RECENT_MS = 2_000;
/** Fewer sends say nothing of a p99. */
export const ENOUGH = 15;

/** What the clients have met so far, counted while it happens: faults prove themselves by it, and runs pace themselves. */
export interface Tally {
  see(line: Line): void;
  acknowledged(): number;
  disconnects(): number;
  /** Answers with this code, to whatever was asked. */
  coded(code: string): number;
  resyncs(): number;
  /** How often messages of the probe were heard live. */
  heard(): number;
  /** p99 of what was acknowledged in the last 2 s, in ms; undefined when that is too little to say. */
  recentP99(now: number): number | undefined;
}

export function createTally(): Tally {
  const codes = new Map<string, number>();
  const begun = new Map<number, number>();
  let recent: { t: number; took: number }[] = [];
  let acknowledged = 0;
  let disconnects = 0;
  let resyncs = 0;
  /** The messages of the probe, by tag; none before it begins. */
  let probe: Set<number> | undefined;
  let heard = 0;
  return {
    see(line) {
      if (line.f === 'disconnect') disconnects++;
      if (line.f === 'resync') resyncs++;
      if (line.f === 'phase' && line.val === 'probe') probe = new Set();
      if (line.f === 'live' && probe?.has(line.val.row[2])) heard++;
      const code = line.f === 'refused' ? line.val.code : line.type === 'fail' || line.type === 'info' ? line.val : '';
      if (typeof code === 'string') codes.set(code, (codes.get(code) ?? 0) + 1);
      if (line.f !== 'send') return;
      if (line.type === 'invoke') {
        begun.set(line.i, line.t);
        probe?.add(line.args.tag);
      }
      if (line.type === 'ok') {
        acknowledged++;
        recent.push({ t: line.t, took: line.t - (begun.get(line.i) ?? line.t) });
        if (recent.length > 50_000) recent = recent.slice(-10_000);
      }
      if (line.type !== 'invoke') begun.delete(line.i);
    },
    acknowledged: () => acknowledged,
    disconnects: () => disconnects,
    coded: (code) => codes.get(code) ?? 0,
    resyncs: () => resyncs,
    heard: () => heard,
    recentP99(now) {
      recent = recent.filter(({ t }) => t > now - RECENT_MS);
      return recent.length < ENOUGH
        ? undefined
        : quantile(
            recent.map(({ took }) => took),
            0.99,
          );
    },
  };
}
