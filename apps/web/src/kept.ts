/** Where texts are kept by name. */
export interface Kept {
  getItem(key: string): string | null;
  setItem(key: string, value: string): void;
  removeItem(key: string): void;
  keys(): string[];
}

/** Undefined where the browser is told to keep nothing, as by whoever blocks all cookies, or by the app that shows the page. */
function storageOf(name: 'localStorage' | 'sessionStorage'): Storage | undefined {
  try {
    return (window[name] as Storage | null) ?? undefined;
  } catch {
    return undefined;
  }
}

/** What the browser keeps; what it does not take, as when it is full, is kept as long as this page lives. */
export function keptIn(name: 'localStorage' | 'sessionStorage'): Kept {
  const storage = storageOf(name);
  const texts = new Map<string, string>();
  function takes(key: string, value: string): boolean {
    try {
      storage?.setItem(key, value);
      return storage !== undefined;
    } catch (error) {
      // Other tabs would go on with what is there.
      if (storage?.getItem(key) != null) throw error;
      return false;
    }
  }
  return {
    getItem: (key) => storage?.getItem(key) ?? texts.get(key) ?? null,
    setItem(key, value) {
      if (takes(key, value)) texts.delete(key);
      else texts.set(key, value);
    },
    removeItem(key) {
      texts.delete(key);
      storage?.removeItem(key);
    },
    keys: () => [...Object.keys(storage ?? {}), ...texts.keys()],
  };
}
