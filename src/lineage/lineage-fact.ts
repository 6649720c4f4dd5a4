/**
 * @module LineageFact: a run did something to a thing; it travels on the topic of alerts, before
 * those that hang on it.
 */

import type { EpochMs } from "../clock.ts";
import type { BuildContext } from "../event/build.ts";

export type LineageKind = "cache-saved" | "cache-restored" | "artifact-published" | "token-used";

/**
 * One edge: a run did something to a thing. Derived from joined events; the same event gives the
 * same fact.
 */
export interface LineageFact {
  /** The event it came from: facts are applied once per (event, kind, thing). */
  readonly eventId: string;
  readonly kind: LineageKind;
  /** `cache:<url>`, `artifact:<digest>`, `token:<registry host>/<actor>`. */
  readonly thing: string;
  readonly run: BuildContext;
  readonly occurredAt: EpochMs;
}

/** Why a run is tainted: it restored something an untrusted or suspicious run had saved before. */
export interface Taint {
  readonly thing: string;
  readonly origin: BuildContext;
  readonly savedAt: EpochMs;
  readonly restoredAt: EpochMs;
  /** Readable: `restored a cache entry saved by fork PR #41 of acme/tooling`. */
  readonly reason: string;
}

/** The graph, bounded and kept in State. */
export interface Lineage {
  /**
   * Takes a fact in; answers the `runKey`s whose taint may have changed (for merging incidents).
   */
  apply(fact: LineageFact): readonly string[];
  /**
   * Marks a run as suspicious (it has an alert of level high or above): what it saves and the
   * tokens it held become tainted.
   */
  suspect(run: string, occurredAt: EpochMs): readonly string[];
  /** Transitive, nearest first, at most 16. */
  taintsOf(run: string): readonly Taint[];
  /** Runs that used this token before `at`, latest first: whose credential leaked. */
  holdersOf(token: string, at: EpochMs): readonly BuildContext[];
  /** Sizes now, and what happened at the bounds since the lineage was made. */
  counts(): LineageCounts;
}

/** `…Evicted`: forgotten because a bound or the age was reached. */
export interface LineageCounts {
  readonly things: number;
  readonly thingsEvicted: number;
  readonly runs: number;
  readonly runsEvicted: number;
  /** Older facts of one thing that gave way to newer ones. */
  readonly factsEvicted: number;
}
