import type { Operations } from '../history.ts';
import { isForGood } from '../wire.ts';
import { type Accuse, type Check, type Roster, shownBy } from './roster.ts';

const P99_BELOW_MS = 2_000;
const WITHIN_MS = 30_000;
/** How exactly it is looked for when that was. */
const STEP_MS = 2_000;

/** @returns NaN for nothing */
export function quantile(values: number[], q: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))] ?? Number.NaN;
}

export interface Figures {
  acknowledged: number;
  /** Tries whose outcome no client ever learnt. */
  unknown: number;
  /** Tries that were refused for good or for now. */
  refused: number;
  /** Sends of what had been acknowledged before. */
  repeated: number;
  disconnects: number;
  readings: number;
  /** From the first try to the acknowledgement, in ms; what waits for a connection has not been tried yet. */
  sendP50: number;
  sendP99: number;
  sendMax: number;
  /** From the acknowledgement until a device of the receiver shows it (0: before), in ms. */
  lateP99: number;
  lateMax: number;
  /** From the end of the faults until the p99 of all sends from then on is below 2 s, in ms; undefined: not in time. */
  recoveredAfterMs: number | undefined;
  /** How many sends say so. */
  sentRecovered: number;
}

interface Sent {
  at: number;
  to: number;
  acknowledgedAt?: number;
}

/** I11: after the faults messages go through in time again, none is stuck, and nothing of the clients is left behind. */
export function alive({ roster, accuse }: { roster: Roster; accuse: Accuse }): Check & { figures(): Figures } {
  /** By tag. Not every tag is there: whoever waits for a connection has taken one and sent nothing. */
  const sent = new Map<number, Sent>();
  const dropped = new Set<number>();
  const late = new Map<number, number>();
  const counts = { unknown: 0, refused: 0, repeated: 0, disconnects: 0, readings: 0 };
  let healedAt: number | undefined;
  let loadEndedAt = Number.POSITIVE_INFINITY;
  let recovered: ReturnType<typeof recovery> = { count: 0 };

  /** From when on sends were quick until the load ended, and how many those were. */
  function recovery(from: number): { afterMs?: number; count: number } {
    const after = [...sent.values()].filter(({ at }) => at >= from && at < loadEndedAt);
    for (let afterMs = 0; afterMs <= WITHIN_MS; afterMs += STEP_MS) {
      const took = after
        .filter(({ at }) => at >= from + afterMs)
        .map(({ at, acknowledgedAt = Number.POSITIVE_INFINITY }) => acknowledgedAt - at);
      if (quantile(took, 0.99) < P99_BELOW_MS) return { afterMs, count: took.length };
    }
    return { count: 0 };
  }

  return {
    see(event) {
      const { line, person, args } = event;
      if (line.type === 'ok' && line.f !== 'send') counts.readings++;
      if (line.f === 'disconnect') counts.disconnects++;
      if (line.f === 'phase' && line.val === 'healed') healedAt = line.t;
      if (line.f === 'phase' && line.val === 'quiet') loadEndedAt = line.t;
      if (line.f === 'leftover' && line.val.sockets !== 0)
        accuse(`${line.val.node} still counts ${line.val.sockets} sockets when all clients have gone`);
      if (line.f === 'unsettled')
        accuse(
          `${line.proc} is ${line.val.connected ? '' : 'not '}connected and waits for ${line.val.waiting} answers when the load has stopped`,
        );
      for (const { row } of shownBy(event, roster)) {
        const message = sent.get(row[2]);
        if (message?.to === person && !late.has(row[2])) late.set(row[2], line.t);
      }
      if (line.f !== 'send') return;
      if (line.type === 'invoke') {
        const message = sent.getOrInsertComputed(line.args.tag, () => ({ at: line.t, to: line.args.to }));
        if (message.acknowledgedAt !== undefined) counts.repeated++;
        dropped.delete(line.args.tag);
        return;
      }
      const { tag } = args as Operations['send']['args'];
      const message = sent.get(tag) as Sent;
      if (line.type === 'ok') message.acknowledgedAt ??= line.t;
      if (line.type === 'info') counts.unknown++;
      if (line.type === 'fail') {
        counts.refused++;
        if (!isForGood(line.val)) return;
        dropped.add(tag);
        accuse(`message ${tag} of ${line.proc} was refused for good (${line.val}), and all that is sent here is valid`);
      }
    },
    end() {
      const stuck = [...sent].flatMap(([tag, { acknowledgedAt }]) =>
        acknowledgedAt === undefined && !dropped.has(tag) ? [tag] : [],
      );
      if (stuck.length > 0) accuse(`${stuck.length} messages never got an answer, the first is ${stuck[0]}`);
      if (healedAt === undefined) return;
      recovered = recovery(healedAt);
      if (recovered.afterMs === undefined)
        accuse(
          `sends did not come below ${P99_BELOW_MS} ms (p99) to stay there within ${WITHIN_MS / 1000} s after the faults`,
        );
    },
    figures() {
      const took = [...sent.values()].flatMap(({ at, acknowledgedAt }) =>
        acknowledgedAt === undefined ? [] : [acknowledgedAt - at],
      );
      const lag = [...sent].flatMap(([tag, { acknowledgedAt }]) => {
        const seen = late.get(tag);
        return acknowledgedAt === undefined || seen === undefined ? [] : [Math.max(0, seen - acknowledgedAt)];
      });
      return {
        ...counts,
        acknowledged: took.length,
        sendP50: quantile(took, 0.5),
        sendP99: quantile(took, 0.99),
        sendMax: quantile(took, 1),
        lateP99: quantile(lag, 0.99),
        lateMax: quantile(lag, 1),
        recoveredAfterMs: recovered.afterMs,
        sentRecovered: recovered.count,
      };
    },
  };
}
