// The largest mixed load that a deployment bears, and what half of it looks like.
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { arrivals, artillery, type Phase, type Run } from './artillery.ts';
import type { LoadResult } from './report.ts';

/** Ever more people come first, so that few meet a generator whose code has not run yet. */
const phasesOf = (rate: number): Phase[] => [
  { duration: 10, arrivalRate: 1, rampTo: rate },
  { duration: 20, arrivalRate: rate },
];
/** They stay for about 15 s. */
const DAY = { messages: 7, stay: 15 };
/** A step whose people have not left by then bears no more. */
const STEP_MS = 65_000;
const STEPS = 5;
/** The last moment at which a step may begin: all of it ends within six minutes. */
const SEARCH_MS = 215_000;

/** A rate, in people who come each second, and whether all limits were kept. */
export interface Tried {
  rate: number;
  held: boolean;
}

/** The highest rate that held below all that did not, and the lowest that did not. */
export interface Bracket {
  held: number | undefined;
  broke: number | undefined;
}

export function bracketOf(tried: Tried[]): Bracket {
  const broke = tried.filter(({ held }) => !held).map(({ rate }) => rate);
  const lowest = Math.min(...broke);
  const held = tried.filter((one) => one.held && one.rate < lowest).map(({ rate }) => rate);
  return {
    held: held.length > 0 ? Math.max(...held) : undefined,
    broke: broke.length > 0 ? lowest : undefined,
  };
}

/** Twice or half as much until the maximum lies between two rates, then halfway between; nothing where it is found. */
export function nextRate({ held, broke }: Bracket): number | undefined {
  if (broke === undefined) return held === undefined ? undefined : held * 2;
  const next = Math.floor(((held ?? 0) + broke) / 2);
  return next > (held ?? 0) ? next : undefined;
}

/** @returns whether all limits were kept @throws Error when nothing was measured */
export function areKept(code: number, result: LoadResult | undefined): boolean {
  // With 1 it also ends when it could not begin.
  if (code > 1 || result === undefined) throw new Error(`Artillery has failed: it ended with ${code}`);
  return code === 0;
}

function inWords(rate: number, held: boolean, { aggregate: { counters, summaries } }: LoadResult): string {
  const p99 = summaries['duet.ack_ms']?.p99.toFixed(1) ?? '-';
  const what = `${counters['duet.sent'] ?? 0} messages, acknowledged within ${p99} ms (p99)`;
  return `  ${rate} people a second: ${what}; ${held ? 'all limits kept' : 'limits passed'}`;
}

export type Search = Omit<Run, 'scenario' | 'options' | 'withinMs'> & {
  /** Tried first, in people who come each second. */
  first: number;
};

/**
 * Raises the rate of the mixed day until its limits are passed, narrows the maximum down, and runs half of it, whose results
 * are in `output` then. Says what it finds.
 * @returns the exit code of that last run
 */
export async function findMaximum({ first, ...run }: Search): Promise<number> {
  async function step(rate: number): Promise<number> {
    rmSync(run.output, { force: true });
    const options = arrivals(phasesOf(rate), DAY);
    const code = await artillery({ ...run, scenario: 'mixed', options, withinMs: STEP_MS });
    if (code > 128) return code;
    const result = existsSync(run.output) ? JSON.parse(readFileSync(run.output, 'utf8')) : undefined;
    console.log(inWords(rate, areKept(code, result), result));
    return code;
  }
  const tried: Tried[] = [];
  const until = performance.now() + SEARCH_MS;
  let rate: number | undefined = first;
  while (rate !== undefined && tried.length < STEPS && performance.now() < until) {
    const code = await step(rate);
    if (code > 128) return code;
    tried.push({ rate, held: code === 0 });
    rate = nextRate(bracketOf(tried));
  }
  const { held, broke } = bracketOf(tried);
  if (held === undefined) {
    console.log(`\nNo rate was borne, down to ${broke} people a second: begin lower, by --rate.`);
    return 1;
  }
  const above = broke === undefined ? 'no limit was reached: begin higher, by --rate' : `${broke} were too many`;
  console.log(`\nThe most that was borne: ${held} people a second; ${above}. Half of it:`);
  return step(Math.max(1, Math.floor(held / 2)));
}
