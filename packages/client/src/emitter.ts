/** What a listener throws is the app's to see, and costs neither the others nor what goes on here. */
function call<P>(listener: (payload: P) => void, payload: P): void {
  try {
    listener(payload);
  } catch (error) {
    queueMicrotask(() => {
      throw error;
    });
  }
}

/** Tells listeners of events by name. */
export function createEmitter<E extends object>() {
  const listeners = new Map<keyof E, Set<(payload: never) => void>>();
  return {
    /** @returns a function that ends it */
    on<N extends keyof E>(name: N, listener: (payload: E[N]) => void): () => void {
      const set = listeners.get(name) ?? new Set();
      listeners.set(name, set.add(listener));
      return () => void set.delete(listener);
    },
    emit<N extends keyof E>(name: N, payload: E[N]): void {
      for (const listener of [...(listeners.get(name) ?? [])]) call(listener as (payload: E[N]) => void, payload);
    },
  };
}
