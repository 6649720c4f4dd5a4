/**
 * @module Front door of the rule language: Sigma 2.1 rules in, matchers out. Pure: no events, time or disk.
 * Source: the Sigma specification 2.1.0 (rules, correlations, filters, modifiers).
 */

export { type CompiledRule, compileRule, type FieldMapping, type FieldReader } from "./compile.ts";
export type { CorrelationCondition, CorrelationRule, CorrelationType } from "./correlation.ts";
export { parseRules, type ParsedRules } from "./parse.ts";
export type {
  DetectionRule,
  Level,
  Logsource,
  PipewardenExtension,
  Rule,
  RuleMeta,
} from "./rule.ts";
