/** @module The `correlation:` key. Source: Sigma correlation rules specification 2.1.0. */

import { dayMs } from "../clock.ts";
import {
  type CorrelationCondition,
  type CorrelationRule,
  type CorrelationType,
  correlationTypes,
} from "./correlation.ts";
import { canonicalReference } from "./meta.ts";
import type { RuleMeta } from "./rule.ts";
import {
  described,
  durationOf,
  entryOf,
  flagOf,
  missing,
  refuse,
  refuseUnknownKeys,
  requiredTextOf,
  type Section,
  sectionOf,
  textOf,
  textsOf,
} from "./section.ts";

const keys = ["type", "rules", "group-by", "aliases", "timespan", "condition", "generate"] as const;

/** Known to Sigma or its reference implementation, and not to us: refused by name. */
const typesUnsupported = new Set([
  "value_sum",
  "value_avg",
  "value_percentile",
  "value_median",
  "temporal_extended",
  "temporal_ordered_extended",
]);

const comparisons = ["gt", "gte", "lt", "lte", "eq", "neq"] as const;

/** Windows are kept this long at most. */
const timespanMaxMs = 30 * dayMs;

/** The rule with `rules` and `aliases` as written: names become ids in `resolveRules`. */
export function readCorrelation(document: Section, meta: RuleMeta): CorrelationRule | undefined {
  const section = sectionOf(document, "correlation");
  if (section === undefined) return undefined;
  refuseUnknownKeys(section, keys);
  const type = readType(section);
  const rules = textsOf(section, "rules").map(canonicalReference);
  if (rules.length === 0) missing(section, "rules", "the ids or names of rules");
  const entry = entryOf(section, "rules");
  if (entry !== undefined && new Set(rules).size < rules.length) {
    refuse(section, entry, "a list that names each rule once");
  }
  if (entryOf(section, "timespan") === undefined) missing(section, "timespan", "a duration");
  const timespanMs = durationOf(section, "timespan", timespanMaxMs) ?? 0;
  const condition = readCondition(section, type, rules.length);
  const generate = flagOf(section, "generate") ?? flagOf(document, "generate") ?? false;
  const groupBy = textsOf(section, "group-by");
  const aliases = readAliases(section, rules);
  if (type === undefined || condition === undefined) return undefined;
  const kind = "correlation";
  return { kind, ...meta, type, rules, groupBy, aliases, timespanMs, condition, generate };
}

function readType(section: Section): CorrelationType | undefined {
  const text = requiredTextOf(section, "type");
  const entry = entryOf(section, "type");
  const type = correlationTypes.find((candidate) => candidate === text);
  if (type !== undefined || entry === undefined || text === "") return type;
  const why = typesUnsupported.has(text) ? " (this type is not supported yet)" : "";
  refuse(section, entry, `one of ${correlationTypes.join(", ")}${why}`);
  return undefined;
}

function readCondition(
  section: Section,
  type: CorrelationType | undefined,
  rules: number,
): CorrelationCondition | undefined {
  const entry = entryOf(section, "condition");
  const temporal = type === "temporal" || type === "temporal_ordered";
  if (entry === undefined) {
    if (temporal) return { gte: rules };
    missing(section, "condition", "a map with gt, gte, lt, lte, eq or neq");
    return undefined;
  }
  if (entry.value.kind === "scalar") {
    refuse(section, entry, "a map (conditions as text are not supported yet)");
    return undefined;
  }
  const condition = sectionOf(section, "condition");
  if (condition === undefined) return undefined;
  refuseUnknownKeys(condition, type === "value_count" ? [...comparisons, "field"] : comparisons);
  const bounds = readBounds(condition);
  if (!comparisons.some((key) => condition.map.entries.has(key))) {
    missing(condition, "gte", "at least one of gt, gte, lt, lte, eq, neq");
  }
  if (type !== "value_count") return bounds;
  if (entryOf(condition, "field") === undefined) {
    missing(condition, "field", "the field whose distinct values count");
  }
  return { ...bounds, field: textOf(condition, "field") ?? "" };
}

function readBounds(condition: Section): CorrelationCondition {
  const bounds: { -readonly [Key in (typeof comparisons)[number]]?: number } = {};
  for (const key of comparisons) {
    const entry = entryOf(condition, key);
    if (entry === undefined) continue;
    const value = entry.value.kind === "scalar" ? entry.value.value : undefined;
    if (typeof value === "number" && value >= 0) bounds[key] = value;
    else refuse(condition, entry, "a number of at least 0");
  }
  return bounds;
}

function readAliases(
  section: Section,
  rules: readonly string[],
): ReadonlyMap<string, ReadonlyMap<string, string>> {
  const aliases = new Map<string, ReadonlyMap<string, string>>();
  const written = sectionOf(section, "aliases");
  for (const alias of written?.map.entries.keys() ?? []) {
    const fields = written && sectionOf(written, alias);
    if (fields === undefined) continue;
    const byRule = new Map<string, string>();
    for (const { key, place, value } of fields.map.entries.values()) {
      const rule = canonicalReference(key);
      if (rules.includes(rule)) byRule.set(rule, requiredTextOf(fields, key));
      else {
        section.report("rule-reference-unknown", place, {
          expected: `a rule that ${section.name}.rules names`,
          found: `'${rule}' (for ${described(value)})`,
        });
      }
    }
    aliases.set(alias, byRule);
  }
  return aliases;
}
