/** @module Tests of one value of an event, made from the values and modifiers of a rule. */

import { RE2JS, RE2JSException } from "re2js";
import { type Problem, shown } from "../error.ts";
import { expandValue } from "./expand.ts";
import { fold } from "./fold.ts";
import type { Carrier, Plan } from "./modifier.ts";
import { type Network, networkTest, parseNetwork } from "./network-test.ts";
import { anyOf, type TextTest, textTest } from "./text-test.ts";
import { type Pattern, type PatternPart, parsePattern } from "./value.ts";

export type ScalarLike = string | number | boolean | null;

export interface ScalarTest {
  readonly cost: number;
  readonly holds: (value: ScalarLike) => boolean;
  /** The rule asks for null: an absent field holds too. */
  readonly acceptsNull: boolean;
}

export type Fault = Omit<Problem, "place">;

export type Lists = ReadonlyMap<string, readonly string[]>;

/** A value as text: `4625` and `"4625"` are equal, and so are `true` and `"true"`. */
export function scalarText(value: string | number | boolean): string {
  return typeof value === "string" ? value : String(value);
}

/** A test that holds when any of the values does, or why there is none. */
export function scalarTest(
  values: readonly ScalarLike[],
  plan: Plan,
  lists: Lists,
): ScalarTest | Fault {
  const written = expanded(values, plan, lists);
  if ("code" in written) return written;
  switch (plan.comparison.kind) {
    case "text":
      return textScalarTest(written, plan, plan.comparison.shape);
    case "regex":
      return fromTextTest(regexTest(written, plan.regexFlags));
    case "network":
      return fromTextTest(networksTest(written));
    case "number":
      return numberTest(written, plan.comparison.holds);
    default:
      // exists and fieldref ask about the event, not about one value.
      return invalid("a comparison with a value", "another");
  }
}

export function isFault(result: object): result is Fault {
  return "code" in result;
}

export function invalid(expected: string, value: unknown): Fault {
  return { code: "modifier-invalid", expected, found: shown(value) };
}

function expanded(
  values: readonly ScalarLike[],
  plan: Plan,
  lists: Lists,
): readonly ScalarLike[] | Fault {
  if (!plan.options.has("expand")) return values;
  const all: ScalarLike[][] = [];
  for (const value of values) {
    const texts = typeof value === "string" ? expandValue(value, lists) : [value];
    if ("code" in texts) return texts;
    all.push([...texts]);
  }
  return all.flat();
}

function textScalarTest(
  values: readonly ScalarLike[],
  plan: Plan,
  shape: (pattern: Pattern) => Pattern,
): ScalarTest | Fault {
  const cased = plan.options.has("cased");
  const patterns: Pattern[] = [];
  const texts = values.filter((value) => value !== null);
  const acceptsNull = texts.length < values.length;
  // "contains nothing" has no meaning; "is nothing" has.
  const isEquality = shape([]).length === 0 && plan.transforms.length === 0;
  if (acceptsNull && !isEquality) return invalid("a value other than null", null);
  for (const value of texts) {
    const carriers = transformed(parsePattern(scalarText(value)), plan);
    if ("expected" in carriers) return invalid(carriers.expected, value);
    for (const carrier of carriers) {
      if (!("pattern" in carrier)) return invalid("'base64' after this transform", value);
      const shaped = shape(carrier.pattern);
      patterns.push(cased ? shaped : shaped.map(foldedPart));
    }
  }
  const test = textTest(patterns);
  return { ...fromTest(test, cased), acceptsNull };
}

function transformed(pattern: Pattern, plan: Plan): readonly Carrier[] | { expected: string } {
  let carriers: readonly Carrier[] = [{ pattern }];
  for (const apply of plan.transforms) {
    const next: Carrier[] = [];
    for (const carrier of carriers) {
      const result = apply(carrier);
      if ("expected" in result) return result;
      next.push(...result);
    }
    carriers = next;
  }
  return carriers;
}

function foldedPart(part: PatternPart): PatternPart {
  return "text" in part ? { text: fold(part.text) } : part;
}

function fromTextTest(test: TextTest | Fault): ScalarTest | Fault {
  return isFault(test) ? test : { ...fromTest(test, true), acceptsNull: false };
}

function fromTest({ cost, holds }: TextTest, cased: boolean): Omit<ScalarTest, "acceptsNull"> {
  return {
    cost,
    holds: cased
      ? (value) => value !== null && holds(scalarText(value))
      : (value) => value !== null && holds(fold(scalarText(value))),
  };
}

/** Regexes are run by re2js alone: linear in the event's text whatever the rule says. */
function regexTest(values: readonly ScalarLike[], flags: number): TextTest | Fault {
  const tests: TextTest[] = [];
  for (const value of values) {
    if (value === null) return invalid("a regular expression", value);
    const source = scalarText(value);
    try {
      const regex = RE2JS.compile(source, flags);
      tests.push({ cost: 50, holds: remembering((text) => regex.test(text)) });
    } catch (error) {
      if (!(error instanceof RE2JSException)) throw error;
      const expected = "a regular expression without lookaround or back-references";
      const found = `${shown(source)} (${shown(error.message, 120)})`;
      return { code: "regex-invalid", expected, found };
    }
  }
  return anyOf(tests);
}

function networksTest(values: readonly ScalarLike[]): TextTest | Fault {
  const networks: Network[] = [];
  for (const value of values) {
    const network = typeof value === "string" ? parseNetwork(value) : undefined;
    if (network === undefined) {
      return invalid(
        "a network like 10.0.0.0/8 or 2001:db8::/32, with no bits beyond its length",
        value,
      );
    }
    networks.push(network);
  }
  return networkTest(networks);
}

function numberTest(
  values: readonly ScalarLike[],
  holds: (event: number, rule: number) => boolean,
): ScalarTest | Fault {
  const limits: number[] = [];
  for (const value of values) {
    const limit = numberOf(value);
    if (limit === undefined) return invalid("a number", value);
    limits.push(limit);
  }
  return {
    cost: 2,
    acceptsNull: false,
    holds: (value) => {
      const number = numberOf(value);
      return number !== undefined && limits.some((limit) => holds(number, limit));
    },
  };
}

/** Long texts are rarely the same twice. */
const lengthRememberedMax = 64;
const textsRememberedMax = 1_000;

/** The names of programs, files and branches come again and again, and a regex takes its time. */
function remembering(holds: (text: string) => boolean): (text: string) => boolean {
  const known = new Map<string, boolean>();
  return (text) => {
    if (text.length > lengthRememberedMax) return holds(text);
    const before = known.get(text);
    if (before !== undefined) return before;
    const answer = holds(text);
    if (known.size >= textsRememberedMax) known.clear();
    known.set(text, answer);
    return answer;
  };
}

const decimal = /^[+-]?[0-9]{1,300}(?:\.[0-9]{1,300})?$/;

/** A number, or decimal text. Hexadecimal, exponents and spaces are not numbers. */
function numberOf(value: ScalarLike): number | undefined {
  if (typeof value === "number") return value;
  return typeof value === "string" && decimal.test(value) ? Number(value) : undefined;
}
