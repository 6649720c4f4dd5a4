/**
 * @module One pure function per correlation type: what a stretch of event time measures, and
 * whether that holds.
 */

import type { EpochMs } from "../clock.ts";
import type { CorrelationCondition, CorrelationRule } from "../sigma/sigma.ts";
import type { SortedList } from "./sorted.ts";

/** What the measures read of a group. Both ends of a stretch belong to it. */
export interface Measured {
  /** Matches in the stretch. */
  count(from: EpochMs, to: EpochMs): number;
  /** Distinct values of the condition's field in the stretch. */
  distinct(from: EpochMs, to: EpochMs): number;
  /** When a rule matched, ascending. */
  stampsOf(rule: string): SortedList<EpochMs> | undefined;
}

/** A correlation rule made ready to be evaluated. */
export interface Aggregate {
  /** True: an upper bound, so nothing can be said before the window is over. */
  readonly waits: boolean;
  holds(measured: number): boolean;
  /** Never shrinks when the stretch grows; the searches in coverage.ts stand on that. */
  measure(group: Measured, from: EpochMs, to: EpochMs): number;
  /** temporal_ordered over all its rules: only a match of this rule completes it. */
  readonly last?: string;
  /** The rule that a completed window begins with; undefined: with its oldest match. */
  readonly first?: string;
  /**
   * temporal_ordered over all its rules: the earliest end of a chain that begins at or after
   * `from`.
   */
  readonly earliestEnd?: (group: Measured, from: EpochMs) => EpochMs | undefined;
  /** The largest number the condition asks for: a group must be able to hold that many. */
  readonly threshold: number;
}

export function aggregateOf(rule: CorrelationRule): Aggregate {
  const rules = [...new Set(rule.rules)];
  const temporal = rule.type === "temporal" || rule.type === "temporal_ordered";
  const condition = hasBound(rule.condition)
    ? rule.condition
    : { gte: temporal ? rules.length : 1 };
  const base = {
    waits: waits(condition),
    holds: (measured: number) => holds(condition, measured),
    threshold: Math.max(1, ...boundsOf(condition)) + 1,
  };
  switch (rule.type) {
    case "event_count":
      return { ...base, measure: (group, from, to) => group.count(from, to) };
    case "value_count":
      return { ...base, measure: (group, from, to) => group.distinct(from, to) };
    case "temporal":
      return {
        ...base,
        measure: (group, from, to) => rules.filter((id) => within(group, id, { from, to })).length,
      };
    case "temporal_ordered": {
      const measure = (group: Measured, from: EpochMs, to: EpochMs) =>
        orderedLength(rules, group, { from, to });
      const [first, last] = [rules[0], rules.at(-1)];
      // Fewer than all will do, or too many may come: then any match can complete it.
      const isWhole = !base.waits && !base.holds(rules.length - 1);
      if (!isWhole || first === undefined || last === undefined) return { ...base, measure };
      const earliestEnd = (group: Measured, from: EpochMs) => chainEnd(rules, group, from);
      return { ...base, measure, first, last, earliestEnd };
    }
    default:
      return rule.type satisfies never;
  }
}

function boundsOf(condition: CorrelationCondition): readonly number[] {
  const { gt, gte, lt, lte, eq, neq } = condition;
  return [gt, gte, lt, lte, eq, neq].filter((bound) => bound !== undefined);
}

function hasBound(condition: CorrelationCondition): boolean {
  return boundsOf(condition).length > 0;
}

function waits({ lt, lte, eq, neq }: CorrelationCondition): boolean {
  return [lt, lte, eq, neq].some((bound) => bound !== undefined);
}

function holds({ gt, gte, lt, lte, eq, neq }: CorrelationCondition, measured: number): boolean {
  return (
    (gt === undefined || measured > gt) &&
    (gte === undefined || measured >= gte) &&
    (lt === undefined || measured < lt) &&
    (lte === undefined || measured <= lte) &&
    (eq === undefined || measured === eq) &&
    (neq === undefined || measured !== neq)
  );
}

interface Stretch {
  readonly from: EpochMs;
  readonly to: EpochMs;
}

/** The first stamp of a rule at or after `from`. */
export function firstStamp(group: Measured, rule: string, from: EpochMs): EpochMs | undefined {
  const stamps = group.stampsOf(rule);
  return stamps?.at(stamps.firstNot((stamp) => stamp < from));
}

function within(group: Measured, rule: string, { from, to }: Stretch): boolean {
  const stamp = firstStamp(group, rule, from);
  return stamp !== undefined && stamp <= to;
}

/**
 * Equal stamps count as ordered: feeds stamp to the second, and an order nobody recorded must not
 * hide an attack.
 */
function chainEnd(rules: readonly string[], group: Measured, from: EpochMs): EpochMs | undefined {
  let end: EpochMs | undefined = from;
  for (const rule of rules) {
    if (end === undefined) return undefined;
    end = firstStamp(group, rule, end);
  }
  return end;
}

/** How many of the rules matched in their order, when rules may be left out: the longest chain. */
function orderedLength(rules: readonly string[], group: Measured, stretch: Stretch): number {
  // ends[n]: the earliest end of a chain of n rules so far. Earliest is best: it leaves most room
  // for the next.
  const ends: EpochMs[] = [stretch.from];
  for (const rule of rules) {
    for (let length = ends.length; length >= 1; length -= 1) {
      const end = firstStamp(group, rule, ends[length - 1] ?? stretch.from);
      if (end === undefined || end > stretch.to) continue;
      const known = ends[length];
      if (known === undefined || end < known) ends[length] = end;
    }
  }
  return ends.length - 1;
}
