/** @module What a correlation promises, and what it is made of. */

import type { EpochMs } from "../clock.ts";
import type { Match, Ruleset } from "../detection/detection.ts";
import type { State } from "../state/state.ts";
import type { RoutedMatch } from "./group-key.ts";

export interface CorrelatedMatch {
  readonly match: Match;
  /** False when another correlation waits for it and it does not alert on its own. */
  readonly alerts: boolean;
}

export interface Correlation {
  /**
   * Which groups of which correlations a match belongs to; none where a group-by field is absent.
   * Pure.
   */
  routes(match: Match): readonly RoutedMatch[];
  /**
   * Puts a match in its window; answers what the window now shows. The same match again changes
   * nothing, unless it brings a build where it had none.
   */
  apply(routed: RoutedMatch): readonly CorrelatedMatch[];
  /**
   * No event older than this is expected: closes windows, answers what waited for that. When that
   * is more than a commit should hold, `isBehind`, and `goOn` does the rest. A group that a match
   * comes to is brought up first, so that nobody can tell how far the others are.
   */
  advance(watermark: EpochMs): readonly CorrelatedMatch[];
  /** Does more of what `advance` left, about as much as that does at once. */
  goOn(): readonly CorrelatedMatch[];
  readonly isBehind: boolean;
}

/** Correlations whose windows can be looked into. */
export interface WindowedCorrelation extends Correlation {
  /**
   * Every episode that stands now, as the match it last was. Costs a pass over all windows: for
   * people and tests.
   */
  standing(): readonly Match[];
}

/** Why entries left a window, or did not get into one. */
export interface EvictedFact {
  readonly correlation: string;
  /**
   * expired: older than timespan and lateness, as intended. late: came when it would already have
   * expired. group-full, groups-full: a bound was met, and something may have been missed.
   */
  readonly reason: "expired" | "late" | "group-full" | "groups-full";
  /** Matches concerned. */
  readonly count: number;
}

export interface CorrelationSettings {
  readonly ruleset: Ruleset;
  readonly state: State;
  /** How long after its timespan an entry is kept for late events, in ms. Default one hour. */
  readonly latenessMs?: number;
  /** Groups of one correlation; the one longest untouched goes first. */
  readonly groupsMax?: number;
  /** Entries of one group; the oldest go first. A rule that asks for more gets what it asks for. */
  readonly entriesMax?: number;
  readonly onEvicted?: (fact: EvictedFact) => void;
}
