import { randomBytes } from 'node:crypto';
import type { Kind } from './subject.ts';

/** Somebody who can connect: the handshake's auth, and the id others send to. */
export interface Account {
  id: string;
  auth: Record<string, string>;
}

const AT_ONCE = 8;
export const PASSWORD = 'password123';
export const emailOf = (i: number): string => `bench${i}@example.org`;

/** Makes accounts: the relay takes any name; Duet registers them as it would anybody. */
export async function createAccounts(kind: Kind, url: string, count: number): Promise<Account[]> {
  if (kind === 'relay') {
    return Array.from({ length: count }, () => {
      const user = randomBytes(12).toString('hex');
      return { id: user, auth: { user } };
    });
  }
  const accounts: Account[] = [];
  for (let start = 0; start < count; start += AT_ONCE) {
    const group = Array.from({ length: Math.min(AT_ONCE, count - start) }, (_, i) => register(url, start + i));
    accounts.push(...(await Promise.all(group)));
  }
  return accounts;
}

async function register(url: string, i: number): Promise<Account> {
  const body = JSON.stringify({ username: `bench ${i}`, email: emailOf(i), password: PASSWORD });
  const headers = { 'content-type': 'application/json' };
  const response = await fetch(`${url}/api/auth/register`, { method: 'POST', headers, body });
  const { data } = (await response.json()) as { data: { token: string; user: { _id: string } } };
  return { id: data.user._id, auth: { token: data.token } };
}
