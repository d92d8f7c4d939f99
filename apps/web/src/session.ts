import { createSession, holderOf } from '@duet/client';
import { keptIn } from './kept.ts';

const KEY = 'duet.session';
const DEVICE = 'duet.device';

const store = keptIn('localStorage');

/** Who is signed in on this device. */
export const session = createSession({ url: window.location.origin, store, key: KEY });

const BROWSERS = [
  [/\bEdg/, 'Edge'],
  [/\bOPR\//, 'Opera'],
  [/Firefox|FxiOS/, 'Firefox'],
  [/Chrome|CriOS/, 'Chrome'],
  [/Safari/, 'Safari'],
] as const;
const SYSTEMS = [
  [/Android/, 'Android'],
  [/iPhone|iPad/, 'iOS'],
  [/Windows/, 'Windows'],
  [/Mac OS/, 'macOS'],
  [/Linux|CrOS/, 'Linux'],
] as const;

/** What this browser calls itself in the list of a user's devices. */
export function deviceName(agent = navigator.userAgent): string {
  const [browser, system] = [BROWSERS, SYSTEMS].map((names) => names.find(([mark]) => mark.test(agent))?.[1]);
  return `${browser ?? 'Browser'}${system ? ` on ${system}` : ''}`;
}

export const isSignedIn = (): boolean => store.getItem(KEY) !== null;

/**
 * Who is signed in, as his token says, unchecked: under this name is kept what he has begun. The server may be long in
 * saying who it is.
 */
export function signedInAs(): string | undefined {
  try {
    return holderOf((JSON.parse(store.getItem(KEY) ?? '') as { token: string }).token)?.user;
  } catch {
    return undefined; // Nobody.
  }
}

/** An id of this browser, made once; not secret. */
export function deviceId(): string {
  const known = store.getItem(DEVICE);
  if (known) return known;
  const made = Array.from(crypto.getRandomValues(new Uint8Array(12)), (byte) =>
    byte.toString(16).padStart(2, '0'),
  ).join('');
  store.setItem(DEVICE, made);
  return made;
}
