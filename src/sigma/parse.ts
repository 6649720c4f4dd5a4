/** @module Rule files to rules: every document of a file, each valid or with its problems. */

import { type Problem, shown } from "../error.ts";
import type { Rule } from "./correlation.ts";
import { readCorrelation } from "./correlation-section.ts";
import { readDetection, readLogsource } from "./detection-section.ts";
import { readMeta } from "./meta.ts";
import { described, newReport, type Section } from "./section.ts";
import { parseYaml, type YamlNode } from "./yaml.ts";

export interface ParsedRules {
  readonly rules: readonly Rule[];
  readonly problems: readonly Problem[];
}

/** In UTF-8 bytes. */
const fileSizeMax = 1_000_000;

/**
 * The rules of one YAML file, which may hold many documents. A document with a problem gives no
 * rule and does not keep the others from loading. `path` is what places start with; nothing is read
 * from disk. Correlations keep names as written: give all loaded rules to `resolveRules` next.
 * Never throws.
 */
export function parseRules(text: string, path: string): ParsedRules {
  if (Buffer.byteLength(text) > fileSizeMax) {
    const expected = `a rule file of at most ${fileSizeMax} bytes`;
    const found = `${Buffer.byteLength(text)} bytes`;
    return { rules: [], problems: [{ code: "rule-invalid", place: `${path}:1`, expected, found }] };
  }
  const { documents, problems: yamlProblems } = parseYaml(text, path);
  const problems: Problem[] = [...yamlProblems];
  const rules: Rule[] = [];
  for (const document of documents) {
    const report = newReport();
    const rule = readDocument(document, report);
    problems.push(...report.problems);
    if (rule !== undefined && report.problems.length === 0) rules.push(rule);
  }
  return withoutDuplicates(rules, problems);
}

/** Keeps the first of several rules with one id or one name, and reports the later ones. */
export function withoutDuplicates(
  rules: readonly Rule[],
  problemsBefore: readonly Problem[],
): ParsedRules {
  const problems = [...problemsBefore];
  const placeById = new Map<string, string>();
  const placeByName = new Map<string, string>();
  const kept: Rule[] = [];
  for (const rule of rules) {
    const { id, name, place } = rule;
    const sameId = placeById.get(id);
    const sameName = name === undefined ? undefined : placeByName.get(name);
    const found =
      sameId !== undefined
        ? `id ${id}, also at ${sameId}`
        : sameName !== undefined
          ? `name '${shown(name)}', also at ${sameName}`
          : undefined;
    if (found !== undefined) {
      const expected = "an id and a name of its own";
      problems.push({ code: "rule-duplicate", place, expected, found });
      continue;
    }
    placeById.set(id, place);
    if (name !== undefined) placeByName.set(name, place);
    kept.push(rule);
  }
  return { rules: kept, problems };
}

/** Documents we know and do not obey: loading them in part would change what other rules mean. */
const refusedKeys = new Map([
  ["filter", "a detection or correlation rule (filters are not supported yet)"],
  ["action", "a rule of Sigma 2 ('action' documents were left behind with Sigma 1)"],
]);

function readDocument(node: YamlNode, report: Section["report"]): Rule | undefined {
  if (node.kind !== "map") {
    const expected = "a rule: a map with title, id, …";
    report("rule-invalid", node.place, { expected, found: described(node) });
    return undefined;
  }
  const document: Section = { name: "", map: node, report };
  for (const [key, expected] of refusedKeys) {
    const entry = node.entries.get(key);
    if (entry === undefined) continue;
    report("rule-invalid", entry.place, { expected, found: `'${key}'` });
    return undefined;
  }
  const meta = readMeta(document);
  const correlation = node.entries.get("correlation");
  if (correlation === undefined) {
    const logsource = readLogsource(document);
    return { kind: "detection", ...meta, logsource, detection: readDetection(document) };
  }
  if (node.entries.has("detection")) {
    const expected = "either 'detection' or 'correlation' in one document";
    report("rule-invalid", correlation.place, { expected, found: "both" });
    return undefined;
  }
  if (correlation.value.kind !== "map") {
    const expected = "correlation to be a map";
    const found = described(correlation.value);
    report("rule-invalid", correlation.value.place, { expected, found });
    return undefined;
  }
  return readCorrelation(document, meta);
}
