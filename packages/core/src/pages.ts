/**
 * Walks over everything that a paged question answers.
 * @param start where the first page begins
 * @param read gives the page behind a place; an empty one is the end
 * @param placeOf the place of the last item of a page
 */
export async function* pages<T, P>(
  start: P,
  read: (after: P) => Promise<T[]>,
  placeOf: (last: T) => P,
): AsyncGenerator<T[]> {
  for (let after = start; ; ) {
    const page = await read(after);
    const last = page.at(-1);
    if (last === undefined) return;
    yield page;
    after = placeOf(last);
  }
}
