/** @module Correlation: matches over a timespan per group; the stateful half. */

import type { EpochMs } from "../clock.ts";
import type { Match } from "../detection/detection.ts";

/** A match on its way to one correlation's group: the record of the `matches` topic. */
export interface RoutedMatch {
  readonly correlation: string;
  /** Canonical form of the group-by values: equal groups have equal keys. */
  readonly groupKey: string;
  readonly group: readonly (readonly [name: string, value: string])[];
  readonly match: Match;
}

export interface CorrelatedMatch {
  readonly match: Match;
  /** False when another correlation waits for it and it does not alert on its own. */
  readonly alerts: boolean;
}

export interface Correlation {
  /** Which groups of which correlations a match belongs to; none where a group-by field is absent. Pure. */
  routes(match: Match): readonly RoutedMatch[];
  /** Puts a match in its window; answers what the window now shows. The same match again changes nothing. */
  apply(routed: RoutedMatch): readonly CorrelatedMatch[];
  /** No event older than this is expected: closes windows, answers what waited for that. */
  advance(watermark: EpochMs): readonly CorrelatedMatch[];
}
