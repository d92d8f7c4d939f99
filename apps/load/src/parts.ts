import { createAccounts, emailOf, PASSWORD } from './accounts.ts';
import { type Driven, drive } from './drive.ts';
import { median } from './statistics.ts';
import { startSubject } from './subject.ts';

/** A line of the table: what, the relay, Duet, how they compare, and what to reach. */
export type Line = [what: string, relay: string, duet: string, ratio: string, target: string];
export type Progress = (text: string) => void;

const SOCKETS = 200;
const IN_FLIGHT = 4;
const WARM_UP = 60_000;
const ratio = (duet: number, relay: number): string => `${(duet / relay).toFixed(2)}x`;
const ms = (value: number): string => `${value.toFixed(2)} ms`;

async function inTurn<K extends string, T>(
  subjects: readonly K[],
  rounds: number,
  run: (subject: K, round: number) => Promise<T>,
): Promise<Record<K, T[]>> {
  const results = Object.fromEntries(subjects.map((subject) => [subject, [] as T[]])) as Record<K, T[]>;
  // In turn, so that a machine that slows down slows all.
  for (let round = 1; round <= rounds; round++) {
    for (const subject of subjects) results[subject].push(await run(subject, round));
  }
  return results;
}

/** Messages stored, acknowledged and delivered, as fast as one core does it. */
export async function throughput(progress: Progress, quick: boolean): Promise<Line[]> {
  const measureMs = quick ? 5_000 : 12_000;
  const subjects = ['relay', 'unencrypted', 'duet'] as const;
  const { relay, unencrypted, duet } = await inTurn(subjects, quick ? 1 : 3, async (name, round) => {
    const kind = name === 'relay' ? name : 'duet';
    await using subject = await startSubject(kind, name === 'unencrypted' ? { ENCRYPTION: 'off' } : {});
    const accounts = await createAccounts(kind, subject.url, SOCKETS);
    const driven = await drive(subject, {
      what: 'closed',
      accounts,
      inFlight: IN_FLIGHT,
      warmUp: { ms: 6_000, messages: WARM_UP },
      measure: { ms: measureMs, messages: 0 },
    });
    progress(
      `throughput ${round} ${name}: ${(driven.messages / driven.seconds).toFixed(0)}/s, ${driven.cpuMicros.toFixed(0)} µs CPU each`,
    );
    return driven;
  });
  const of = (runs: Driven[], value: (run: Driven) => number) => median(runs.map(value));
  const rate = (run: Driven) => run.messages / run.seconds;
  const cpu = (run: Driven) => run.cpuMicros;
  const p99 = (run: Driven) => run.p99;
  return [
    [
      'messages per second',
      of(relay, rate).toFixed(0),
      of(duet, rate).toFixed(0),
      ratio(of(duet, rate), of(relay, rate)),
      '',
    ],
    [
      'CPU per message',
      `${of(relay, cpu).toFixed(0)} µs`,
      `${of(duet, cpu).toFixed(0)} µs`,
      ratio(of(duet, cpu), of(relay, cpu)),
      'at most 1.6x',
    ],
    ['ack p99, saturated', ms(of(relay, p99)), ms(of(duet, p99)), ratio(of(duet, p99), of(relay, p99)), ''],
    [
      'CPU per message, encryption off, then on',
      `${of(unencrypted, cpu).toFixed(1)} µs`,
      `${of(duet, cpu).toFixed(1)} µs`,
      ratio(of(duet, cpu), of(unencrypted, cpu)),
      'at most 1.15x',
    ],
  ];
}

async function pageTime(url: string, peer: string, token: string): Promise<number> {
  const headers = { authorization: `Bearer ${token}` };
  const newest = (await (await fetch(`${url}/api/messages/${peer}?limit=1`, { headers })).json()) as {
    data: { messages: { seq: number }[] };
  };
  const last = newest.data.messages[0]?.seq ?? 0;
  const times: number[] = [];
  for (let i = 0; i < 1_000; i++) {
    const before = 51 + Math.floor(Math.random() * (last - 51));
    const start = performance.now();
    await (await fetch(`${url}/api/messages/${peer}?limit=50&before=${before}`, { headers })).arrayBuffer();
    times.push(performance.now() - start);
  }
  return median(times);
}

/** A page of history must not get slower as messages pile up. */
export async function history(progress: Progress, quick: boolean): Promise<Line[]> {
  await using subject = await startSubject('duet');
  const accounts = await createAccounts('duet', subject.url, 20);
  const [me, peer] = accounts as [(typeof accounts)[0], (typeof accounts)[0]];
  const fillTo = async (total: number, stored: number): Promise<number> => {
    while (stored < total) {
      const job = {
        what: 'closed' as const,
        accounts,
        inFlight: 16,
        warmUp: { ms: 0, messages: 0 },
        measure: { ms: Math.max(200, Math.min(30_000, (total - stored) / 25)), messages: 0 },
      };
      stored += (await drive(subject, job)).messages;
      progress(`history: ${stored} messages stored`);
    }
    return stored;
  };
  const small = await fillTo(10_000, 0);
  const timeSmall = await pageTime(subject.url, peer.id, me.auth.token as string);
  const large = await fillTo(quick ? 50_000 : 1_000_000, small);
  const timeLarge = await pageTime(subject.url, peer.id, me.auth.token as string);
  return [
    [
      `history page of 50, ${small} stored, then ${large}`,
      ms(timeSmall),
      ms(timeLarge),
      ratio(timeLarge, timeSmall),
      'at most 1.5x',
    ],
  ];
}

/** @returns logins a second, over all the time that it lasted */
async function floodLogins(url: string, parallel: number, until: AbortSignal): Promise<number> {
  const begin = performance.now();
  let logins = 0;
  const one = async (i: number) => {
    const body = JSON.stringify({ email: emailOf(i), password: PASSWORD });
    while (!until.aborted) {
      await fetch(`${url}/api/auth/login`, { method: 'POST', headers: { 'content-type': 'application/json' }, body });
      logins += 1;
    }
  };
  await Promise.all(Array.from({ length: parallel }, (_, i) => one(i)));
  return (logins * 1_000) / (performance.now() - begin);
}

/** Hashing passwords must not hold up messages. */
export async function login(progress: Progress, quick: boolean): Promise<Line[]> {
  await using subject = await startSubject('duet');
  const accounts = await createAccounts('duet', subject.url, 50);
  const job = { what: 'open' as const, accounts, perSecond: 200, measureMs: quick ? 5_000 : 15_000 };
  const calm = await drive(subject, job);
  progress(`login: ack p99 ${ms(calm.p99)} without logins`);
  const end = new AbortController();
  const flood = floodLogins(subject.url, 20, end.signal);
  const busy = await drive(subject, job);
  end.abort();
  const perSecond = await flood;
  progress(`login: ack p99 ${ms(busy.p99)} with 20 parallel logins (${perSecond.toFixed(0)}/s)`);
  return [
    ['ack p50, calm, then 20 parallel logins', ms(calm.p50), ms(busy.p50), ratio(busy.p50, calm.p50), ''],
    ['ack p99, calm, then 20 parallel logins', ms(calm.p99), ms(busy.p99), ratio(busy.p99, calm.p99), ''],
  ];
}
