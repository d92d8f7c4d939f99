interface LockManager {
  request(name: string, options: { signal: AbortSignal }, task: () => Promise<void>): Promise<void>;
}

/**
 * Calls `onTurn` when no other tab of this origin has the turn, and keeps it. Without Web Locks it is everybody's turn.
 * @returns a function that gives the turn up
 */
export function takeTurn(name: string, onTurn: () => void): () => void {
  const { navigator, AbortController: Controller } = globalThis as unknown as {
    navigator?: { locks?: LockManager };
    AbortController: typeof AbortController;
  };
  const locks = navigator?.locks;
  if (!locks) {
    onTurn();
    return () => {};
  }
  let end = () => {};
  const controller = new Controller();
  const held = new Promise<void>((resolve) => {
    end = resolve;
  });
  const turn = () => {
    onTurn();
    return held;
  };
  locks.request(name, { signal: controller.signal }, turn).catch(() => {
    // Given up before it came, or not allowed, as in Firefox where cookies are blocked.
    if (!controller.signal.aborted) onTurn();
  });
  return () => {
    controller.abort();
    end();
  };
}
