/** What the world around an app tells its chat. */
export interface LifecycleEvents {
  /** The app cannot be seen and may be stopped at any moment: gives the connection up. */
  background(): void;
  /** The app can be seen, or the network is back: makes sure of the connection, and asks what was missed. */
  foreground(): void;
}

/** Connects the events of a platform. @returns a function that ends it */
export type Lifecycle = (events: LifecycleEvents) => () => void;

interface Target {
  addEventListener(name: string, listener: () => void): void;
  removeEventListener(name: string, listener: () => void): void;
}

/**
 * The events of a browser; nothing anywhere else. A hidden page keeps its connection, so that it can notify. Whether
 * the browser thinks it is offline decides nothing: the server may stand on this machine.
 */
export const browserLifecycle: Lifecycle = ({ foreground }) => {
  const { document, window } = globalThis as { document?: Target & { visibilityState: string }; window?: Target };
  if (!document || !window?.addEventListener) return () => {};
  const onVisible = () => document.visibilityState === 'visible' && foreground();
  const listeners: [Target, string, () => void][] = [
    [window, 'online', foreground],
    [window, 'offline', foreground],
    [window, 'pageshow', onVisible],
    [window, 'focus', onVisible],
    [document, 'visibilitychange', onVisible],
  ];
  for (const [target, name, listener] of listeners) target.addEventListener(name, listener);
  return () => {
    for (const [target, name, listener] of listeners) target.removeEventListener(name, listener);
  };
};

/** React Native's `AppState`, or anything like it. */
export interface AppStateLike {
  addEventListener(name: 'change', listener: (state: string) => void): { remove(): void };
}

/** The events of a phone app: `lifecycle: appStateLifecycle(AppState)`. */
export function appStateLifecycle(appState: AppStateLike): Lifecycle {
  return ({ foreground, background }) => {
    const subscription = appState.addEventListener('change', (state) => {
      if (state === 'active') foreground();
      // `inactive` is a call or a glance at the notifications: it passes.
      else if (state === 'background') background();
    });
    return () => subscription.remove();
  };
}
