/**
 * @module Front door of the rule language: Sigma 2.1 rules in, matchers out. Pure: no events, time
 * or disk.
 * Source: the Sigma specification 2.1.0 (rules, correlations, filters, modifiers).
 */

export {
  type CompiledRule,
  type CompileOptions,
  type ConditionEvidence,
  compileRule,
} from "./compile.ts";
export type {
  CorrelationCondition,
  CorrelationRule,
  CorrelationType,
  Rule,
} from "./correlation.ts";
export type { FieldMapping, FieldReader, FieldValueLike } from "./leaf.ts";
export { type ParsedRules, parseRules } from "./parse.ts";
export { resolveRules } from "./resolve.ts";
export {
  type Condition,
  type DetectionRule,
  type DetectionSection,
  type Level,
  type Logsource,
  levels,
  type PipewardenExtension,
  type RuleMeta,
  type Search,
  type ValueTest,
} from "./rule.ts";
