import type { Operations } from '../history.ts';
import type { Accuse, Check } from './roster.ts';

const personOf = (proc: string): number => Number(proc.split('.', 1)[0]);

export interface ProbeFigures {
  /** How often a message of the probe was to be heard: by each device of both people but the one that sent it. */
  probes: number;
  /** How many of these were judged: the others had reason to know that they might have missed it. */
  probesJudged: number;
}

/**
 * I13: after the faults a message reaches every device of both people live, and once. That sync would repair it is no
 * excuse: nobody is told that there is anything to sync.
 */
export function heardLive({ accuse }: { accuse: Accuse }): Check & { figures(): ProbeFigures } {
  const devices = new Set<string>();
  const connected = new Set<string>();
  /** Devices that have been connected ever since the probe began, and were not told that they have missed anything. */
  let listening: Set<string> | undefined;
  let isOver = false;
  const sent = new Map<number, { from: string; to: number }>();
  const acknowledged = new Set<number>();
  const heard = new Map<string, number>();
  const figures: ProbeFigures = { probes: 0, probesJudged: 0 };
  const key = (proc: string, tag: number) => `${proc} ${tag}`;
  return {
    see({ line, args }) {
      const { proc } = line;
      // Now all of them leave.
      if (line.f === 'phase' && line.val === 'end') isOver = true;
      if (isOver) return;
      if (line.f === 'connect') {
        devices.add(proc);
        connected.add(proc);
      }
      if (line.f === 'disconnect') connected.delete(proc);
      if (line.f === 'disconnect' || line.f === 'resync') listening?.delete(proc);
      if (line.f === 'phase' && line.val === 'probe') listening = new Set(connected);
      if (!listening) return;
      if (line.f === 'live') heard.set(key(proc, line.val.row[2]), (heard.get(key(proc, line.val.row[2])) ?? 0) + 1);
      if (line.f !== 'send') return;
      if (line.type === 'invoke') sent.set(line.args.tag, { from: proc, to: line.args.to });
      if (line.type === 'ok') acknowledged.add((args as Operations['send']['args']).tag);
    },
    end() {
      for (const tag of acknowledged) {
        const message = sent.get(tag);
        if (!message) continue;
        for (const proc of devices) {
          if (proc === message.from || ![personOf(message.from), message.to].includes(personOf(proc))) continue;
          figures.probes++;
          if (!listening?.has(proc)) continue;
          figures.probesJudged++;
          const times = heard.get(key(proc, tag)) ?? 0;
          if (times !== 1) accuse(`${proc} heard ${times} times of message ${tag}, which ${message.from} sent`);
        }
      }
    },
    figures: () => figures,
  };
}
