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

/** Calls `onTold` with what other tabs tell under this name. Without BroadcastChannel nobody hears anything. */
export function joinTabs<T>(name: string, onTold: (what: T) => void): Tabs<T> {
  const { BroadcastChannel: Channel } = globalThis as unknown as { BroadcastChannel?: new (name: string) => Channel };
  if (!Channel) return { tell() {}, end() {} };
  const channel = new Channel(name);
  channel.onmessage = ({ data }) => onTold(data as T);
  return { tell: (what) => channel.postMessage(what), end: () => channel.close() };
}
