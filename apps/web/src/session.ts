const TOKEN = 'duet.token';
const DEVICE = 'duet.device';

/** Who is signed in on this device. */
export const session = {
  token: (): string | undefined => localStorage.getItem(TOKEN) ?? undefined,
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
