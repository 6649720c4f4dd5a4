/**
 * @module Which entries of a group stand in a window that holds, for conditions without an upper
 * bound.
 *
 * At each stamp t of an entry the window is [t - timespan, t]. Where it holds, its entries are
 * covered. Coverage is the union of these windows, kept as disjoint segments; segments at most a
 * timespan apart make one episode. All of this depends on the set of entries alone, so arrival
 * order cannot change it, and a further entry can only add to it.
 */

import type { EpochMs } from "../clock.ts";
import { type Aggregate, firstStamp } from "./aggregate.ts";
import type { Entries } from "./entries.ts";
import type { Segment } from "./entry.ts";

export interface CoverageSettings {
  readonly aggregate: Aggregate;
  readonly timespanMs: number;
  readonly entries: Entries;
}

export class Coverage {
  readonly #aggregate: Aggregate;
  readonly #span: number;
  readonly #entries: Entries;
  /**
   * Ascending and disjoint. The window that completed a segment begins after the segment before it
   * ended, so there are no more than one for each timespan that is kept.
   */
  #segments: Segment[] = [];

  constructor({ aggregate, timespanMs, entries }: CoverageSettings) {
    this.#aggregate = aggregate;
    this.#span = timespanMs;
    this.#entries = entries;
  }

  get segments(): readonly Segment[] {
    return this.#segments;
  }

  /**
   * After an entry was put at `at`: covers what it made hold. Only windows that end in [at, at +
   * timespan] contain it. In order that is one window; for a late entry, stretches that are covered
   * already are jumped over.
   */
  extend(at: EpochMs): void {
    const last = at + this.#span;
    const isNewest = this.#entries.newest?.at === at;
    // Most late entries complete nothing: one measure of all that could contain them tells.
    if (!isNewest && this.segmentAt(at) === undefined && !this.#couldHold(at)) return;
    let stamp: EpochMs | undefined = at;
    while (stamp !== undefined && stamp <= last) {
      const known = this.segmentAt(stamp);
      if (known !== undefined && known.from <= this.#reach(stamp)) {
        stamp = this.#stampAfter(known.to);
        continue;
      }
      const from = this.#heldFrom(stamp);
      // Windows that end later in a segment begin later too: once one of them holds, they add
      // nothing to it.
      if (from === undefined) stamp = this.#nextCandidate(stamp);
      else stamp = this.#stampAfter(this.cover({ from, to: stamp }).to);
    }
  }

  /** Covers what every window shows: for a restart, when all entries are there at once. */
  extendAll(): void {
    let stamp = this.#entries.oldest?.at;
    while (stamp !== undefined) {
      const from = this.#heldFrom(stamp);
      if (from !== undefined) this.cover({ from, to: stamp });
      stamp = from === undefined ? this.#nextCandidate(stamp) : this.#stampAfter(stamp);
    }
  }

  /** Adds a stretch; answers the segment that now holds it. */
  cover(stretch: Segment): Segment {
    const begin = this.#segments.findLastIndex(({ to }) => to < stretch.from) + 1;
    const after = this.#segments.findLastIndex(({ from }) => from <= stretch.to) + 1;
    const touched = this.#segments.slice(begin, after);
    const merged = {
      from: Math.min(stretch.from, ...touched.map(({ from }) => from)),
      to: Math.max(stretch.to, ...touched.map(({ to }) => to)),
    };
    this.#segments.splice(begin, touched.length, merged);
    return merged;
  }

  segmentAt(stamp: EpochMs): Segment | undefined {
    return this.#segments.findLast(({ from, to }) => from <= stamp && stamp <= to);
  }

  /** The segments of the episode that covers a stamp, ascending; [] when none does. */
  episodeAt(stamp: EpochMs): readonly Segment[] {
    const segments = this.#segments;
    const middle = segments.findLastIndex(({ from, to }) => from <= stamp && stamp <= to);
    if (middle < 0) return [];
    let begin = middle;
    while (begin > 0 && this.#isNear(begin - 1)) begin -= 1;
    let end = middle;
    while (end + 1 < segments.length && this.#isNear(end)) end += 1;
    return segments.slice(begin, end + 1);
  }

  /** One stamp of each episode, ascending. */
  episodeStamps(): readonly EpochMs[] {
    return this.#segments.flatMap(({ from }, index) =>
      index > 0 && this.#isNear(index - 1) ? [] : [from],
    );
  }

  /** After the oldest entries went: forgets what they covered. */
  trim(): void {
    const oldest = this.#entries.oldest?.at;
    if (oldest === undefined) {
      this.#segments = [];
      return;
    }
    this.#segments = this.#segments
      .filter(({ to }) => to >= oldest)
      .map(({ from, to }) => ({ from: Math.max(from, oldest), to }));
  }

  /** Whether the segment after this one belongs to the same episode. */
  #isNear(index: number): boolean {
    const [left, right] = [this.#segments[index], this.#segments[index + 1]];
    return left !== undefined && right !== undefined && right.from - left.to <= this.#span;
  }

  #couldHold(at: EpochMs): boolean {
    const { measure, holds } = this.#aggregate;
    return holds(measure(this.#entries, at - this.#span, at + this.#span));
  }

  /** The oldest entry of the window that ends at an entry's stamp. */
  #reach(stamp: EpochMs): EpochMs {
    return this.#entries.at(this.#entries.firstAt(stamp - this.#span))?.at ?? stamp;
  }

  /**
   * Where the entries begin that the window ending at a stamp covers; undefined when it does not
   * hold.
   */
  #heldFrom(stamp: EpochMs): EpochMs | undefined {
    const { measure, holds, first, last, earliestEnd } = this.#aggregate;
    const from = stamp - this.#span;
    if (first === undefined || last === undefined || earliestEnd === undefined) {
      return holds(measure(this.#entries, from, stamp)) ? this.#reach(stamp) : undefined;
    }
    if (firstStamp(this.#entries, last, stamp) !== stamp) return undefined;
    const end = earliestEnd(this.#entries, from);
    if (end === undefined || end > stamp) return undefined;
    // What the others did before the first step has no part in it.
    return firstStamp(this.#entries, first, from);
  }

  /** After a window that does not hold: the end of the next one that may. */
  #nextCandidate(stamp: EpochMs): EpochMs | undefined {
    const { last, earliestEnd } = this.#aggregate;
    if (last === undefined || earliestEnd === undefined) return this.#stampAfter(stamp);
    const end = earliestEnd(this.#entries, stamp - this.#span);
    if (end === undefined || end > stamp) return end;
    const stamps = this.#entries.stampsOf(last);
    return stamps?.at(stamps.firstNot((other) => other <= stamp));
  }

  #stampAfter(stamp: EpochMs): EpochMs | undefined {
    return this.#entries.at(this.#entries.firstAfter(stamp))?.at;
  }
}
