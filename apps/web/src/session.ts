import { createSession } from '@duet/client';

const KEY = 'duet.session';
const DEVICE = 'duet.device';

/** Who is signed in on this device. */
export const session = createSession({ url: window.location.origin, store: localStorage, key: KEY });

export const isSignedIn = (): boolean => localStorage.getItem(KEY) !== null;

/** An id of this browser, made once; not secret. */
export function deviceId(): string {
  const known = localStorage.getItem(DEVICE);
  if (known) return known;
  const made = Array.from(crypto.getRandomValues(new Uint8Array(12)), (byte) =>
    byte.toString(16).padStart(2, '0'),
  ).join('');
  localStorage.setItem(DEVICE, made);
  return made;
}
