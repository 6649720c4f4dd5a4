/**
 * @module Test files of rules: `<rule>.test.yml` beside the rule, and the contexts they share in
 * `rules/testing`. How they look is told in docs/rules.md.
 */

import { type Static, Type } from "typebox";
import Value from "typebox/value";
import { dayMs, type EpochMs, hourMs, minuteMs, secondMs } from "../clock.ts";
import { type Problem, shown } from "../error.ts";
import { type Feed, feeds } from "../event/event.ts";
import { isRecord } from "../event/fields.ts";
import { readYaml } from "../yaml.ts";

const closed = { additionalProperties: false } as const;
const offset = Type.String({ pattern: "^-?(\\d+d)?(\\d+h)?(\\d+m)?(\\d+s)?$", minLength: 2 });

const Input = Type.Object(
  {
    /** When it happened, from the test's time zero: `8m`, `-90s`, `21d5m`. */
    at: offset,
    /** When it reached us; the same unless said. Inputs are taken in this order. */
    received: Type.Optional(offset),
    feed: Type.Unsafe<Feed>(Type.Union(feeds.map((feed) => Type.Literal(feed)))),
    /** GitHub's `x-github-event`. */
    event: Type.Optional(Type.String()),
    /** The rest of the door's path, for feeds that put facts there. */
    path: Type.Optional(Type.String()),
    /** A line as the feed writes it. */
    text: Type.Optional(Type.String()),
    /** Sent as JSON. */
    record: Type.Optional(Type.Unknown()),
  },
  closed,
);
export type Input = Static<typeof Input>;

const Scalar = Type.Union([Type.String(), Type.Number(), Type.Boolean()]);

const RuleTest = Type.Object(
  {
    name: Type.String({ minLength: 1 }),
    input: Type.Array(Input, { minItems: 1 }),
    /** Alerts of this rule, before any fold. */
    fires: Type.Optional(Type.Integer({ minimum: 1 })),
    /** Matches kept only for a correlation. */
    signals: Type.Optional(Type.Integer({ minimum: 1 })),
    /** Neither. */
    silent: Type.Optional(Type.Literal(true)),
    /** Fields of the first match's first event. */
    expect: Type.Optional(Type.Record(Type.String(), Scalar)),
    /** Text within the first match's reason. */
    reason: Type.Optional(Type.String({ minLength: 1 })),
  },
  closed,
);
export type RuleTest = Static<typeof RuleTest>;

const RuleTests = Type.Object(
  {
    /** Replace the operator's lists of these names. */
    lists: Type.Optional(Type.Record(Type.String(), Type.Array(Type.String()))),
    /** Contexts in `rules/testing` that come before the input of each test. */
    given: Type.Optional(Type.Array(Type.String())),
    tests: Type.Array(RuleTest, { minItems: 1 }),
  },
  closed,
);
export type RuleTests = Static<typeof RuleTests>;

const Runner = Type.Object(
  {
    name: Type.String(),
    hosts: Type.Optional(Type.Array(Type.String())),
    addresses: Type.Optional(Type.Array(Type.String())),
  },
  closed,
);

const TestContext = Type.Object(
  {
    description: Type.String({ minLength: 1 }),
    /** As under `enrichment.runners` in the settings. */
    runners: Type.Optional(Type.Array(Runner)),
    input: Type.Array(Input),
  },
  closed,
);
export type TestContext = Static<typeof TestContext>;

export function readRuleTests(text: string, path: string): RuleTests | Problem {
  const read = readYaml(text, path);
  if ("problem" in read) return read.problem;
  const { value } = read;
  if (!Value.Check(RuleTests, value)) return misshapen(RuleTests, value, path);
  for (const test of value.tests) {
    const expectations = [test.fires, test.signals, test.silent].filter(Boolean).length;
    if (expectations !== 1) {
      const place = `${path}: ${test.name}`;
      const expected = "one of fires, signals and silent";
      return { code: "shape-unexpected", place, expected, found: `${expectations} of them` };
    }
  }
  const inputs = value.tests.flatMap((test) => test.input);
  return inputProblem(inputs, path) ?? value;
}

export function readTestContext(text: string, path: string): TestContext | Problem {
  const read = readYaml(text, path);
  if ("problem" in read) return read.problem;
  const { value } = read;
  if (!Value.Check(TestContext, value)) return misshapen(TestContext, value, path);
  return inputProblem(value.input, path) ?? value;
}

function misshapen(
  schema: typeof RuleTests | typeof TestContext,
  value: unknown,
  path: string,
): Problem {
  const [first] = Value.Errors(schema, value);
  const place = `${path}: ${first?.instancePath === "" ? "top" : (first?.instancePath ?? "top")}`;
  const expected = first?.message ?? "the shape of docs/rules.md";
  return { code: "shape-unexpected", place, expected, found: shown(value) };
}

function inputProblem(inputs: readonly Input[], place: string): Problem | undefined {
  const broken = inputs.find(
    (input) => (input.text === undefined) === (input.record === undefined),
  );
  if (broken === undefined) return undefined;
  const expected = "each input to have either text or record";
  return { code: "shape-unexpected", place, expected, found: shown(broken) };
}

const unitMs = new Map([
  ["d", dayMs],
  ["h", hourMs],
  ["m", minuteMs],
  ["s", secondMs],
]);

/** `-1h30m` in ms. */
export function offsetMs(text: string): number {
  let sum = 0;
  for (const [, count, unit] of text.matchAll(/(\d+)([dhms])/g)) {
    sum += Number(count) * (unitMs.get(unit ?? "") ?? 0);
  }
  return text.startsWith("-") ? -sum : sum;
}

/**
 * What placeholders stand for, so that a record's own time agrees with `at`. Alone in a value,
 * `${epoch_ms}` and `${epoch_s}` become numbers.
 */
function placeholders(at: EpochMs, ordinal: number): ReadonlyMap<string, string> {
  const iso = new Date(at).toISOString();
  const seconds = (at / secondMs).toFixed(3);
  return new Map([
    ["iso", iso], // 2026-11-24T02:08:00.000Z
    ["iso_ns", iso.replace("Z", "000000Z")], // as Falco writes it
    ["epoch_ms", String(at)],
    ["epoch_s", seconds],
    ["squid", seconds], // the first column of Squid's log
    ["n", String(ordinal)], // the input's number, for ids of its own
  ]);
}

/** The bytes the feed would send. */
export function bodyOf(input: Input, at: EpochMs, ordinal: number): Buffer {
  const values = placeholders(at, ordinal);
  if (input.text !== undefined) return Buffer.from(filled(input.text, values));
  return Buffer.from(JSON.stringify(filledIn(input.record, values)));
}

function filled(text: string, values: ReadonlyMap<string, string>): string {
  return text.replace(/\$\{(\w+)\}/g, (whole, name: string) => values.get(name) ?? whole);
}

function filledIn(value: unknown, values: ReadonlyMap<string, string>): unknown {
  if (typeof value === "string") {
    const number = /^\$\{(epoch_ms|epoch_s)\}$/.exec(value);
    return number === null ? filled(value, values) : Number(values.get(number[1] ?? ""));
  }
  if (Array.isArray(value)) return value.map((item) => filledIn(item, values));
  if (!isRecord(value)) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) => [key, filledIn(item, values)]),
  );
}
