import { clients } from './clients.ts';
import { clockSkew, diskFull } from './embedded.ts';
import { partitions } from './partitions.ts';
import { kill, rolling, sleeps } from './processes.ts';
import { services } from './services.ts';
import type { Fault } from './stage.ts';

/** Every fault by its name. */
export const faults: Map<string, Fault> = new Map(
  [kill, rolling, ...sleeps, ...services, ...partitions, ...clients, diskFull, clockSkew].map((fault) => [
    fault.name,
    fault,
  ]),
);
