/**
 * @module The windows of the jobs of one runner (or of runners with one name) in order of start:
 * what stands around a moment is found by binary search.
 */

import type { EpochMs } from "../clock.ts";
import { byStart, type JobView, sameRunner, type Window, windowOf } from "./window.ts";

/** Only events from `from` to `to`, give or take the slack, can get another answer. */
export interface Span {
  readonly from: EpochMs;
  readonly to: EpochMs;
}

/** More jobs than this at one moment say nothing but "many". */
const nearMax = 256;
/** How many jobs before a moment are looked at to name the last one of each runner. */
const endedMax = 64;

/** Keeps no bound of its own: the run book evicts. */
export class Timeline {
  readonly #windows: Window[] = [];
  /** At each index the latest end of all windows up to it, of those that have one. */
  readonly #latest: EpochMs[] = [];
  /** Windows without an end, in order of start. */
  readonly #running: Window[] = [];
  readonly #owners = new Map<string, number>();

  /** Takes a job in; undefined when it never ran. */
  add(view: JobView): Span | undefined {
    const window = windowOf(view);
    if (window === undefined) return undefined;
    const index = this.#indexOf(window);
    this.#windows.splice(index, 0, window);
    this.#latest.splice(index, 0, Number.NEGATIVE_INFINITY);
    count(this.#owners, window.owner, 1);
    const shared = this.#owners.size > 1;
    const closed = this.#closedBy(window, index);
    for (const other of closed.windows) this.#end(other, window.from);
    if (window.open) this.#end(window, this.#nextStart(window, index));
    this.#measure(Math.min(index, closed.index), index);
    return this.#spanOf(window, { index, shared, to: closed.to });
  }

  /** Takes a job out that was added with the same start and key. */
  remove(view: JobView): Span | undefined {
    const index = this.#find(view);
    const window = this.#windows[index];
    if (window === undefined) return undefined;
    const shared = this.#owners.size > 1;
    const span = this.#spanOf(window, { index, shared, to: window.to });
    this.#windows.splice(index, 1);
    this.#latest.splice(index, 1);
    count(this.#owners, window.owner, -1);
    removeFrom(this.#running, window);
    let from = index;
    let { to } = span;
    for (let at = index - 1; at >= 0 && (this.#latest[at] ?? 0) >= window.from; at -= 1) {
      const other = this.#windows[at];
      if (other === undefined || !other.open || other.to !== window.from) continue;
      this.#end(other, this.#nextStart(other, at));
      to = Math.max(to, other.to);
      from = at;
    }
    this.#measure(from, index - 1);
    return { from: span.from, to };
  }

  /** The same job at the same place, with other details. */
  swap(view: JobView): void {
    const window = this.#windows[this.#find(view)];
    if (window !== undefined) window.view = view;
  }

  /** Windows that hold `time`, or miss it by no more than the slack; at most 256, in order. */
  near(time: EpochMs, slackMs: number): readonly Window[] {
    const found: Window[] = [];
    for (let at = this.#after(time + slackMs) - 1; at >= 0; at -= 1) {
      if ((this.#latest[at] ?? 0) + slackMs <= time || found.length === nearMax) break;
      const window = this.#windows[at];
      if (window === undefined || window.to === Number.POSITIVE_INFINITY) continue;
      if (time < window.to + slackMs) found.push(window);
    }
    for (let at = this.#running.length - 1; at >= 0; at -= 1) {
      const window = this.#running[at];
      if (window === undefined || window.from > time + slackMs) continue;
      found.push(window);
      if (found.length >= 2 * nearMax) break;
    }
    return found.length > 1 ? found.sort(byStart) : found;
  }

  /** The last 64 windows that ended before `time`, in order. */
  ended(time: EpochMs): readonly Window[] {
    const end = this.#after(time);
    return this.#windows.slice(Math.max(0, end - endedMax), end).filter(({ to }) => to <= time);
  }

  views(): readonly JobView[] {
    return this.#windows.map(({ view }) => view);
  }

  #end(window: Window, to: EpochMs): void {
    if (window.to === Number.POSITIVE_INFINITY) removeFrom(this.#running, window);
    window.to = to;
    if (to === Number.POSITIVE_INFINITY) insert(this.#running, window);
  }

  /** Open windows that `window` ends, the least index of them, and how far they reached. */
  #closedBy(
    window: Window,
    index: number,
  ): { readonly windows: readonly Window[]; readonly index: number; readonly to: EpochMs } {
    const isClosed = (other: Window): boolean => {
      const reaches = other.from < window.from && window.from < other.to;
      return other.open && reaches && sameRunner(other, window);
    };
    const windows = this.#running.filter(isClosed);
    for (let at = index - 1; at >= 0 && (this.#latest[at] ?? 0) > window.from; at -= 1) {
      const other = this.#windows[at];
      if (other !== undefined && other.to !== Number.POSITIVE_INFINITY && isClosed(other)) {
        windows.push(other);
      }
    }
    const indexes = windows.map((other) => this.#indexOf(other));
    return {
      windows,
      index: Math.min(index, ...indexes),
      to: Math.max(Number.NEGATIVE_INFINITY, ...windows.map(({ to }) => to)),
    };
  }

  /** When the runner of the window at `index` starts its next job. */
  #nextStart(window: Window, index: number): EpochMs {
    for (let at = index + 1; at < this.#windows.length; at += 1) {
      const next = this.#windows[at];
      if (next !== undefined && next.from > window.from && sameRunner(next, window)) {
        return next.from;
      }
    }
    return Number.POSITIVE_INFINITY;
  }

  /**
   * A window counts as the last one until the next begins; where owners share the runner's name,
   * for ever.
   */
  #spanOf(
    window: Window,
    about: { readonly index: number; readonly shared: boolean; readonly to: EpochMs },
  ): Span {
    const { from } = window;
    if (about.shared) return { from, to: Number.POSITIVE_INFINITY };
    let at = about.index + 1;
    while (this.#windows[at]?.from === from) at += 1;
    const next = this.#windows[at]?.from ?? Number.POSITIVE_INFINITY;
    return { from, to: Math.max(window.to, about.to, next) };
  }

  /** Brings `#latest` up to date from `from` on; beyond `changed` only as far as it differs. */
  #measure(from: number, changed: number): void {
    for (let at = from; at < this.#windows.length; at += 1) {
      const to = this.#windows[at]?.to ?? Number.POSITIVE_INFINITY;
      const own = to === Number.POSITIVE_INFINITY ? Number.NEGATIVE_INFINITY : to;
      const latest = Math.max(this.#latest[at - 1] ?? Number.NEGATIVE_INFINITY, own);
      if (at > changed && this.#latest[at] === latest) return;
      this.#latest[at] = latest;
    }
  }

  #find(view: JobView): number {
    const window = windowOf(view);
    if (window === undefined) return -1;
    const index = this.#indexOf(window);
    return this.#windows[index]?.view.key === view.key ? index : -1;
  }

  /** Where the window stands, or would. */
  #indexOf(window: Window): number {
    return lowerBound(this.#windows, (other) => byStart(other, window) < 0);
  }

  /** Index of the first window that starts after `time`. */
  #after(time: EpochMs): number {
    return lowerBound(this.#windows, (other) => other.from <= time);
  }
}

/** Index of the first item for which `isBefore` is false. */
export function lowerBound<T>(items: readonly T[], isBefore: (item: T) => boolean): number {
  let low = 0;
  let high = items.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (isBefore(items[middle] as T)) low = middle + 1;
    else high = middle;
  }
  return low;
}

function insert(windows: Window[], window: Window): void {
  windows.splice(
    lowerBound(windows, (other) => byStart(other, window) < 0),
    0,
    window,
  );
}

function removeFrom(windows: Window[], window: Window): void {
  const index = windows.indexOf(window);
  if (index >= 0) windows.splice(index, 1);
}

function count(counts: Map<string, number>, name: string, by: number): void {
  const now = (counts.get(name) ?? 0) + by;
  if (now > 0) counts.set(name, now);
  else counts.delete(name);
}
