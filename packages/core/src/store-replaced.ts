import { DuetError } from '@duet/contract';

/** UNAVAILABLE, and nothing was stored: a backup has taken the database's place. What is remembered of it is void. */
export class StoreReplaced extends DuetError {
  constructor() {
    super('UNAVAILABLE', { cause: new Error('the database was replaced') });
  }
}
