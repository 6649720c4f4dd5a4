/**
 * @module Group-by fields and aliases → the groups a match belongs to, each with its canonical
 * key.
 */

import type { Match, Ruleset } from "../detection/detection.ts";
import { type FieldValue, fieldOf } from "../event/event.ts";
import type { CorrelationRule } from "../sigma/sigma.ts";

/** A match on its way to one correlation's group: the record of the `matches` topic. */
export interface RoutedMatch {
  readonly correlation: string;
  /** Canonical form of the group-by values: equal groups have equal keys. */
  readonly groupKey: string;
  readonly group: readonly (readonly [name: string, value: string])[];
  readonly match: Match;
}

/**
 * The most groups one match goes to when a group-by field holds a list; further values are left
 * out.
 */
export const groupsPerMatchMax = 32;

export type Router = (match: Match) => readonly RoutedMatch[];

/**
 * Which groups of which correlations a match belongs to. A group-by field that is absent, null or
 * empty text gives no route: such a group would tie strangers together. A list belongs to the group
 * of each of its values. Pure.
 */
export function createRouter(ruleset: Ruleset): Router {
  const waiting = new Map<string, CorrelationRule[]>();
  for (const rule of ruleset.correlations) {
    for (const id of new Set(rule.rules)) {
      const known = waiting.get(id);
      if (known === undefined) waiting.set(id, [rule]);
      else known.push(rule);
    }
  }
  return (match) =>
    (waiting.get(match.rule.id) ?? []).flatMap((rule) => {
      // A match without the field whose values count can never change that count.
      const field = rule.type === "value_count" ? rule.condition.field : undefined;
      if (field !== undefined && valuesOf(ruleset, { rule, match, name: field }).length === 0) {
        return [];
      }
      return groupsOf(ruleset, rule, match).map((group) => ({
        correlation: rule.id,
        groupKey: JSON.stringify(group.map(([, value]) => value)),
        group,
        match,
      }));
    });
}

interface Asked {
  readonly rule: CorrelationRule;
  readonly match: Match;
  /** A field as the correlation calls it: an alias, a Sigma name or one of ours. */
  readonly name: string;
}

/**
 * The values of one field of a match, as text; the first name the match has a value for decides.
 */
export function valuesOf(ruleset: Ruleset, { rule, match, name }: Asked): readonly string[] {
  const alias = rule.aliases.get(name);
  const field = alias === undefined ? name : alias.get(match.rule.id);
  if (field === undefined) return [];
  // A correlation's own group says what all its events share, so it goes before its latest event.
  const own = match.group.find(([groupName]) => groupName === field);
  if (own !== undefined) return [own[1]];
  const event = match.events.at(-1);
  if (event === undefined) return [];
  for (const candidate of ruleset.fieldsOf(match.rule.id, field)) {
    const texts = textsOf(fieldOf(event.fields, candidate));
    if (texts.length > 0) return texts;
  }
  return [];
}

function textsOf(value: FieldValue | undefined): readonly string[] {
  const list = Array.isArray(value) ? value : [value];
  const texts = list.flatMap((item) => (item === undefined || item === null ? [] : [String(item)]));
  return [...new Set(texts.filter((text) => text !== ""))];
}

function groupsOf(ruleset: Ruleset, rule: CorrelationRule, match: Match): RoutedMatch["group"][] {
  let groups: (readonly (readonly [string, string])[])[] = [[]];
  for (const name of rule.groupBy) {
    const values = valuesOf(ruleset, { rule, match, name });
    groups = groups
      .flatMap((group) => values.map((value) => [...group, [name, value] as const]))
      .slice(0, groupsPerMatchMax);
  }
  return groups;
}
