import { elapsed, type Runtime } from './runtime.ts';

/** The mark is repeated while the user types, and taken back after a pause. */
const EVERY_MS = 3_000;
const IDLE_MS = 4_000;
/** A peer's mark without news disappears after this time: its end may have been lost. */
const SHOWN_MS = 6_000;

export interface TypingDeps {
  runtime: Runtime;
  /** Tells the peer. */
  tell: (peerId: string, isTyping: boolean) => void;
  /** Shows or hides a peer's mark. */
  show: (peerId: string, isTyping: boolean) => void;
}

/** Typing marks in both directions. */
export function createTyping({ runtime, tell, show }: TypingDeps) {
  const told = new Map<string, { at: number; cancel: () => void }>();
  const shown = new Map<string, () => void>();

  function still(peerId: string): void {
    const mine = told.get(peerId);
    if (!mine) return;
    mine.cancel();
    told.delete(peerId);
    tell(peerId, false);
  }

  function hide(peerId: string): void {
    shown.get(peerId)?.();
    shown.delete(peerId);
    show(peerId, false);
  }

  return {
    /** The user has pressed a key. */
    note(peerId: string): void {
      const mine = told.get(peerId);
      mine?.cancel();
      const isDue = !mine || elapsed(runtime, mine.at) >= EVERY_MS;
      told.set(peerId, {
        at: isDue ? runtime.now() : mine.at,
        cancel: runtime.after(IDLE_MS, () => still(peerId)),
      });
      if (isDue) tell(peerId, true);
    },
    still,
    /** The peer types, or has stopped. */
    heard(peerId: string, isTyping: boolean): void {
      shown.get(peerId)?.();
      if (isTyping)
        shown.set(
          peerId,
          runtime.after(SHOWN_MS, () => hide(peerId)),
        );
      else shown.delete(peerId);
      show(peerId, isTyping);
    },
    /** Also hides what is shown: nothing would take it back later. */
    stop(): void {
      for (const { cancel } of told.values()) cancel();
      told.clear();
      for (const peerId of [...shown.keys()]) hide(peerId);
    },
  };
}
