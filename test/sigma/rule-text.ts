/** Rule documents for tests: the fixed part once, so that each test shows only what it is about. */

import type { Problem } from "../../src/error.ts";
import type { CompiledRule, DetectionRule } from "../../src/sigma/sigma.ts";
import {
  compileRule,
  type FieldReader,
  type FieldValueLike,
  parseRules,
} from "../../src/sigma/sigma.ts";

export const head = `title: A rule
id: 11111111-2222-4333-8444-555555555555
logsource:
  product: linux
`;

/** A rule whose `detection:` starts on line 5. */
export function ruleText(detection: string): string {
  return `${head}detection:\n${detection}\n`;
}

/** A rule with one search `s` of this one field, as YAML. */
export function fieldRule(field: string): string {
  return ruleText(`  s:\n    ${field}\n  condition: s`);
}

export type EventFields = Readonly<Record<string, FieldValueLike>>;

export function readerOf(fields: EventFields): FieldReader {
  return {
    field: (name) => (Object.hasOwn(fields, name) ? fields[name] : undefined),
    values: () => Object.values(fields),
  };
}

export interface LoadOptions {
  readonly lists?: ReadonlyMap<string, readonly string[]>;
  readonly mapping?: (field: string) => readonly string[];
}

/** The compiled rule, or every problem on the way. */
export function load(text: string, options: LoadOptions = {}): CompiledRule | readonly Problem[] {
  const { rules, problems } = parseRules(text, "a.yml");
  if (problems.length > 0) return problems;
  return compileRule(rules[0] as DetectionRule, options);
}

export function loaded(text: string, options: LoadOptions = {}): CompiledRule {
  const result = load(text, options);
  if ("matches" in result) return result;
  throw new Error(`does not load: ${JSON.stringify(result)}`);
}

export function problemsOf(text: string, options: LoadOptions = {}): readonly Problem[] {
  const result = load(text, options);
  return "matches" in result ? [] : result;
}

export function holds(text: string, fields: EventFields, options: LoadOptions = {}): boolean {
  return loaded(text, options).matches(readerOf(fields));
}
