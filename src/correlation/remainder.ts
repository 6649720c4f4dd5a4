/**
 * @module What is kept of an episode whose oldest entries are gone: its anchor, its count and how
 * it began.
 */

import type { Entry, Remainder } from "./entry.ts";

/**
 * The remainder with one more entry, which must be the next in time that was covered and is gone.
 * An entry more than a timespan later belongs to a later episode and begins a new remainder.
 */
export function remainderWith(
  remainder: Remainder | undefined,
  entry: Entry,
  timespanMs: number,
): Remainder {
  const weight = entry.weight ?? 1;
  if (remainder === undefined || entry.at - remainder.to > timespanMs) {
    return { anchor: entry.id, from: entry.at, to: entry.at, count: weight, first: [entry] };
  }
  return {
    ...remainder,
    to: entry.at,
    count: remainder.count + weight,
    first: firstWith(remainder.first, entry),
  };
}

/**
 * The first entry of each rule; one that kept its events is worth more than an earlier one without.
 */
function firstWith(first: readonly Entry[], entry: Entry): readonly Entry[] {
  const known = first.find(({ rule }) => rule === entry.rule);
  if (known === undefined) return [...first, entry];
  if (known.events !== undefined || entry.events === undefined) return first;
  return first.map((other) => (other === known ? entry : other));
}
