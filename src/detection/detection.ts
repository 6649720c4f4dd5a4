/** @module Detection: event in, matches out; stateless. */

import type { EpochMs } from "../clock.ts";
import type { Event } from "../event/event.ts";
import type { Level } from "../sigma/sigma.ts";

/** What an alert needs to know of its rule, carried along so that a later rule change does not rewrite the past. */
export interface MatchedRule {
  readonly id: string;
  readonly title: string;
  readonly level: Level;
  readonly tags: readonly string[];
  readonly page: boolean;
  readonly response: readonly string[];
  readonly falsePositives: readonly string[];
  readonly runbook?: string;
  readonly dedupe: readonly string[];
  readonly dedupeMs: number;
  readonly causes: Readonly<Record<string, string>>;
}

/** A rule held, with its evidence. */
export interface Match {
  /** Deterministic: hash of rule id and event id, or for a correlation of rule id, group key and window events. */
  readonly id: string;
  readonly rule: MatchedRule;
  /** One sentence, the rule's `reason` with the event's values filled in, else its title. */
  readonly reason: string;
  /** The latest event's. */
  readonly occurredAt: EpochMs;
  /** The latest event's; latency is counted from here. */
  readonly receivedAt: EpochMs;
  /** A correlation's group, in the order of its group-by; [] for a detection. */
  readonly group: readonly (readonly [name: string, value: string])[];
  /** Oldest first, at most 20; a correlation keeps the first and the last of each rule. */
  readonly events: readonly Event[];
  /** Events that took part, including those not kept above. */
  readonly eventCount: number;
}

/** The stateless half, over one rule set. */
export interface Detection {
  /** Every match of the event, in no particular order. */
  detect(event: Event): readonly DetectedMatch[];
}

/** Where a match goes: to people, to the correlations that wait for it, or both. */
export interface DetectedMatch {
  readonly match: Match;
  /** False for a match kept only for correlation (a signal). */
  readonly alerts: boolean;
}
