/** Resolves when the event loop has read everything that had arrived by now. */
export const endOfTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/**
 * Gathers what is asked within one turn of the event loop and does it at once: a thousand clients that come together
 * need one question, not a thousand.
 * @param work gets everything that was asked for in the turn; its result is everybody's, and so is its failure
 */
export function perTurn<T, R>(work: (items: T[]) => R | Promise<R>): (...items: T[]) => Promise<R> {
  let gathered: T[] = [];
  let turn: Promise<R> | undefined;
  return (...items) => {
    gathered.push(...items);
    turn ??= endOfTurn().then(() => {
      const all = gathered;
      gathered = [];
      turn = undefined;
      return work(all);
    });
    return turn;
  };
}
