/** @module Correlation rules as data. Source: Sigma correlation rules specification 2.1.0. */

import type { DetectionRule, RuleMeta } from "./rule.ts";

export const correlationTypes = [
  "event_count",
  "value_count",
  "temporal",
  "temporal_ordered",
] as const;
export type CorrelationType = (typeof correlationTypes)[number];

/** Every bound present must hold: two together are a range. */
export interface CorrelationCondition {
  readonly gt?: number;
  readonly gte?: number;
  readonly lt?: number;
  readonly lte?: number;
  readonly eq?: number;
  readonly neq?: number;
  /** value_count: the field whose distinct values count. */
  readonly field?: string;
}

export interface CorrelationRule extends RuleMeta {
  readonly kind: "correlation";
  readonly type: CorrelationType;
  /** Ids of the rules it waits for, resolved from ids or names, in the order written. */
  readonly rules: readonly string[];
  readonly groupBy: readonly string[];
  /** alias → rule id → field. */
  readonly aliases: ReadonlyMap<string, ReadonlyMap<string, string>>;
  readonly timespanMs: number;
  /** temporal without a condition: every rule once. */
  readonly condition: CorrelationCondition;
  /** True: the rules it names also alert on their own. */
  readonly generate: boolean;
}

/** What a rule document may be. */
export type Rule = DetectionRule | CorrelationRule;
