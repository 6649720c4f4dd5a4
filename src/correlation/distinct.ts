/**
 * @module Counts distinct values over a stretch that moves. Moving costs what enters and leaves, so
 * in-order traffic costs O(1) per match, however many values the window holds.
 */

import type { SortedList } from "./sorted.ts";

/** What it reads of a window's entry. */
export interface Valued {
  readonly values?: readonly string[];
}

/**
 * A stretch [low, high) of a list and how often each value occurs in it. Told of every change of
 * the list.
 */
export class DistinctCursor {
  readonly #entries: SortedList<Valued>;
  readonly #counts = new Map<string, number>();
  #low = 0;
  #high = 0;

  constructor(entries: SortedList<Valued>) {
    this.#entries = entries;
  }

  /** How many entries a move to [low, high) would touch. */
  distance(low: number, high: number): number {
    const isApart = low >= this.#high || high <= this.#low;
    return isApart ? high - low : Math.abs(low - this.#low) + Math.abs(high - this.#high);
  }

  /** Moves to [low, high) and answers how many distinct values it holds. */
  distinct(low: number, high: number): number {
    if (low >= this.#high || high <= this.#low) {
      this.#counts.clear();
      this.#low = low;
      this.#high = low;
    }
    while (this.#high < high) this.#add(this.#high++);
    while (this.#low > low) this.#add(--this.#low);
    while (this.#high > high) this.#take(--this.#high);
    while (this.#low < low) this.#take(this.#low++);
    return this.#counts.size;
  }

  /** After an entry was put at `index`. */
  inserted(index: number): void {
    if (index < this.#low) {
      this.#low += 1;
      this.#high += 1;
    } else if (index < this.#high) {
      this.#high += 1;
      this.#add(index);
    }
  }

  /** Before the first `count` entries go. */
  dropping(count: number): void {
    while (this.#low < Math.min(count, this.#high)) this.#take(this.#low++);
    this.#low = Math.max(0, this.#low - count);
    this.#high = Math.max(0, this.#high - count);
  }

  #add(index: number): void {
    for (const value of this.#entries.get(index).values ?? []) {
      this.#counts.set(value, (this.#counts.get(value) ?? 0) + 1);
    }
  }

  #take(index: number): void {
    for (const value of this.#entries.get(index).values ?? []) {
      const count = (this.#counts.get(value) ?? 0) - 1;
      if (count > 0) this.#counts.set(value, count);
      else this.#counts.delete(value);
    }
  }
}
