import type { UserRecord } from './ports.ts';

/** Stands before a hash that opens nothing any more, as in shadow(5): it can be taken away again. */
const LOCK = '!';

type Hashed = Pick<UserRecord, 'passwordHash'>;

/** Whether an operator has disabled the account. */
export const isDisabled = ({ passwordHash }: Hashed): boolean => passwordHash.startsWith(LOCK);
export const locked = (user: Hashed): string => (isDisabled(user) ? user.passwordHash : LOCK + user.passwordHash);
export const unlocked = (user: Hashed): string =>
  isDisabled(user) ? user.passwordHash.slice(LOCK.length) : user.passwordHash;

/** What a password is compared with; undefined: no password opens this account. */
export const usableHash = (user: Hashed | undefined): string | undefined =>
  user === undefined || user.passwordHash === '' || isDisabled(user) ? undefined : user.passwordHash;
