/**
 * @module Rule files → one immutable rule set: compiled, resolved, each broken rule a problem and
 * the others at work.
 */

import type { Problem } from "../error.ts";
import {
  type CompiledRule,
  type CorrelationRule,
  compileRule,
  type DetectionRule,
  parseRules,
  type Rule,
  resolveRules,
} from "../sigma/sigma.ts";
import { fieldMappingOf } from "./field-mapping.ts";

export interface RuleFile {
  /** As problems name it. */
  readonly path: string;
  readonly text: string;
}

export interface RulesetSettings {
  readonly files: readonly RuleFile[];
  /** Operator lists by name, for `expand`. */
  readonly lists: ReadonlyMap<string, readonly string[]>;
}

/** Rules that work together. Never changes: a reload makes another and swaps it in whole. */
export interface Ruleset {
  readonly detections: readonly CompiledRule[];
  readonly correlations: readonly CorrelationRule[];
  /** Detections and correlations. */
  readonly byId: ReadonlyMap<string, Rule>;
  /**
   * Whether matches of a rule go to people: when no correlation waits for it, or one that says
   * `generate: true`. False for a rule that is not here.
   */
  alerts(ruleId: string): boolean;
  /**
   * Event field names for a field name in a rule, or in a correlation that waits for it; the
   * likeliest first.
   */
  fieldsOf(ruleId: string, name: string): readonly string[];
}

/**
 * Loads all files as one set. A rule with a problem is left out, and so is a correlation that names
 * it; what is left works. Whether a set with problems may replace a running one is the caller's to
 * decide. Pure.
 */
export function loadRuleset({ files, lists }: RulesetSettings): {
  ruleset: Ruleset;
  problems: readonly Problem[];
} {
  const problems: Problem[] = [];
  const compiled = new Map<Rule, CompiledRule>();
  const sound: Rule[] = [];
  for (const { path, text } of files) {
    const parsed = parseRules(text, path);
    problems.push(...parsed.problems);
    for (const rule of parsed.rules) {
      if (rule.kind === "detection") {
        const outcome = compileRule(rule, { mapping: fieldMappingOf(rule.logsource), lists });
        if (isProblems(outcome)) {
          problems.push(...outcome);
          continue;
        }
        compiled.set(rule, outcome);
      }
      sound.push(rule);
    }
  }
  // After compiling, so that no correlation waits for a rule that cannot run.
  const resolved = resolveRules(sound);
  return {
    ruleset: rulesetOf(resolved.rules, compiled),
    problems: [...problems, ...resolved.problems],
  };
}

function isProblems(outcome: CompiledRule | readonly Problem[]): outcome is readonly Problem[] {
  return Array.isArray(outcome);
}

function rulesetOf(rules: readonly Rule[], compiled: ReadonlyMap<Rule, CompiledRule>): Ruleset {
  const byId = new Map(rules.map((rule) => [rule.id, rule]));
  const correlations = rules.filter((rule) => rule.kind === "correlation");
  const waitedFor = new Set(correlations.flatMap((rule) => rule.rules));
  const generated = new Set(
    correlations.filter(({ generate }) => generate).flatMap((rule) => rule.rules),
  );
  const mappings = new Map(
    rules
      .filter((rule): rule is DetectionRule => rule.kind === "detection")
      .map((rule) => [rule.id, fieldMappingOf(rule.logsource)]),
  );
  return {
    detections: rules.flatMap((rule) => compiled.get(rule) ?? []),
    correlations,
    byId,
    alerts: (id) => byId.has(id) && (!waitedFor.has(id) || generated.has(id)),
    fieldsOf: (id, name) => mappings.get(id)?.(name) ?? [name],
  };
}
