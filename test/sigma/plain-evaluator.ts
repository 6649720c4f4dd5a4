/**
 * A rule evaluated the plain way: no preparation, no shortcuts, straight from the rule's data. It
 * covers text, regex-free comparison and the options; slow and meant to be seen to be right.
 */

import type { Condition, DetectionRule, Search, ValueTest } from "../../src/sigma/sigma.ts";
import type { EventFields } from "./rule-text.ts";

type Scalar = string | number | boolean | null;

export function plainMatches(rule: DetectionRule, event: EventFields): boolean {
  const search = (name: string) => plainSearch(rule.detection.searches.get(name)!, event);
  const condition = (node: Condition): boolean => {
    if (node.kind === "search") return search(node.name);
    if (node.kind === "not") return !condition(node.of);
    return node.kind === "and" ? node.of.every(condition) : node.of.some(condition);
  };
  return condition(rule.detection.condition);
}

function plainSearch(search: Search, event: EventFields): boolean {
  switch (search.kind) {
    case "all":
      return search.parts.every((part) => plainSearch(part, event));
    case "any":
      return search.parts.some((part) => plainSearch(part, event));
    case "keyword": {
      const values = Object.values(event).flat();
      return search.test.values.some((word) => {
        return values.some((value) => covers(["*", ...glyphs(String(word)), "*"], value, false));
      });
    }
    case "field":
      return plainField(search.field, search.test, event);
  }
}

function plainField(field: string, test: ValueTest, event: EventFields): boolean {
  const has = Object.hasOwn(event, field);
  const found = has ? event[field]! : null;
  const values = [found].flat() as Scalar[];
  const says = (modifier: string) => test.modifiers.includes(modifier);
  if (says("exists")) return has === test.values[0];
  const holds = (wanted: Scalar): boolean =>
    values.some((value) => plainValue(wanted, value, test));
  const held = says("all") ? test.values.every(holds) : test.values.some(holds);
  return says("neq") ? !held : held;
}

function plainValue(wanted: Scalar, value: Scalar, test: ValueTest): boolean {
  const says = (modifier: string) => test.modifiers.includes(modifier);
  if (wanted === null || value === null) return wanted === value;
  if (says("gte")) return decimal(value) >= Number(wanted);
  if (says("lt")) return decimal(value) < Number(wanted);
  const pattern = glyphs(String(wanted));
  if (says("contains") || says("endswith")) pattern.unshift("*");
  if (says("contains") || says("startswith")) pattern.push("*");
  return covers(pattern, value, says("cased"));
}

function decimal(value: Scalar): number {
  return /^[+-]?\d+(\.\d+)?$/.test(String(value)) ? Number(value) : Number.NaN;
}

/** Characters as written; wildcards stay `*` and `?`, escaped ones come as `\*` and `\?`. */
function glyphs(written: string): string[] {
  const [first, second, ...rest] = [...written];
  if (first === undefined) return [];
  if (first === "\\" && second === "\\") return ["\\", ...glyphs(rest.join(""))];
  if (first === "\\" && (second === "*" || second === "?")) {
    return [`\\${second}`, ...glyphs(rest.join(""))];
  }
  return [first, ...glyphs([second ?? "", ...rest].join(""))];
}

function covers(pattern: readonly string[], value: Scalar, cased: boolean): boolean {
  if (value === null) return false;
  const same = (left: string, right: string): boolean => {
    const plain = left.length > 1 && left.startsWith("\\") ? left.slice(1) : left;
    return cased ? plain === right : sameLetter(plain, right);
  };
  const match = (glyph: number, char: number): boolean => {
    const wanted = pattern[glyph];
    if (wanted === undefined) return char === chars.length;
    if (wanted === "*") {
      for (let next = char; next <= chars.length; next++) if (match(glyph + 1, next)) return true;
      return false;
    }
    const found = chars[char];
    if (found === undefined) return false;
    return (wanted === "?" || same(wanted, found)) && match(glyph + 1, char + 1);
  };
  const chars = [...String(value)];
  return match(0, 0);
}

function sameLetter(left: string, right: string): boolean {
  const code = left.codePointAt(0)?.toString(16) ?? "";
  return new RegExp(`^\\u{${code}}$`, "iu").test(right);
}
