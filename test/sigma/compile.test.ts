import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { compileRule, type DetectionRule, parseRules } from "../../src/sigma/sigma.ts";
import { plainMatches } from "./plain-evaluator.ts";
import {
  type EventFields,
  head,
  holds,
  loaded,
  problemsOf,
  readerOf,
  ruleText,
} from "./rule-text.ts";

/** Few letters, so that values and patterns meet often. */
const letter = fc.constantFrom("a", "B", "b", "*", "?", "\\", "ß", "Σ", "ς", "😀", "1", "");
const written = fc.array(letter, { maxLength: 6 }).map((letters) => letters.join(""));
const scalar = fc.oneof(
  { weight: 6, arbitrary: written },
  fc.constantFrom<string | number | boolean | null>(0, 1, 11, 1.5, true, false, null, ""),
);
const eventLetter = fc.constantFrom("a", "A", "b", "*", "?", "\\", "ß", "σ", "😀", "1");
const eventText = fc.array(eventLetter, { maxLength: 7 }).map((letters) => letters.join(""));
const eventScalar = fc.oneof(
  { weight: 6, arbitrary: eventText },
  fc.constantFrom<string | number | boolean | null>(0, 1, 11, true, null),
);
const eventArbitrary = fc.dictionary(
  fc.constantFrom("f", "g", "__proto__"),
  fc.oneof({ weight: 4, arbitrary: eventScalar }, fc.array(eventScalar, { maxLength: 3 })),
  { maxKeys: 3 },
);

const number = fc.constantFrom(0, 1, 5, 11);
const texts = fc.array(
  scalar.filter((value) => value !== null),
  { minLength: 1, maxLength: 12 },
);
const test = fc.oneof(
  fc.tuple(
    fc.constantFrom("", "|cased", "|neq"),
    fc.array(scalar, { minLength: 1, maxLength: 12 }),
  ),
  fc.tuple(
    fc.constantFrom("|contains", "|startswith", "|endswith", "|contains|cased", "|endswith|neq"),
    texts,
  ),
  fc.tuple(fc.constantFrom("|all", "|contains|all", "|startswith|all"), texts),
  fc.tuple(fc.constantFrom("|gte", "|lt"), fc.array(number, { minLength: 1, maxLength: 2 })),
  fc.tuple(
    fc.constant("|exists"),
    fc.boolean().map((wanted) => [wanted]),
  ),
);
const field = fc.constantFrom("f", "g", "__proto__");
const fieldMap = fc
  .array(fc.tuple(field, test), { minLength: 1, maxLength: 3 })
  .map((items) => new Map(items.map(([name, [modifiers, values]]) => [name + modifiers, values])));
const keywords = fc.array(
  written.filter((word) => word !== ""),
  { minLength: 1, maxLength: 3 },
);
const search = fc.oneof(
  { weight: 4, arbitrary: fieldMap.map(yamlMap) },
  fc
    .array(fieldMap, { minLength: 1, maxLength: 3 })
    .map((maps) => `[${maps.map(yamlMap).join(", ")}]`),
  keywords.map((words) => JSON.stringify(words)),
  keywords.map((words) => `{'|all': ${JSON.stringify(words)}}`),
);

function yamlMap(fields: ReadonlyMap<string, unknown>): string {
  return `{${[...fields].map(([key, value]) => `"${key}": ${JSON.stringify(value)}`).join(", ")}}`;
}

const { condition } = fc.letrec<{ condition: string }>((tie) => ({
  condition: fc.oneof(
    { maxDepth: 4, depthSize: "small" },
    fc.constantFrom("s1", "s2", "_s3", "1 of s*", "all of them", "all of *"),
    tie("condition").map((inner) => `not (${inner})`),
    fc.tuple(tie("condition"), tie("condition")).map(([left, right]) => `${left} and (${right})`),
    fc.tuple(tie("condition"), tie("condition")).map(([left, right]) => `(${left} or ${right})`),
  ),
}));

const ruleArbitrary = fc.tuple(search, search, search, condition).map(([one, two, three, text]) => {
  return `${head}detection:\n  s1: ${one}\n  s2: ${two}\n  _s3: ${three}\n  condition: ${text}\n`;
});

describe("compileRule against the plain evaluator", () => {
  it("agrees on random rules and events", () => {
    let held = 0;
    let runs = 0;
    const property = fc.property(
      ruleArbitrary,
      fc.array(eventArbitrary, { minLength: 1, maxLength: 4 }),
      (text, events) => {
        const { rules, problems } = parseRules(text, "a.yml");
        expect(problems).toEqual([]);
        const rule = rules[0] as DetectionRule;
        const compiled = compileRule(rule);
        if (!("matches" in compiled)) throw new Error(JSON.stringify(compiled));
        for (const event of events) {
          const expected = plainMatches(rule, event as EventFields);
          expect(compiled.matches(readerOf(event as EventFields))).toBe(expected);
          runs++;
          if (expected) held++;
        }
      },
    );
    fc.assert(property, { seed: 20_261_124, numRuns: 2_000 });
    // Both answers must be common, or agreement says little.
    expect(held / runs).toBeGreaterThan(0.2);
    expect(held / runs).toBeLessThan(0.8);
  });

  it("agrees on one field at a time", () => {
    const property = fc.property(fieldMap, eventArbitrary, (fields, event) => {
      const text = ruleText(`  s: ${yamlMap(fields)}\n  condition: s`);
      const compiled = loaded(text);
      const expected = plainMatches(compiled.rule, event as EventFields);
      expect(compiled.matches(readerOf(event as EventFields))).toBe(expected);
    });
    fc.assert(property, { seed: 7, numRuns: 2_000 });
  });
});

describe("mapping", () => {
  const mapping = (name: string) =>
    name === "Image" ? ["process.executable", "process.name"] : [name];
  const rule = (text: string) => ruleText(`  s:\n    ${text}\n  condition: s`);

  it.each<readonly [string, EventFields, boolean]>([
    ["Image: sh", { "process.name": "sh" }, true],
    ["Image: sh", { "process.executable": "x", "process.name": "sh" }, true],
    ["Image: sh", { Image: "sh" }, false],
    ["Image|exists: false", { "process.name": "sh" }, false],
    ["Image|exists: true", { "process.name": "sh" }, true],
    ["Image: null", {}, true],
    ["Image: null", { "process.executable": null }, true],
    ["Image: null", { "process.executable": null, "process.name": "sh" }, false],
    ["Image|contains|all: [a, b]", { "process.executable": "a", "process.name": "b" }, true],
    ["Image|neq: sh", { "process.executable": "x", "process.name": "sh" }, false],
    ["f|fieldref: Image", { f: "sh", "process.name": "sh" }, true],
    ["Image|fieldref: f", { f: "sh", "process.name": "sh" }, true],
  ])("%s on %j is %s", (text, fields, expected) => {
    expect(holds(rule(text), fields, { mapping })).toBe(expected);
  });

  it("never holds on a field that maps to none", () => {
    const none = () => [];
    expect(holds(rule("f: x"), { f: "x" }, { mapping: none })).toBe(false);
    expect(holds(rule("f|exists: false"), { f: "x" }, { mapping: none })).toBe(true);
  });
});

describe("explain", () => {
  it("names every leaf of the searches in use, in order, with what the event has", () => {
    const rule = loaded(
      ruleText(`  other:
    z: 1
  sel:
    a|endswith: [.example, .test, .invalid, .localhost]
    b: [4, null]
    c|cidr: 10.0.0.0/8
  words: [curl]
  _skip:
    d|exists: true
  condition: sel and words and not _skip`),
    );
    const fields = { a: "x.test", c: ["192.0.2.1"], e: "a curl", f: "curl b" };
    expect(rule.matches(readerOf(fields))).toBe(false);
    expect(rule.explain(readerOf(fields))).toEqual([
      {
        search: "sel",
        field: "a",
        test: "endswith '.example', '.test', '.invalid' (and 1 more)",
        held: true,
        value: "x.test",
      },
      { search: "sel", field: "b", test: "is 4, null", held: true },
      { search: "sel", field: "c", test: "cidr '10.0.0.0/8'", held: false, value: ["192.0.2.1"] },
      { search: "words", field: "", test: "contains 'curl'", held: true, value: "a curl" },
      { search: "_skip", field: "d", test: "exists true", held: false },
    ]);
  });

  it("shows the value found by the mapping, and hides control characters of the rule", () => {
    const rule = loaded(ruleText('  s:\n    f: "a\\u202eb"\n  condition: s'), {
      mapping: () => ["absent", "g"],
    });
    expect(rule.explain(readerOf({ g: 5 }))).toEqual([
      { search: "s", field: "f", test: "is 'a\\u202eb'", held: false, value: 5 },
    ]);
  });
});

describe("what shows only at compilation", () => {
  it("reports every problem with its place", () => {
    const text = ruleText(`  s:
    f|re: '('
    g|cidr: x
    h|expand: '%nothing%'
  t:
    - f|re: ')'
  condition: s or t or not s`);
    expect(problemsOf(text).map(({ code, place }) => `${place} ${code}`)).toEqual([
      "a.yml:7:5 regex-invalid",
      "a.yml:8:5 modifier-invalid",
      "a.yml:9:5 list-unknown",
      "a.yml:11:7 regex-invalid",
    ]);
  });

  it("reports a search that a hand-made rule does not have", () => {
    const { rule } = loaded(ruleText("  s:\n    f: 1\n  condition: s"));
    const detection = { ...rule.detection, searches: new Map() };
    expect(compileRule({ ...rule, detection })).toEqual([
      {
        code: "condition-expected",
        place: "a.yml:1",
        expected: "a search that the rule has",
        found: "'s'",
      },
    ]);
  });
});
