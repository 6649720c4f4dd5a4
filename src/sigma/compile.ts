/**
 * @module Rule to matcher, once, at load: closures over sets and patterns; nothing is parsed per
 * event.
 */

import type { Problem } from "../error.ts";
import {
  compileField,
  compileKeyword,
  type FieldMapping,
  type FieldReader,
  type FieldValueLike,
  type Leaf,
  type LeafOptions,
} from "./leaf.ts";
import type { Condition, DetectionRule, Search } from "./rule.ts";

export interface CompileOptions {
  /** Default: a rule's field names are the event's. */
  readonly mapping?: FieldMapping;
  /** Operator lists by name, for `expand`. Default: none. */
  readonly lists?: ReadonlyMap<string, readonly string[]>;
}

/** One leaf of a rule against one event. */
export interface ConditionEvidence {
  /** The search identifier that holds the leaf. */
  readonly search: string;
  /** As the rule names it; "" for a keyword. */
  readonly field: string;
  /** `endswith '.example'`: modifiers and the first values. */
  readonly test: string;
  readonly held: boolean;
  /**
   * What the event has there; absent when it has nothing. For a keyword: the value it was found in.
   */
  readonly value?: FieldValueLike;
}

export interface CompiledRule {
  readonly rule: DetectionRule;
  /**
   * Whether the condition holds. Logsource is the caller's to check. Throws only what the reader
   * throws.
   */
  matches(reader: FieldReader): boolean;
  /**
   * Every leaf of the searches that the condition uses, in the order written, whether it held or
   * not.
   */
  explain(reader: FieldReader): readonly ConditionEvidence[];
}

interface Node {
  readonly cost: number;
  readonly holds: (reader: FieldReader) => boolean;
}

/** The matcher, or every problem that shows only now: regexes, networks, lists. */
export function compileRule(
  rule: DetectionRule,
  options: CompileOptions = {},
): CompiledRule | readonly Problem[] {
  const { mapping = (field) => [field], lists = new Map() } = options;
  const compiler = new Compiler(rule, { mapping, lists });
  const root = compiler.condition(rule.detection.condition);
  if (compiler.problems.length > 0) return compiler.problems;
  const leaves = [...compiler.leaves].flatMap(([search, parts]) => {
    return parts.map((leaf) => ({ search, leaf }));
  });
  return {
    rule,
    matches: root.holds,
    explain: (reader) => leaves.map(({ search, leaf }) => evidenceOf(search, leaf, reader)),
  };
}

function evidenceOf(search: string, leaf: Leaf, reader: FieldReader): ConditionEvidence {
  const { field, test } = leaf;
  const value = leaf.valueIn(reader);
  return {
    search,
    field,
    test,
    held: leaf.holds(reader),
    ...(value === undefined ? {} : { value }),
  };
}

class Compiler {
  readonly problems: Problem[] = [];
  /** By search, each compiled once however often the condition names it. */
  readonly leaves = new Map<string, Leaf[]>();
  readonly #rule: DetectionRule;
  readonly #options: LeafOptions;
  readonly #searches = new Map<string, Node>();

  constructor(rule: DetectionRule, options: LeafOptions) {
    this.#rule = rule;
    this.#options = options;
  }

  condition(condition: Condition): Node {
    switch (condition.kind) {
      case "search":
        return this.#named(condition.name);
      case "not": {
        const { cost, holds } = this.condition(condition.of);
        return { cost, holds: (reader) => !holds(reader) };
      }
      case "and":
        return allOf(condition.of.map((part) => this.condition(part)));
      case "or":
        return anyOf(condition.of.map((part) => this.condition(part)));
    }
  }

  #named(name: string): Node {
    const known = this.#searches.get(name);
    if (known !== undefined) return known;
    const search = this.#rule.detection.searches.get(name);
    const leaves: Leaf[] = [];
    let node = anyOf([]);
    if (search !== undefined) node = this.#search(search, leaves);
    else {
      const { place } = this.#rule;
      const expected = "a search that the rule has";
      this.problems.push({ code: "condition-expected", place, expected, found: `'${name}'` });
    }
    this.leaves.set(name, leaves);
    this.#searches.set(name, node);
    return node;
  }

  #search(search: Search, leaves: Leaf[]): Node {
    if (search.kind === "all") return allOf(search.parts.map((part) => this.#search(part, leaves)));
    if (search.kind === "any") return anyOf(search.parts.map((part) => this.#search(part, leaves)));
    const leaf =
      search.kind === "field"
        ? compileField(search.field, search.test, this.#options)
        : compileKeyword(search.test, this.#options);
    if ("code" in leaf) {
      this.problems.push(leaf);
      return anyOf([]);
    }
    leaves.push(leaf);
    return leaf;
  }
}

/** Cheap parts first: none has an effect, so the order is ours to choose. */
function byCost(nodes: readonly Node[]): readonly Node[] {
  return nodes.toSorted((left, right) => left.cost - right.cost);
}

function costOf(nodes: readonly Node[]): number {
  return nodes.reduce((sum, { cost }) => sum + cost, 0);
}

function allOf(nodes: readonly Node[]): Node {
  const [first] = nodes;
  if (first !== undefined && nodes.length === 1) return first;
  const parts = byCost(nodes).map(({ holds }) => holds);
  return {
    cost: costOf(nodes),
    holds: (reader) => {
      for (const holds of parts) if (!holds(reader)) return false;
      return true;
    },
  };
}

function anyOf(nodes: readonly Node[]): Node {
  const [first] = nodes;
  if (first !== undefined && nodes.length === 1) return first;
  const parts = byCost(nodes).map(({ holds }) => holds);
  return {
    cost: costOf(nodes),
    holds: (reader) => {
      for (const holds of parts) if (holds(reader)) return true;
      return false;
    },
  };
}
