/**
 * @module What time it is for one task: the arrival of what it reads, and the wall clock once there
 * is nothing left to read.
 */

import type { BusRecord } from "../bus/bus.ts";
import { type Clock, type EpochMs, secondMs } from "../clock.ts";

export interface TaskTimeSettings {
  readonly clock: Clock;
  /** Records of its partition that are known to wait on the bus; undefined before that is told. */
  readonly behind: () => number | undefined;
}

/** Never goes back, but for a batch that is to come again. */
export class TaskTime {
  readonly #settings: TaskTimeSettings;
  /** Undefined for one that has not read anything and does not know whether there is anything. */
  #now: EpochMs | undefined;

  constructor(settings: TaskTimeSettings) {
    this.#settings = settings;
  }

  get now(): EpochMs | undefined {
    return this.#now;
  }

  /**
   * The records, none of which arrived before one that was handled, nor later than now: stamps are
   * those of whoever took an event in, and a clock that runs ahead must not take all others with
   * it.
   */
  stamped(records: readonly BusRecord[]): readonly BusRecord[] {
    const latest = Math.max(this.#settings.clock.now(), this.#now ?? 0);
    let earliest = this.#now ?? 0;
    return records.map((record) => {
      const appendedAt = Math.max(earliest, Math.min(record.appendedAt, latest));
      earliest = appendedAt;
      return appendedAt === record.appendedAt ? record : { ...record, appendedAt };
    });
  }

  /** The records have come; answers the time since then. */
  arrived(records: readonly BusRecord[]): EpochMs {
    let now = this.#now ?? 0;
    for (const { appendedAt } of records) now = Math.max(now, appendedAt);
    this.#now = now;
    return now;
  }

  /**
   * The wall clock only for one that has caught up: what it has yet to read came before that.
   * Undefined while nothing is known.
   */
  wall(): EpochMs | undefined {
    const { behind, clock } = this.#settings;
    if (behind() === 0) this.#now = Math.max(this.#now ?? 0, clock.now());
    return this.#now;
  }

  /** As it was before a batch that failed: when that comes again, it has not come before. */
  back(before: EpochMs | undefined): void {
    this.#now = before;
  }
}

/** Records that arrived within this time are applied at once, unless something is due between. */
const chunkMs = secondMs;

/**
 * Where the records end that are applied together with the one at `start`: before the first that
 * came when `due` had come too.
 */
export function chunkEnd(
  records: readonly BusRecord[],
  start: number,
  due: EpochMs | undefined,
): number {
  const from = records[start]?.appendedAt ?? 0;
  // What is due already had its turn before these.
  const until = Math.min(from + chunkMs, due === undefined || due <= from ? Infinity : due);
  let end = start + 1;
  while (end < records.length && (records[end]?.appendedAt ?? 0) < until) end += 1;
  return end;
}
