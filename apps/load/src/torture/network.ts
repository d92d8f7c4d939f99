import { execFile, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { promisify } from 'node:util';
import { endWithProcess, findProgram, type Host, lackOf } from '@duet/testkit/cluster';

const run = promisify(execFile);

/** Hosts of this machine that nothing else reaches: a network namespace each, joined by a bridge in one more. */
export interface Network extends AsyncDisposable {
  host(name: string): Host;
  /** The address of a second, narrow way to the host that was made with one. */
  slowAddress: string;
  /** Adds a rule to a host's firewall; disposing it takes it away. */
  rule(at: string, rule: string[]): Promise<Rule>;
  /** Lets the narrow way carry no more than this, such as `256kbit`. */
  narrow(rate: string): Promise<AsyncDisposable>;
}

export interface Rule extends AsyncDisposable {
  /** How many packets it, and no other rule, has met: what proves that it did something. */
  packets(): Promise<number>;
}

/** What this machine lacks for namespaces; nothing where they can be had. */
export function lackOfNetwork(): string | undefined {
  if (process.getuid?.() !== 0) return 'Network namespaces need root';
  const lacks = [
    lackOf('ip', findProgram('ip'), 'install it (apt-get install iproute2)'),
    lackOf('iptables', findProgram('iptables'), 'install it (apt-get install iptables)'),
  ].filter((lack) => lack !== undefined);
  if (lacks.length > 0) return lacks.join('; ');
  const name = `duet-${randomBytes(3).toString('hex')}`;
  if (spawnSync('ip', ['netns', 'add', name]).status !== 0) return 'The kernel gives no network namespaces';
  spawnSync('ip', ['netns', 'del', name]);
  return undefined;
}

const BURST = '16kb';

/**
 * @param names of the hosts
 * @param slow the one of them that can also be reached by a narrow way
 */
export async function createNetwork(names: string[], slow: string): Promise<Network> {
  // 198.18.0.0/15 is set aside for tests of this kind (RFC 2544), so it is nobody's address.
  const net = `198.18.${1 + ((randomBytes(1)[0] as number) % 250)}`;
  const prefix = `duet-${randomBytes(2).toString('hex')}`;
  const namespaceOf = (name: string) => `${prefix}-${name}`;
  const hub = namespaceOf('hub');
  const link = (suffix: string) => `${prefix.replace('-', '')}${suffix}`;
  let rules = 0;
  const addressOf = (name: string) => `${net}.${10 + names.indexOf(name)}`;
  const ip = (...words: string[]) => run('ip', words);
  const inside = (name: string, ...words: string[]) => run('ip', ['netns', 'exec', namespaceOf(name), ...words]);

  function removeAll(): void {
    // Whoever still lives in one dies with it; interfaces go with their namespace.
    for (const name of [...names.map(namespaceOf), hub]) {
      const pids = String(spawnSync('ip', ['netns', 'pids', name]).stdout ?? '').split('\n');
      for (const pid of pids.filter(Boolean)) spawnSync('kill', ['-9', pid]);
      spawnSync('ip', ['netns', 'del', name]);
    }
    for (const end of ['a', 'b']) spawnSync('ip', ['link', 'del', link(end)]);
  }
  const ending = endWithProcess(removeAll);

  async function join(namespace: string, name: string, address: string): Promise<void> {
    const port = `p${names.indexOf(name)}`;
    await ip('link', 'add', port, 'netns', hub, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', namespace);
    await ip('-n', hub, 'link', 'set', port, 'master', 'bridge', 'up');
    await ip('-n', namespace, 'addr', 'add', `${address}/25`, 'dev', 'eth0');
    for (const device of ['lo', 'eth0']) await ip('-n', namespace, 'link', 'set', device, 'up');
  }

  /** The clients stay in the namespace of this process and have a cable to the bridge, and a narrow one to one host. */
  async function plug(): Promise<void> {
    await ip('link', 'add', link('a'), 'type', 'veth', 'peer', 'name', 'clients', 'netns', hub);
    await ip('-n', hub, 'link', 'set', 'clients', 'master', 'bridge', 'up');
    await ip('addr', 'add', `${net}.1/25`, 'dev', link('a'));
    await ip('link', 'set', link('a'), 'up');
    await ip('link', 'add', link('b'), 'type', 'veth', 'peer', 'name', 'narrow', 'netns', namespaceOf(slow));
    await ip('addr', 'add', `${net}.129/25`, 'dev', link('b'));
    await ip('link', 'set', link('b'), 'up');
    await ip('-n', namespaceOf(slow), 'addr', 'add', `${net}.130/25`, 'dev', 'narrow');
    await ip('-n', namespaceOf(slow), 'link', 'set', 'narrow', 'up');
  }

  try {
    await ip('netns', 'add', hub);
    await ip('-n', hub, 'link', 'add', 'bridge', 'type', 'bridge');
    await ip('-n', hub, 'link', 'set', 'bridge', 'up');
    for (const name of names) {
      await ip('netns', 'add', namespaceOf(name));
      await join(namespaceOf(name), name, addressOf(name));
    }
    await plug();
  } catch (error) {
    removeAll();
    throw error;
  }

  return {
    slowAddress: `${net}.130`,
    host: (name) => ({
      address: addressOf(name),
      wrap: (command) => ['ip', 'netns', 'exec', namespaceOf(name), ...command],
    }),
    async rule(at, [chain, ...rest]) {
      // Its name tells its own line from those of other rules; -w waits for whoever makes one at the same moment.
      const name = `duet-${rules++}`;
      const named = ['-m', 'comment', '--comment', name, ...rest];
      await inside(at, 'iptables', '-w', '-I', chain as string, ...named);
      return {
        async packets() {
          const { stdout } = await inside(at, 'iptables', '-w', '-nvxL', chain as string);
          const line = stdout.split('\n').find((each) => each.includes(`/* ${name} */`));
          return Number(line?.trim().split(/\s+/)[0] ?? Number.NaN);
        },
        async [Symbol.asyncDispose]() {
          await inside(at, 'iptables', '-w', '-D', chain as string, ...named);
        },
      };
    },
    async narrow(rate) {
      const shape = (device: string) => [
        'qdisc',
        'replace',
        'dev',
        device,
        'root',
        'tbf',
        'rate',
        rate,
        'burst',
        BURST,
        'latency',
        '500ms',
      ];
      await run('tc', shape(link('b')));
      await inside(slow, 'tc', ...shape('narrow'));
      return {
        async [Symbol.asyncDispose]() {
          await run('tc', ['qdisc', 'del', 'dev', link('b'), 'root']);
          await inside(slow, 'tc', 'qdisc', 'del', 'dev', 'narrow', 'root');
        },
      };
    },
    async [Symbol.asyncDispose]() {
      ending[Symbol.dispose]();
      removeAll();
    },
  };
}
