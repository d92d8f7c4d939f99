import { randomBytes } from 'node:crypto';
import type { Kind } from './subject.ts';

/** Somebody who can connect: where, the handshake's auth, and the id others send to. */
export interface Account {
  id: string;
  url: string;
  auth: Record<string, string>;
}

export interface RegisteredAccount extends Account {
  email: string;
}

const AT_ONCE = 8;
export const PASSWORD = 'password123';
const nameOf = (i: number): string => `bench ${i}`;
export const emailOf = (i: number): string => addressOf(nameOf(i));
const addressOf = (name: string): string => `${name.replace(' ', '')}@example.org`;

/** The relay takes any name. */
export const anybody = (url: string): Account => {
  const user = randomBytes(12).toString('hex');
  return { id: user, url, auth: { user } };
};

/** Makes accounts: the relay takes any name; Duet registers them as it would anybody. */
export async function createAccounts(kind: Kind, url: string, count: number): Promise<Account[]> {
  if (kind === 'relay') return Array.from({ length: count }, () => anybody(url));
  const accounts: Account[] = [];
  for (let start = 0; start < count; start += AT_ONCE) {
    const group = Array.from({ length: Math.min(AT_ONCE, count - start) }, (_, i) => register(url, nameOf(start + i)));
    accounts.push(...(await Promise.all(group)));
  }
  return accounts;
}

/** Registers somebody. @throws Error with the server's own words when it refuses */
export async function register(url: string, name: string): Promise<RegisteredAccount> {
  const email = addressOf(name);
  const body = JSON.stringify({ username: name, email, password: PASSWORD });
  const headers = { 'content-type': 'application/json' };
  const response = await fetch(`${url}/api/auth/register`, { method: 'POST', headers, body });
  const { data, message } = (await response.json()) as {
    data?: { token: string; user: { _id: string } };
    message: string;
  };
  if (!data) throw new Error(`${url} refused a registration: ${message}`);
  return { id: data.user._id, url, auth: { token: data.token }, email };
}
