/** @module The entries of one group in order of event time, with the indexes its measures need. */

import type { EpochMs } from "../clock.ts";
import type { Measured } from "./aggregate.ts";
import { DistinctCursor } from "./distinct.ts";
import { type Entry, isBefore, type Segment } from "./entry.ts";
import { SortedList } from "./sorted.ts";

/** Which indexes to keep: each costs time per match. */
export interface EntriesSettings {
  readonly byRule: boolean;
  readonly byValue: boolean;
}

export class Entries implements Measured {
  readonly #list = new SortedList<Entry>();
  readonly #stamps: Map<string, SortedList<EpochMs>> | undefined;
  /**
   * Three, so that late entries and the wider look around them do not take the newest window's
   * place.
   */
  readonly #values: readonly DistinctCursor[];

  constructor({ byRule, byValue }: EntriesSettings) {
    this.#stamps = byRule ? new Map() : undefined;
    this.#values = byValue ? [1, 2, 3].map(() => new DistinctCursor(this.#list)) : [];
  }

  get length(): number {
    return this.#list.length;
  }

  get oldest(): Entry | undefined {
    return this.#list.at(0);
  }

  get newest(): Entry | undefined {
    return this.#list.at(this.#list.length - 1);
  }

  at(index: number): Entry | undefined {
    return this.#list.at(index);
  }

  add(entry: Entry): void {
    const index = this.#indexOf(entry);
    this.#list.insert(index, entry);
    for (const cursor of this.#values) cursor.inserted(index);
    if (this.#stamps === undefined) return;
    let stamps = this.#stamps.get(entry.rule);
    if (stamps === undefined) {
      stamps = new SortedList();
      this.#stamps.set(entry.rule, stamps);
    }
    stamps.insert(
      stamps.firstNot((stamp) => stamp <= entry.at),
      entry.at,
    );
  }

  /** Puts another version of an entry, with the same id, time, rule and values, in its place. */
  replace(entry: Entry): void {
    this.#list.set(this.#indexOf(entry), entry);
  }

  /** Takes the oldest away and answers them. */
  dropFront(count: number): readonly Entry[] {
    const dropped: Entry[] = [];
    for (let index = 0; index < count; index += 1) dropped.push(this.#list.get(index));
    for (const cursor of this.#values) cursor.dropping(count);
    this.#list.dropFront(count);
    // The oldest entry of a rule has the first of its stamps.
    for (const { rule } of dropped) this.#stamps?.get(rule)?.dropFront(1);
    return dropped;
  }

  /** Index of the first entry at or after a stamp. */
  firstAt(stamp: EpochMs): number {
    return this.#list.firstNot((entry) => entry.at < stamp);
  }

  /** Index of the first entry after a stamp. */
  firstAfter(stamp: EpochMs): number {
    return this.#list.firstNot((entry) => entry.at <= stamp);
  }

  *within({ from, to }: Segment): IterableIterator<Entry> {
    const end = this.firstAfter(to);
    for (let index = this.firstAt(from); index < end; index += 1) yield this.#list.get(index);
  }

  count(from: EpochMs, to: EpochMs): number {
    return this.firstAfter(to) - this.firstAt(from);
  }

  distinct(from: EpochMs, to: EpochMs): number {
    const [low, high] = [this.firstAt(from), this.firstAfter(to)];
    let nearest: DistinctCursor | undefined;
    let least = Number.POSITIVE_INFINITY;
    for (const cursor of this.#values) {
      const distance = cursor.distance(low, high);
      if (distance >= least) continue;
      nearest = cursor;
      least = distance;
    }
    return nearest?.distinct(low, high) ?? 0;
  }

  stampsOf(rule: string): SortedList<EpochMs> | undefined {
    return this.#stamps?.get(rule);
  }

  [Symbol.iterator](): IterableIterator<Entry> {
    return this.#list[Symbol.iterator]();
  }

  #indexOf(entry: Entry): number {
    return this.#list.firstNot((other) => isBefore(other, entry));
  }
}
