/** How many newcomers a turn of the event loop takes. */
const PER_TURN = 2;
/** How many may be on their way in, which is when the store and Redis are asked about them. */
const AT_ONCE = 16;

export interface Door {
  /** Calls `enter` when it is this newcomer's turn. */
  knock(enter: () => void): void;
  /** Whoever has knocked and is now being looked up; others wait while too many are. */
  pass<T>(lookUp: () => Promise<T>): Promise<T>;
}

/**
 * Lets newcomers in one after the other. When a node dies its clients come to the others all at once: they wait for each
 * other here, so that those who are in already wait for a turn with two handshakes in it, not for one with a thousand,
 * and their messages for a store that is asked sixteen questions at a time. Nobody is refused, and who has knocked holds
 * up nobody: a client that says no more than that is not on its way in.
 */
export function createDoor(): Door {
  const waiting: (() => void)[] = [];
  let onTheirWay = 0;
  let isOpening = false;

  function open(): void {
    isOpening = false;
    if (onTheirWay >= AT_ONCE) return;
    for (const enter of waiting.splice(0, PER_TURN)) enter();
    openSoon();
  }

  function openSoon(): void {
    if (isOpening || waiting.length === 0) return;
    isOpening = true;
    setImmediate(open);
  }

  return {
    knock(enter) {
      waiting.push(enter);
      openSoon();
    },
    async pass(lookUp) {
      onTheirWay += 1;
      try {
        return await lookUp();
      } finally {
        onTheirWay -= 1;
        openSoon();
      }
    },
  };
}
