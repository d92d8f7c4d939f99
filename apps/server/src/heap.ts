import { setFlagsFromString } from 'node:v8';

/** What a heap may grow by before it is marked again, in percent of what was alive when it was marked last. */
const GROWTH = 300;

/**
 * Lets the heap grow to four times of what is alive before the garbage of it all is looked for: V8's own upper bound, in
 * place of something between it and a tenth, as it judges. Most of what a node holds are connections, which stay, so that
 * a mark walks over all of them, for a tenth of a second where a node has half a core, and finds little. Where memory is
 * limited (`--max-old-space-size`, or the limit of the container) it grows half of the way to the limit at most.
 * It is a number that V8 reads at the end of each mark, so it may be set while the process runs.
 */
export function markRarely(): void {
  setFlagsFromString(`--heap-growing-percent=${GROWTH}`);
}
