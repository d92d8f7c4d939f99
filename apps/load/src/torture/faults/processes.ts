import { readFileSync } from 'node:fs';
import type { DeployedNode } from '@duet/testkit/cluster';
import { atMost, pause } from '../random.ts';
import { CLUSTER, type Fault, isReady, nodeName, proof, type Stage, until } from './stage.ts';

/** Somebody on this node who does not come back when it is gone, and whose end nobody announces. */
async function leaver(stage: Stage, url: string): Promise<void> {
  await stage.load.extra('leaver', url, false);
}

export const kill: Fault = {
  name: 'kill',
  expect:
    'A node dies at once. What it had acknowledged is stored; its clients are at other nodes after their backoff and send again what had no answer; its users without another socket are offline within 35 s.',
  shapes: CLUSTER,
  async turn(stage) {
    const node = stage.random.pick(stage.on.nodes);
    await leaver(stage, node.url);
    await pause(500);
    const { pid } = node.process;
    const before = stage.tally.disconnects();
    stage.note(`kill -9 of ${nodeName(stage, node)}`);
    await node.process.kill();
    await until('clients notice', () => stage.tally.disconnects() > before);
    await node.start();
    await until('the node is back', () => isReady(node));
    const lost = stage.tally.disconnects() - before;
    return proof(node.process.pid !== pid, `process ${pid} became ${node.process.pid}, ${lost} connections lost`);
  },
};

/** A node whose store is too slow gives up this long after its drain, with 1. */
const GIVES_UP_AFTER_MS = 20_000;
const STOPS_WITHIN_MS = 60_000;

/** Tells a node to stop. @returns how it ended, and whether that was orderly */
async function stopOf({ process }: DeployedNode): Promise<{ end: string; orderly: boolean }> {
  const begin = performance.now();
  const code = await atMost(STOPS_WITHIN_MS, process.stop());
  const took = performance.now() - begin;
  if (code === undefined) await process.kill();
  return {
    end: code === undefined ? 'nothing' : `${code} after ${Math.round(took)} ms`,
    orderly: code === 0 || (code === 1 && took >= GIVES_UP_AFTER_MS),
  };
}

export const rolling: Fault = {
  name: 'rolling',
  expect:
    'Each node in turn is told to stop: it finishes what it has begun, closes its sockets over its drain time and ends by itself, with 0 unless the store was too slow for it to finish within 20 s. No send fails after its repeat.',
  shapes: CLUSTER,
  async turn(stage) {
    const before = stage.tally.disconnects();
    const stops: Awaited<ReturnType<typeof stopOf>>[] = [];
    for (const node of stage.on.nodes) {
      stage.note(`SIGTERM to ${nodeName(stage, node)}`);
      stops.push(await stopOf(node));
      await node.start();
      await until('the node is back', () => isReady(node));
    }
    const lost = stage.tally.disconnects() - before;
    return proof(
      stops.every(({ orderly }) => orderly) && lost > 0,
      `ended with ${stops.map(({ end }) => end).join(', ')}; ${lost} connections lost`,
    );
  },
};

const stateOf = (pid: number) => /^State:\s+(\S)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];

function sleep(seconds: number): Fault {
  return {
    name: `stop-${seconds}`,
    expect: `A node stands still for ${seconds} s (SIGSTOP). The others go on. When it wakes, what it had begun is done once, and its users are shown as they are; a lease that ran out is not revived.`,
    shapes: CLUSTER,
    async turn(stage) {
      const node = stage.random.pick(stage.on.nodes);
      const { process } = node;
      stage.note(`SIGSTOP to ${nodeName(stage, node)} for ${seconds} s`);
      process.signal('SIGSTOP');
      try {
        const state = await until('it stands still', () => stateOf(process.pid) === 'T' && 'T');
        const answers = await isReady(node);
        await pause(seconds * 1_000 - 1_000);
        return proof(!answers, `state ${state} for ${seconds} s, no answer`);
      } finally {
        process.signal('SIGCONT');
        await until('it is awake', () => isReady(node));
      }
    },
  };
}

export const sleeps = [sleep(5), sleep(30), sleep(60)];
