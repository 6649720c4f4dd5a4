/** @module Tells of what was let go at a bound, as counts that grow. */

import type { Emit } from "../telemetry.ts";

/** Tells by how much each eviction count has grown since it was last called. */
export function evictionTeller(emit: Emit, counts: () => object): () => void {
  const told = new Map<string, number>();
  return () => {
    for (const [name, count] of Object.entries(counts()) as [string, number][]) {
      const what = /^(.*)(Evicted|Full)$/.exec(name)?.[1];
      if (what === undefined) continue;
      emit.evicted({ what, reason: "bound", count: count - (told.get(name) ?? 0) });
      told.set(name, count);
    }
  };
}
