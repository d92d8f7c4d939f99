import type { Config } from '../config.ts';
import { type Admin, withAdmin } from './open.ts';

/** What a command says: the same for machines and for people. `wrong`: what it looked at is not in order. */
export interface Outcome {
  json: unknown;
  text: string;
  wrong?: boolean;
}
export interface Options {
  limit: number;
  yes: boolean;
  withMessages: boolean;
}
export interface AdminCommand {
  /** Arguments as the help shows them; those in brackets may be left out. */
  args: string;
  does: string;
  /** undefined: it has written its answer itself. */
  run(config: Config, args: string[], options: Options): Promise<Outcome | undefined>;
}

/** A command on the store. */
export const on =
  (work: (admin: Admin, args: string[], options: Options) => Promise<Outcome | undefined>): AdminCommand['run'] =>
  (config, args, options) =>
    withAdmin(config, (admin) => work(admin, args, options));
