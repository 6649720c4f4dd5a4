/**
 * @module Values that merge: of two that are told, the one of the further state, then of the later
 * time, is kept.
 */

import type { EpochMs } from "../clock.ts";

/** A value with the state it was told in (0 to 3) and the time of the fact that told it. */
export type Cell<V> = readonly [value: V, rank: number, at: EpochMs];

/** What is known, value by value. Plain JSON, so it may stand in State. */
export type Cells<T> = { readonly [K in keyof T]?: Cell<T[K]> };

export interface Telling<T> {
  readonly values: Partial<T>;
  /** Which of `values` to take. */
  readonly names: readonly (keyof T & string)[];
  readonly rank: number;
  readonly at: EpochMs;
}

/**
 * `cells` with what is told merged in; the same object when that changes nothing. The kept value is
 * the greatest by (rank, at, JSON text), so the order and the number of tellings do not matter.
 */
export function mergeCells<T>(cells: Cells<T>, telling: Telling<T>): Cells<T> {
  let merged = cells;
  for (const name of telling.names) {
    const value = telling.values[name];
    if (value === undefined) continue;
    const cell: Cell<unknown> = [value, telling.rank, telling.at];
    if (isGreater(cell, merged[name])) merged = { ...merged, [name]: cell };
  }
  return merged;
}

/** Whether both tell the same, whoever told it and when. */
export function sameValues<T>(a: Cells<T>, b: Cells<T>, names: readonly (keyof T)[]): boolean {
  return a === b || names.every((name) => a[name]?.[0] === b[name]?.[0]);
}

function isGreater(cell: Cell<unknown>, than: Cell<unknown> | undefined): boolean {
  if (than === undefined) return true;
  if (cell[1] !== than[1]) return cell[1] > than[1];
  if (cell[2] !== than[2]) return cell[2] > than[2];
  return JSON.stringify(cell[0]) > JSON.stringify(than[0]);
}
