/**
 * Takes those out of a queue, oldest first, that have waited since before `oldest`.
 * @returns what was taken
 */
export function takeLate<T extends { since: number }>(queue: T[], oldest: number): T[] {
  const inTime = queue.findIndex(({ since }) => since >= oldest);
  return queue.splice(0, inTime < 0 ? queue.length : inTime);
}
