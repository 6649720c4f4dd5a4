/**
 * @module One leaf of a rule: a field or keyword with its values, compiled to a test of an event.
 */

import { type Problem, shown } from "../error.ts";
import { fold } from "./fold.ts";
import { type Plan, planOf } from "./modifier.ts";
import type { ValueTest } from "./rule.ts";
import {
  type Fault,
  invalid,
  isFault,
  type Lists,
  type ScalarLike,
  type ScalarTest,
  scalarTest,
  scalarText,
} from "./scalar-test.ts";
import { anyRun } from "./value.ts";

export type FieldValueLike = ScalarLike | readonly ScalarLike[];

/**
 * The one thing that rules know of an event. Lists hold scalars; null is a value, undefined is no
 * such field.
 */
export interface FieldReader {
  field(name: string): FieldValueLike | undefined;
  /** Every value of the event, for keywords. */
  values(): Iterable<FieldValueLike>;
}

/**
 * Event field names for a rule's field name: the rule's field has the values of all of them
 * together.
 */
export type FieldMapping = (field: string) => readonly string[];

export interface Leaf {
  /** The rule's field name; "" for a keyword. */
  readonly field: string;
  /** The test in words: modifiers, then values. */
  readonly test: string;
  /** Rough relative work; cheaper leaves go first. */
  readonly cost: number;
  readonly holds: (reader: FieldReader) => boolean;
  /** What the event has there; for a keyword that holds, the value it holds on. */
  readonly valueIn: (reader: FieldReader) => FieldValueLike | undefined;
}

export interface LeafOptions {
  readonly mapping: FieldMapping;
  readonly lists: Lists;
}

/** Decides everything that can be decided without an event. */
export function compileField(field: string, test: ValueTest, options: LeafOptions): Leaf | Problem {
  const names = options.mapping(field);
  const plan = planOf(test.modifiers, false);
  if (isFault(plan)) return { ...plan, place: test.place };
  const compiled = fieldTest(names, test, { ...options, plan });
  if (isFault(compiled)) return { ...compiled, place: test.place };
  const { holds, cost } = compiled;
  return {
    field,
    test: testWords(test, "is"),
    cost,
    holds: plan.options.has("neq") ? (reader) => !holds(reader) : holds,
    valueIn: (reader) => {
      for (const name of names) {
        const value = reader.field(name);
        if (value !== undefined) return value;
      }
      return undefined;
    },
  };
}

/** Holds when any value of the event contains any of the words. */
export function compileKeyword(test: ValueTest, options: LeafOptions): Leaf | Problem {
  const plan = planOf(test.modifiers, true);
  if (isFault(plan)) return { ...plan, place: test.place };
  // A keyword without a comparison of its own may stand anywhere in a value.
  const compares = plan.comparison.kind === "text" && plan.comparison.shape([]).length === 0;
  const comparison = compares ? containing : plan.comparison;
  const compiled = scalarTest(test.values, { ...plan, comparison }, options.lists);
  if (isFault(compiled)) return { ...compiled, place: test.place };
  const { holds } = compiled;
  const valueIn = (reader: FieldReader): ScalarLike | undefined => {
    for (const value of reader.values()) {
      if (!isList(value)) {
        if (holds(value)) return value;
        continue;
      }
      for (const item of value) if (holds(item)) return item;
    }
    return undefined;
  };
  return {
    field: "",
    test: testWords(test, "contains"),
    cost: 100 + 20 * compiled.cost,
    holds: (reader) => valueIn(reader) !== undefined,
    valueIn,
  };
}

const containing: Plan["comparison"] = {
  kind: "text",
  shape: (pattern) => [anyRun, ...pattern, anyRun],
};

interface EventTest {
  readonly cost: number;
  readonly holds: (reader: FieldReader) => boolean;
}

interface PlannedOptions extends LeafOptions {
  readonly plan: Plan;
}

function fieldTest(
  names: readonly string[],
  test: ValueTest,
  options: PlannedOptions,
): EventTest | Fault {
  const { plan, lists } = options;
  if (plan.comparison.kind === "exists") return existsTest(names, test.values);
  // Under `all` each written value must be found, though not in the same element of a list.
  const groups = plan.options.has("all") ? test.values.map((value) => [value]) : [test.values];
  const tests: EventTest[] = [];
  for (const group of groups) {
    const compiled =
      plan.comparison.kind === "field"
        ? fieldRefTest(names, group, options)
        : scalarTest(group, plan, lists);
    if (isFault(compiled)) return compiled;
    tests.push("acceptsNull" in compiled ? anyValueTest(names, compiled) : compiled);
  }
  const [first] = tests;
  if (first !== undefined && tests.length === 1) return first;
  const parts = tests.map(({ holds }) => holds);
  return {
    cost: tests.reduce((sum, { cost }) => sum + cost, 0),
    holds: (reader) => parts.every((holds) => holds(reader)),
  };
}

function isList(value: FieldValueLike): value is readonly ScalarLike[] {
  return Array.isArray(value);
}

/** Holds when any value of any of the event's fields does. */
function anyValueTest(names: readonly string[], test: ScalarTest): EventTest {
  const { cost, holds, acceptsNull } = test;
  const ofValue = (value: FieldValueLike | undefined): boolean => {
    if (value === undefined) return false;
    if (!isList(value)) return holds(value);
    for (const item of value) if (holds(item) || (acceptsNull && item === null)) return true;
    return false;
  };
  const [only] = names;
  if (!acceptsNull && only !== undefined && names.length === 1) {
    return { cost, holds: (reader) => ofValue(reader.field(only)) };
  }
  return {
    cost,
    holds: (reader) => {
      let isNothing = true;
      for (const name of names) {
        const value = reader.field(name);
        if (ofValue(value)) return true;
        isNothing &&= value === undefined || value === null;
      }
      return acceptsNull && isNothing;
    },
  };
}

/** A field that is null or empty exists. */
function existsTest(names: readonly string[], values: readonly ScalarLike[]): EventTest | Fault {
  const [wanted] = values;
  if (typeof wanted !== "boolean" || values.length !== 1) {
    return invalid("true or false under 'exists'", values);
  }
  const holds = (reader: FieldReader): boolean => {
    return names.some((name) => reader.field(name) !== undefined) === wanted;
  };
  return { cost: 1, holds };
}

/**
 * Compares with another field of the same event; wildcards in the event's values are plain text.
 */
function fieldRefTest(
  names: readonly string[],
  values: readonly ScalarLike[],
  { plan, mapping }: PlannedOptions,
): EventTest | Fault {
  const others: string[] = [];
  for (const value of values) {
    if (typeof value !== "string" || value === "")
      return invalid("a field name under 'fieldref'", value);
    others.push(...mapping(value));
  }
  const { comparison } = plan;
  if (comparison.kind !== "field") return invalid("'fieldref'", values);
  const shape = comparison.shape([{ text: "x" }]);
  const opensAtStart = "wild" in (shape[0] ?? {});
  const opensAtEnd = "wild" in (shape[shape.length - 1] ?? {});
  const compare = (text: string, other: string): boolean => {
    if (opensAtStart) return opensAtEnd ? text.includes(other) : text.endsWith(other);
    return opensAtEnd ? text.startsWith(other) : text === other;
  };
  const cased = plan.options.has("cased");
  const holds = (reader: FieldReader): boolean => {
    const wanted = textsOf(others, reader, cased);
    return (
      wanted.length > 0 &&
      textsOf(names, reader, cased).some((text) => wanted.some((other) => compare(text, other)))
    );
  };
  return { cost: 8, holds };
}

function textsOf(names: readonly string[], reader: FieldReader, cased: boolean): readonly string[] {
  const texts: string[] = [];
  for (const name of names) {
    const value = reader.field(name);
    if (value === undefined) continue;
    for (const item of isList(value) ? value : [value]) {
      if (item !== null) texts.push(cased ? scalarText(item) : fold(scalarText(item)));
    }
  }
  return texts;
}

const valuesShownMax = 3;

function testWords(test: ValueTest, plain: string): string {
  const verb = test.modifiers.length === 0 ? plain : test.modifiers.join("|");
  const values = test.values.slice(0, valuesShownMax).map((value) => {
    return typeof value === "string" ? `'${shown(value)}'` : String(value);
  });
  const more = test.values.length - values.length;
  return `${verb} ${values.join(", ")}${more > 0 ? ` (and ${more} more)` : ""}`;
}
