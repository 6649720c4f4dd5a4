/**
 * @module How far event time has come for a correlate task: the least of what the partitions of
 * `events` have told.
 */

import type { EpochMs } from "../clock.ts";
import type { State, StateTable } from "../state/state.ts";

export interface Watermarks {
  /**
   * Partition `source` of `events` has come so far. One that goes back changes nothing. A source
   * beyond the count given is taken up from then on: partitions were added.
   */
  heard(source: number, at: EpochMs): void;
  /**
   * No event older than this is expected; undefined until each source was heard. Never goes back.
   */
  watermark(): EpochMs | undefined;
}

export interface WatermarksSettings {
  /** Kept in the tables named `watermarks.…`; after a `rollback` make new Watermarks. */
  readonly state: State;
  /** Partitions of `events`: each of 0 to this many must have been heard. */
  readonly sources: number;
}

const leastKey = "least";

export function createWatermarks({ state, sources }: WatermarksSettings): Watermarks {
  const rows: StateTable<EpochMs> = state.table("watermarks.sources");
  // Kept apart, so that a source that is taken up later does not make it go back over a restart.
  const leastRows: StateTable<EpochMs> = state.table("watermarks.least");
  const heardOf = new Map<number, EpochMs>();
  for (const [source, at] of rows.entries()) heardOf.set(Number(source), at);
  let least = leastRows.get(leastKey);
  let missing = 0;
  for (let source = 0; source < sources; source += 1) if (!heardOf.has(source)) missing += 1;

  function settle(): void {
    if (missing > 0) return;
    let now = Number.POSITIVE_INFINITY;
    for (const at of heardOf.values()) now = Math.min(now, at);
    if (!Number.isFinite(now) || (least !== undefined && now <= least)) return;
    least = now;
    leastRows.put(leastKey, now);
  }

  settle();
  return {
    heard: (source, at) => {
      const known = heardOf.get(source);
      if (known !== undefined && at <= known) return;
      if (known === undefined && source < sources) missing -= 1;
      heardOf.set(source, at);
      rows.put(String(source), at);
      settle();
    },
    // A count that has grown since the last start: the new ones must be heard first, and what was
    // promised before still holds.
    watermark: () => least,
  };
}
