/**
 * @module YAML settings and lists to plain values. Rules have their own reader, which remembers
 * places.
 */

import { load, YAMLException } from "js-yaml";
import { type Problem, shown } from "./error.ts";

/**
 * Aliases can blow a small text up into gigabytes, and nothing we read needs them or deep nesting.
 */
const limits = { maxDepth: 100, maxAliases: 0 } as const;

/**
 * The one document of a YAML text, or the problem with its line and column. An empty text is
 * undefined.
 */
export function readYaml(text: string, path: string): { value: unknown } | { problem: Problem } {
  // The parser refuses a text without a document; a file of comments alone is a legal one that says
  // nothing.
  if (text.split("\n").every((line) => /^\s*(#|$)/.test(line))) return { value: undefined };
  try {
    return { value: load(text, limits) };
  } catch (error) {
    if (!(error instanceof YAMLException)) throw error;
    const place = `${path}:${(error.mark?.line ?? 0) + 1}:${(error.mark?.column ?? 0) + 1}`;
    return {
      problem: { code: "yaml-invalid", place, expected: "YAML", found: shown(error.reason) },
    };
  }
}
