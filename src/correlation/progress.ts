/**
 * @module How far event time has come in one partition of `events`: the watermark of one detect
 * task.
 */

import type { EpochMs } from "../clock.ts";
import { type Feed, feeds } from "../event/event.ts";
import type { State, StateTable } from "../state/state.ts";

/**
 * The watermark depends only on the events handled, with their arrivals, and on the largest time
 * that has passed; never on how often `passed` was called on the way. So a task that catches up
 * after a pause ends where one that never paused is.
 */
export interface Progress {
  /**
   * An event of this feed was handled; `arrivedAt` is when its record came to the bus, never the
   * wall clock. Answers whether the event is late: older than the watermark as it was by then.
   */
  saw(event: { readonly feed: Feed; readonly occurredAt: EpochMs }, arrivedAt: EpochMs): boolean;
  /**
   * Time has come this far: the arrival of the next record, and the wall clock only while no record
   * waits.
   */
  passed(now: EpochMs): void;
  /** No event older than this is expected; undefined until any time is known. Never goes back. */
  watermark(): EpochMs | undefined;
  /**
   * The time at which `passed` next moves the watermark if no event comes; 0, at once, while there
   * is none.
   */
  nextDue(): EpochMs;
}

export interface ProgressSettings {
  /** Kept in the tables named `progress.…`; after a `rollback` make a new Progress. */
  readonly state: State;
  /** How much later than its neighbours an event of the feed may come, in ms. */
  readonly latenessOf: (feed: Feed) => number;
  /** A feed that brings nothing for so long, in ms, is no longer waited for. */
  readonly idleMs: number;
  /** The watermark moves in steps of this many ms, and State is written no more often. */
  readonly stepMs: number;
}

/** What is known of one feed, in whole steps: smaller changes leave no trace, in State or here. */
interface FeedRow {
  /** Its newest event, rounded down: what is promised must hold. */
  readonly newestAt: EpochMs;
  /** When one last arrived, rounded up, so that nothing counts as idle too soon. */
  readonly arrivedAt: EpochMs;
}

interface ClockRow {
  /** The largest time known to have passed, in whole steps. */
  readonly now: EpochMs;
  readonly watermark: EpochMs;
}

const clockKey = "clock";

export function createProgress(settings: ProgressSettings): Progress {
  return new PartitionProgress(settings);
}

class PartitionProgress implements Progress {
  readonly #latenessOf: (feed: Feed) => number;
  readonly #largestLateness: number;
  readonly #idleMs: number;
  readonly #stepMs: number;
  readonly #rows: StateTable<FeedRow>;
  readonly #clockRows: StateTable<ClockRow>;
  readonly #feeds = new Map<Feed, FeedRow>();
  #clock: ClockRow | undefined;

  constructor({ state, latenessOf, idleMs, stepMs }: ProgressSettings) {
    this.#latenessOf = latenessOf;
    this.#largestLateness = Math.max(...feeds.map(latenessOf));
    this.#idleMs = idleMs;
    this.#stepMs = stepMs;
    this.#rows = state.table("progress.feeds");
    this.#clockRows = state.table("progress.clock");
    this.#clock = this.#clockRows.get(clockKey);
    for (const feed of feeds) {
      const row = this.#rows.get(feed);
      if (row !== undefined) this.#feeds.set(feed, row);
    }
  }

  saw(event: { readonly feed: Feed; readonly occurredAt: EpochMs }, arrivedAt: EpochMs): boolean {
    const { feed, occurredAt } = event;
    const before = this.#move(arrivedAt);
    const known = this.#feeds.get(feed);
    // A stamp from the future says no more than that the event has arrived.
    const newestAt = this.#down(Math.min(occurredAt, arrivedAt));
    const row = {
      newestAt: Math.max(newestAt, known?.newestAt ?? Number.NEGATIVE_INFINITY),
      arrivedAt: Math.max(this.#up(arrivedAt), known?.arrivedAt ?? Number.NEGATIVE_INFINITY),
    };
    if (row.newestAt !== known?.newestAt || row.arrivedAt !== known.arrivedAt) {
      this.#feeds.set(feed, row);
      this.#rows.put(feed, row);
      this.#move(arrivedAt);
    }
    return occurredAt < before.watermark;
  }

  passed(now: EpochMs): void {
    this.#move(now);
  }

  watermark(): EpochMs | undefined {
    return this.#clock?.watermark;
  }

  nextDue(): EpochMs {
    if (this.#clock === undefined) return 0;
    const target = this.#down(this.#clock.watermark) + this.#stepMs;
    if (this.#feeds.size === 0) return this.#up(target + this.#largestLateness);
    let due = Number.NEGATIVE_INFINITY;
    for (const [feed, { newestAt, arrivedAt }] of this.#feeds) {
      const lateness = this.#latenessOf(feed);
      if (newestAt - lateness >= target) continue;
      due = Math.max(due, arrivedAt + this.#idleMs, target + lateness);
    }
    // All of it reached: only where a setting changed since the last start.
    return Math.max(0, this.#up(due));
  }

  /** Takes in how far time has come; answers where that leaves the watermark. */
  #move(time: EpochMs): ClockRow {
    const known = this.#clock;
    const now = Math.max(this.#down(time), known?.now ?? Number.NEGATIVE_INFINITY);
    const reached = this.#down(this.#reachedAt(now));
    const watermark = Math.max(reached, known?.watermark ?? Number.NEGATIVE_INFINITY);
    if (known !== undefined && now === known.now && watermark === known.watermark) return known;
    this.#clock = { now, watermark };
    this.#clockRows.put(clockKey, this.#clock);
    return this.#clock;
  }

  /**
   * Grows with `now` while no event comes, because nothing is newer than its arrival: what lies
   * between two calls can be left out.
   */
  #reachedAt(now: EpochMs): EpochMs {
    // Nothing that could hold it back, but a first event may be as late as any.
    if (this.#feeds.size === 0) return now - this.#largestLateness;
    let reached = Number.POSITIVE_INFINITY;
    for (const [feed, { newestAt, arrivedAt }] of this.#feeds) {
      const upTo = now - arrivedAt >= this.#idleMs ? now : newestAt;
      reached = Math.min(reached, upTo - this.#latenessOf(feed));
    }
    return reached;
  }

  #down(time: EpochMs): EpochMs {
    return Math.floor(time / this.#stepMs) * this.#stepMs;
  }

  #up(time: EpochMs): EpochMs {
    return Math.ceil(time / this.#stepMs) * this.#stepMs;
  }
}
