/** @module The `logsource:` and `detection:` keys: searches as trees, the condition over them. */

import { shown } from "../error.ts";
import { isFault, parseCondition } from "./condition.ts";
import { modifierProblem } from "./modifier.ts";
import type { Condition, DetectionSection, Logsource, Search, ValueTest } from "./rule.ts";
import {
  described,
  entryOf,
  missing,
  nameOf,
  refuse,
  refuseUnknownKeys,
  type Section,
  sectionOf,
  textOf,
} from "./section.ts";
import type { ListNode, MapEntry, MapNode, Scalar, ScalarNode, YamlNode } from "./yaml.ts";

/**
 * Sigma also allows keys of one's own; an event has none of them, so such a rule could only be half
 * obeyed.
 */
const logsourceKeys = ["product", "category", "service", "definition"] as const;

export function readLogsource(document: Section): Logsource {
  const section = sectionOf(document, "logsource");
  if (section === undefined) {
    if (entryOf(document, "logsource") === undefined) missing(document, "logsource", "a map");
    return {};
  }
  refuseUnknownKeys(section, logsourceKeys);
  const product = textOf(section, "product");
  const category = textOf(section, "category");
  const service = textOf(section, "service");
  const empty = product === undefined && category === undefined && service === undefined;
  // A mistyped key is reported already.
  const known: readonly string[] = logsourceKeys;
  if (empty && [...section.map.entries.keys()].every((key) => known.includes(key))) {
    missing(section, "product", "at least one of product, category, service");
  }
  return {
    ...(product === undefined ? {} : { product }),
    ...(category === undefined ? {} : { category }),
    ...(service === undefined ? {} : { service }),
  };
}

export function readDetection(document: Section): DetectionSection {
  const section = sectionOf(document, "detection");
  const searches = new Map<string, Search>();
  const nothing: Condition = { kind: "or", of: [] };
  if (section === undefined) {
    if (entryOf(document, "detection") === undefined) missing(document, "detection", "a map");
    return { searches, condition: nothing };
  }
  for (const entry of section.map.entries.values()) {
    if (entry.key === "condition") continue;
    if (entry.key === "timeframe") {
      refuse(section, entry, "left out (Sigma 2 puts a timespan in a correlation rule)");
      continue;
    }
    const search = readSearch(section, entry);
    if (search !== undefined) searches.set(entry.key, search);
  }
  // A search that could not be read is still a name: one mistake, one problem.
  const names = [...section.map.entries.keys()].filter((name) => name !== "condition");
  return { searches, condition: readCondition(section, names) ?? nothing };
}

function readCondition(section: Section, names: readonly string[]): Condition | undefined {
  const entry = entryOf(section, "condition");
  if (entry === undefined) {
    missing(section, "condition", "a condition");
    return undefined;
  }
  const items = entry.value.kind === "list" ? entry.value.items : [entry.value];
  const conditions: Condition[] = [];
  for (const item of items) {
    if (item.kind !== "scalar" || item.value === null) {
      refuse(section, { ...entry, value: item }, "a condition or a list of conditions");
      return undefined;
    }
    const parsed = parseCondition(String(item.value), names);
    if (!isFault(parsed)) conditions.push(parsed);
    else section.report("condition-expected", item.placeAt(parsed.offset), parsed);
  }
  if (items.length === 0) refuse(section, entry, "at least one condition");
  const [first] = conditions;
  return conditions.length === 1 ? first : { kind: "or", of: conditions };
}

/** A map: all of it. A list: any of it, maps and keywords mixed. A scalar: one keyword. */
function readSearch(section: Section, entry: MapEntry): Search | undefined {
  const { value } = entry;
  if (value.kind === "map") return readFields(section, entry, value);
  if (value.kind === "scalar") {
    if (value.value !== null) return keywords([value], [], entry.place);
    refuse(section, entry, "a map or a list");
    return undefined;
  }
  const parts: Search[] = [];
  const words: ScalarNode[] = [];
  for (const item of value.items) {
    if (item.kind === "map") {
      const part = readFields(section, entry, item);
      if (part !== undefined) parts.push(part);
    } else if (item.kind === "scalar" && item.value !== null) words.push(item);
    else refuse(section, { ...entry, value: item }, "a list of maps or keywords");
  }
  if (words.length > 0) parts.push(keywords(words, [], entry.place));
  if (value.items.length === 0) refuse(section, entry, "at least one map or keyword");
  return either("any", parts);
}

function readFields(section: Section, owner: MapEntry, map: MapNode): Search | undefined {
  const parts: Search[] = [];
  for (const entry of map.entries.values()) {
    const part = readField(section, owner, entry);
    if (part !== undefined) parts.push(part);
  }
  if (map.entries.size === 0) refuse(section, { ...owner, value: map }, "at least one field");
  return either("all", parts);
}

function readField(section: Section, owner: MapEntry, entry: MapEntry): Search | undefined {
  const [field = "", ...modifiers] = entry.key.split("|");
  const problem = modifierProblem(modifiers, field === "");
  if (problem !== undefined) {
    section.report(problem.code, entry.place, problem);
    return undefined;
  }
  const items = scalarsOf(entry.value);
  if (items === undefined) {
    const name = shown(`${nameOf(section, owner.key)}.${entry.key}`);
    section.report("rule-invalid", entry.value.place, {
      expected: `${name} to be a value or a list of values`,
      found: described(entry.value),
    });
    return undefined;
  }
  if (field !== "") {
    return { kind: "field", field, test: valueTest(items, modifiers, entry.place) };
  }
  return keywords(items, modifiers, entry.place);
}

function scalarsOf(node: YamlNode): readonly ScalarNode[] | undefined {
  if (node.kind === "map") return undefined;
  if (node.kind === "scalar") return [node];
  return node.items.length > 0 && allScalars(node) ? node.items : undefined;
}

function allScalars(list: ListNode): list is ListNode & { items: readonly ScalarNode[] } {
  return list.items.every((item) => item.kind === "scalar");
}

/**
 * Each word under `|all` may stand in another value of the event, so each becomes a test of its
 * own.
 */
function keywords(
  items: readonly ScalarNode[],
  modifiers: readonly string[],
  place: string,
): Search {
  const others = modifiers.filter((modifier) => modifier !== "all");
  if (others.length === modifiers.length) {
    return { kind: "keyword", test: valueTest(items, modifiers, place) };
  }
  const parts = items.map((item): Search => {
    return { kind: "keyword", test: valueTest([item], others, item.place) };
  });
  return either("all", parts) ?? { kind: "all", parts };
}

function valueTest(
  items: readonly ScalarNode[],
  modifiers: readonly string[],
  place: string,
): ValueTest {
  return { modifiers, values: items.map((item): Scalar => item.value), place };
}

function either(kind: "all" | "any", parts: readonly Search[]): Search | undefined {
  return parts.length === 1 ? parts[0] : parts.length === 0 ? undefined : { kind, parts };
}
