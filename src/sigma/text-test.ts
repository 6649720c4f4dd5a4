/**
 * @module Tests of one text against many patterns, arranged at load so that the common shapes are
 * cheap.
 */

import { literalOf, type Pattern } from "./value.ts";

export interface TextTest {
  /** Rough relative work of one test; cheaper tests go first. */
  readonly cost: number;
  readonly holds: (text: string) => boolean;
}

/** Holds when any pattern covers the whole text. Patterns and texts must be folded alike. */
export function textTest(patterns: readonly Pattern[]): TextTest {
  const exact = new Set<string>();
  const prefixes = new Set<string>();
  const suffixes = new Set<string>();
  const substrings = new Set<string>();
  const globs: TextTest[] = [];
  for (const pattern of patterns) {
    const shape = shapeOf(pattern);
    switch (shape.kind) {
      case "anything":
        return { cost: 1, holds: () => true };
      case "exact":
        exact.add(shape.text);
        break;
      case "prefix":
        prefixes.add(shape.text);
        break;
      case "suffix":
        suffixes.add(shape.text);
        break;
      case "substring":
        substrings.add(shape.text);
        break;
      case "glob":
        globs.push({ cost: 10, holds: globTest(shape.segments) });
        break;
      default:
        shape satisfies never;
    }
  }
  return anyOf([
    ...(exact.size > 0 ? [{ cost: 1, holds: (text: string) => exact.has(text) }] : []),
    ...affixTests([...prefixes], { atEnd: false }),
    ...affixTests([...suffixes], { atEnd: true }),
    ...[...substrings].map((part) => ({ cost: 5, holds: (text: string) => text.includes(part) })),
    ...globs,
  ]);
}

/** Holds when any of them does; none at all never holds. */
export function anyOf(tests: readonly TextTest[]): TextTest {
  const [first] = tests;
  if (first === undefined) return { cost: 0, holds: () => false };
  if (tests.length === 1) return first;
  const parts = tests.map((test) => test.holds);
  return {
    cost: tests.reduce((sum, test) => sum + test.cost, 0),
    holds: (text) => {
      for (const holds of parts) if (holds(text)) return true;
      return false;
    },
  };
}

/** What lies between two `*`; null is a `?`. */
type Segment = readonly (string | null)[];

type Shape =
  | { readonly kind: "anything" }
  | { readonly kind: "exact" | "prefix" | "suffix" | "substring"; readonly text: string }
  | { readonly kind: "glob"; readonly segments: readonly Segment[] };

function shapeOf(pattern: Pattern): Shape {
  const segments: (string | null)[][] = [[]];
  for (const part of pattern) {
    const segment = segments[segments.length - 1];
    if ("text" in part) segment?.push(part.text);
    else if (part.wild === "?") segment?.push(null);
    else segments.push([]);
  }
  // Empty segments in the middle come from `**`, which is `*`.
  const last = segments.length - 1;
  const kept = segments.filter((segment, at) => segment.length > 0 || at === 0 || at === last);
  if (kept.every((segment) => segment.length === 0)) {
    return kept.length === 1 ? { kind: "exact", text: "" } : { kind: "anything" };
  }
  const literal = literalOf(pattern);
  if (literal !== undefined) return { kind: "exact", text: literal };
  const filled = kept.filter((segment) => segment.length > 0);
  const text = filled[0]?.[0];
  const plain = filled.length === 1 && filled[0]?.length === 1 && typeof text === "string";
  if (!plain || kept.length === 1) return { kind: "glob", segments: kept };
  const startsOpen = kept[0]?.length === 0;
  const endsOpen = kept[kept.length - 1]?.length === 0;
  return { kind: startsOpen ? (endsOpen ? "substring" : "suffix") : "prefix", text };
}

/** From here on a look-up per distinct length beats trying one after the other. */
const affixesTriedMax = 8;

function affixTests(
  affixes: readonly string[],
  at: { readonly atEnd: boolean },
): readonly TextTest[] {
  if (affixes.length <= affixesTriedMax) {
    return affixes.map((affix) => ({
      cost: 2,
      holds: at.atEnd ? (text) => text.endsWith(affix) : (text) => text.startsWith(affix),
    }));
  }
  const byLength = new Map<number, Set<string>>();
  for (const affix of affixes) {
    const known = byLength.get(affix.length);
    if (known === undefined) byLength.set(affix.length, new Set([affix]));
    else known.add(affix);
  }
  const lengths = [...byLength].sort(([left], [right]) => left - right);
  const holds = (text: string): boolean => {
    for (const [length, known] of lengths) {
      if (length > text.length) return false;
      const affix = at.atEnd ? text.slice(text.length - length) : text.slice(0, length);
      if (known.has(affix)) return true;
    }
    return false;
  };
  return [{ cost: 2 * lengths.length, holds }];
}

/**
 * First and last segment are tied to the ends; those between are found from left to right, which is
 * always right.
 */
function globTest(segments: readonly Segment[]): (text: string) => boolean {
  const first = segments[0] ?? [];
  if (segments.length === 1) return (text) => endAt(first, text, 0) === text.length;
  const middle = segments.slice(1, -1);
  const last = segments[segments.length - 1] ?? [];
  return (text) => {
    let at = endAt(first, text, 0);
    for (const segment of middle) {
      if (at === -1) return false;
      at = endOfNext(segment, text, at);
    }
    return at !== -1 && endsWith(last, text, at);
  };
}

/** Where the segment ends when it stands at `at`; -1 when it does not. */
function endAt(segment: Segment, text: string, at: number): number {
  let end = at;
  for (const part of segment) {
    if (part !== null) {
      if (!text.startsWith(part, end)) return -1;
      end += part.length;
      continue;
    }
    const point = text.codePointAt(end);
    if (point === undefined) return -1;
    end += point > 0xffff ? 2 : 1;
  }
  return end;
}

/** Where the first occurrence at or after `from` ends; -1 when there is none. */
function endOfNext(segment: Segment, text: string, from: number): number {
  const lead = segment[0];
  for (let at = from; at <= text.length; at++) {
    if (typeof lead === "string") {
      at = text.indexOf(lead, at);
      if (at === -1) return -1;
    }
    const end = endAt(segment, text, at);
    if (end !== -1) return end;
  }
  return -1;
}

/** Whether the text ends with the segment, which may not begin before `from`. */
function endsWith(segment: Segment, text: string, from: number): boolean {
  let at = text.length;
  for (let index = segment.length - 1; index >= 0; index--) {
    const part = segment[index];
    if (typeof part === "string") {
      if (!text.endsWith(part, at)) return false;
      at -= part.length;
    } else {
      const unit = text.charCodeAt(at - 1);
      const before = text.charCodeAt(at - 2);
      const pair = unit >= 0xdc00 && unit <= 0xdfff && before >= 0xd800 && before <= 0xdbff;
      at -= pair ? 2 : 1;
    }
    if (at < from) return false;
  }
  return true;
}
