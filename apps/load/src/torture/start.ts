import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { type Deployment, endWithProcess, startCluster, temporaryFolder } from '@duet/testkit/cluster';
import type { FaultShape } from './faults/stage.ts';
import { createNetwork, type Network } from './network.ts';

const path = (from: string) => fileURLToPath(new URL(`../../../server/${from}`, import.meta.url));
const MAIN = path('src/main.ts');
/** The same node with a clock that can be moved, or a bug in it. */
const TAMPERED = path('test/tampered-main.ts');
const DISK = '384m';

/** What a run breaks. */
export interface Subject extends AsyncDisposable {
  on: Deployment;
  network: Network | undefined;
  disk: string | undefined;
}

export type Shape = FaultShape | 'one';

/** A small disk in memory. @throws Error where this process may not make one */
function mountDisk(): { path: string } & Disposable {
  const folder = temporaryFolder();
  const { status, stderr } = spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${DISK}`, 'duet-disk', folder.path]);
  if (status !== 0) {
    folder[Symbol.dispose]();
    throw new Error(`a small disk needs root: ${stderr}`);
  }
  const unmount = () => spawnSync('umount', ['-l', folder.path]);
  const ending = endWithProcess(unmount);
  return {
    path: folder.path,
    [Symbol.dispose]() {
      ending[Symbol.dispose]();
      unmount();
      folder[Symbol.dispose]();
    },
  };
}

export interface StartOptions {
  shape: Shape;
  /** Whether every process gets a network namespace. */
  network: boolean;
  /** Messages in MongoDB, or in one SQLite file that the nodes share. */
  store: 'mongo' | 'sqlite';
  /** A bug to plant. */
  tamper?: string | undefined;
  onOutput?: (text: string) => unknown;
}

/** Starts what is to be broken: three nodes behind nginx with Redis and MongoDB, or one with the embedded store. */
export async function startSubject({
  shape,
  network: apart,
  store,
  tamper,
  onOutput = () => {},
}: StartOptions): Promise<Subject> {
  await using stack = new AsyncDisposableStack();
  const main = shape === 'clocks' || tamper !== undefined ? TAMPERED : MAIN;
  const environment: Record<string, string> = tamper === undefined ? {} : { TAMPER: tamper };
  let network: Network | undefined;
  let disk: string | undefined;
  let on: Deployment;
  if (shape === 'disk' || shape === 'one') {
    if (shape === 'disk') disk = stack.use(mountDisk()).path;
    if (disk !== undefined) environment.DATA_DIR = disk;
    on = stack.use(await startCluster({ main, nodes: 1, environment, onOutput }));
  } else {
    if (apart)
      network = stack.use(await createNetwork(['node0', 'node1', 'node2', 'mongo', 'redis', 'nginx'], 'nginx'));
    const hostOf = network?.host;
    on = stack.use(
      await startCluster({
        main,
        mongo: store === 'mongo',
        redis: true,
        nginx: true,
        environment,
        onOutput,
        ...(hostOf ? { hostOf } : {}),
      }),
    );
  }
  const kept = stack.move();
  return { on, network, disk, [Symbol.asyncDispose]: () => kept.disposeAsync() };
}
