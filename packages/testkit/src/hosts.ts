/** Where a process of a deployment runs: this machine as it is, or a network namespace of it with an address of its own. */
export interface Host {
  /** Where the others reach what listens there. */
  address: string;
  /** The command line that runs `command` there, in the same process: signals go where they should. */
  wrap(command: string[]): string[];
}

/** A process of a deployment by its part in it. */
export type HostName = 'mongo' | 'redis' | 'nginx' | `node${number}`;

export const thisMachine: Host = { address: '127.0.0.1', wrap: (command) => command };
