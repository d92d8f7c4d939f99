const TOKEN = 'duet.token';
const DEVICE = 'duet.device';

/** Who is signed in on this device. */
export const session = {
  /** There is no way to a new token but signing in, so a refused one has no successor. */
  token: (ask?: { refresh: boolean }): string | undefined =>
    ask?.refresh ? undefined : (localStorage.getItem(TOKEN) ?? undefined),
  begin: (token: string): void => localStorage.setItem(TOKEN, token),
  end: (): void => localStorage.removeItem(TOKEN),
  /** Made once for each browser; not secret. */
  deviceId(): string {
    const known = localStorage.getItem(DEVICE);
    if (known) return known;
    const made = Array.from(crypto.getRandomValues(new Uint8Array(12)), (byte) =>
      byte.toString(16).padStart(2, '0'),
    ).join('');
    localStorage.setItem(DEVICE, made);
    return made;
  },
};
