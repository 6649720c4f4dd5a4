/**
 * @module Windows of conditions with an upper bound (lt, lte, eq, neq): nothing can be said before
 * they are over.
 *
 * Such a window opens with the first entry after the one before it and spans [open, open +
 * timespan]. It is judged once the watermark has passed its end. A late entry in a closed window
 * has it judged again while all of it is kept; one between two closed windows gets a window of its
 * own, up to the next one.
 */

import type { EpochMs } from "../clock.ts";
import type { Aggregate } from "./aggregate.ts";
import type { Entries } from "./entries.ts";
import type { ClosedWindow, Entry } from "./entry.ts";

export interface ClosingSettings {
  readonly aggregate: Aggregate;
  readonly timespanMs: number;
  readonly entries: Entries;
  readonly closed: readonly ClosedWindow[];
}

export class Closing {
  readonly #aggregate: Aggregate;
  readonly #span: number;
  readonly #entries: Entries;
  /** Ascending and disjoint. */
  #closed: ClosedWindow[];

  constructor({ aggregate, timespanMs, entries, closed }: ClosingSettings) {
    this.#aggregate = aggregate;
    this.#span = timespanMs;
    this.#entries = entries;
    this.#closed = [...closed];
  }

  get closed(): readonly ClosedWindow[] {
    return this.#closed;
  }

  /** When the open window is over; undefined when none is open. */
  due(): EpochMs | undefined {
    const opener = this.#opener();
    return opener === undefined ? undefined : opener.at + this.#span;
  }

  /** Closes every window that ended before the watermark; answers those that hold. */
  close(watermark: EpochMs): readonly ClosedWindow[] {
    const held: ClosedWindow[] = [];
    for (;;) {
      const opener = this.#opener();
      if (opener === undefined || opener.at + this.#span >= watermark) return held;
      const window = { from: opener.at, to: opener.at + this.#span, anchor: opener.id };
      this.#closed.push(window);
      if (this.holds(window)) held.push(window);
    }
  }

  /**
   * After an entry was put: the closed window it belongs to, if it came too late for an open one.
   */
  reopened(entry: Entry): ClosedWindow | undefined {
    const last = this.#closed.at(-1);
    if (last === undefined || entry.at > last.to) return undefined;
    const known = this.#closed.find(({ from, to }) => from <= entry.at && entry.at <= to);
    if (known !== undefined) return known;
    const index = this.#closed.findIndex(({ from }) => from > entry.at);
    const nextFrom = this.#closed[index]?.from ?? Number.POSITIVE_INFINITY;
    const to = Math.min(entry.at + this.#span, nextFrom - 1);
    const window = { from: entry.at, to, anchor: entry.id };
    this.#closed.splice(index, 0, window);
    return window;
  }

  holds({ from, to, partial }: ClosedWindow): boolean {
    if (partial === true) return false;
    return this.#aggregate.holds(this.#aggregate.measure(this.#entries, from, to));
  }

  /** The closed window over a stamp. */
  at(stamp: EpochMs): ClosedWindow | undefined {
    return this.#closed.find(({ from, to }) => from <= stamp && stamp <= to);
  }

  /**
   * Forgets the windows that ended before the horizon. One that began no later than the newest
   * entry that is gone can no longer be judged, but is remembered: a late entry in it must not
   * open another.
   */
  trim(horizon: EpochMs, newestGoneAt: EpochMs = Number.NEGATIVE_INFINITY): void {
    const [oldest] = this.#closed;
    if (oldest === undefined || (oldest.to >= horizon && oldest.from > newestGoneAt)) return;
    this.#closed = this.#closed
      .filter(({ to }) => to >= horizon)
      .map((window) => (window.from <= newestGoneAt ? { ...window, partial: true } : window));
  }

  #opener(): Entry | undefined {
    const last = this.#closed.at(-1);
    return last === undefined
      ? this.#entries.oldest
      : this.#entries.at(this.#entries.firstAfter(last.to));
  }
}
