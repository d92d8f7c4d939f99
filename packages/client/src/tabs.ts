interface Channel {
  onmessage: ((event: { data: unknown }) => void) | null;
  postMessage(what: unknown): void;
  close(): void;
}

/** Tells the other tabs of this origin something, until it is ended. */
export interface Tabs<T> {
  tell(what: T): void;
  end(): void;
}

function open(name: string): Channel | undefined {
  const { BroadcastChannel } = globalThis as unknown as { BroadcastChannel: new (name: string) => Channel };
  try {
    return new BroadcastChannel(name);
  } catch {
    return undefined; // There is none, or, as in Firefox where cookies are blocked, it is not allowed.
  }
}

/** Calls `onTold` with what other tabs tell under this name. Without BroadcastChannel nobody hears anything. */
export function joinTabs<T>(name: string, onTold: (what: T) => void): Tabs<T> {
  const channel = open(name);
  if (!channel) return { tell() {}, end() {} };
  channel.onmessage = ({ data }) => onTold(data as T);
  return { tell: (what) => channel.postMessage(what), end: () => channel.close() };
}
