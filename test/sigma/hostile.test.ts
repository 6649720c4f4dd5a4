import { describe, expect, it } from "vitest";
import { parseRules } from "../../src/sigma/sigma.ts";
import { fieldRule, head, holds, problemsOf, ruleText } from "./rule-text.ts";

describe("rule files that mean harm", () => {
  it.each([
    [
      "an alias bomb",
      `a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\n`,
      "yaml-invalid",
      "a.yml:2:9",
    ],
    ["flow nesting", `a: ${"[".repeat(100_000)}`, "yaml-invalid", "a.yml:1:103"],
    ["block nesting", `${"- ".repeat(100_000)}a`, "yaml-invalid", "a.yml:1:201"],
    ["map nesting", `${"{a: ".repeat(100_000)}`, "yaml-invalid", "a.yml:1:394"],
    ["a null byte", "title: \0", "yaml-invalid", "a.yml:1:8"],
    ["a prototype tag", "a: !!js/function x", "yaml-invalid", "a.yml:1:4"],
    ["a 10 MB scalar", `title: ${"x".repeat(10_000_000)}`, "rule-invalid", "a.yml:1"],
    ["1 MB of wide characters", `title: ${"é".repeat(600_000)}`, "rule-invalid", "a.yml:1"],
  ])("%s", (_name, text, code, place) => {
    const { rules, problems } = parseRules(text, "a.yml");
    expect(rules).toEqual([]);
    expect(problems).toMatchObject([{ code, place }]);
    expect(problems[0]?.found.length).toBeLessThan(200);
  });

  it("a condition of half a million parentheses", () => {
    const text = ruleText(`  s:\n    f: 1\n  condition: ${"(".repeat(500_000)}`);
    expect(problemsOf(text)).toEqual([
      {
        code: "condition-expected",
        place: "a.yml:8:78",
        expected: "at most 64 levels of parentheses and 'not'",
        found: "'('",
      },
    ]);
  });

  it("long names that are nearly the same", () => {
    const name = "n".repeat(400_000);
    const problems = problemsOf(ruleText(`  ${name}:\n    f: 1\n  condition: ${name}x`));
    expect(problems).toMatchObject([{ code: "condition-expected", place: "a.yml:8:14" }]);
    expect(problems[0]?.expected.length).toBeLessThan(200);
  });

  it("a pattern of many stars over a search name", () => {
    const name = "a".repeat(5_000);
    const text = ruleText(`  ${name}:\n    f: 1\n  condition: 1 of ${"a*".repeat(40)}b`);
    expect(problemsOf(text)).toMatchObject([{ code: "condition-expected" }]);
  });

  it.each(["__proto__", "constructor", "toString", "hasOwnProperty"])("%s as any name", (name) => {
    const text = ruleText(`  ${name}:\n    ${name}: 1\n  condition: ${name} and 1 of ${name}*`);
    expect(holds(text, {})).toBe(false);
    expect(holds(text, JSON.parse(`{"${name}": 1}`))).toBe(true);
    expect(parseRules(`${name}: 1\n${text}`, "a.yml").problems).toEqual([]);
    expect(problemsOf(fieldRule(`f|${name}: 1`))).toMatchObject([{ code: "modifier-unknown" }]);
    expect(problemsOf(fieldRule(`f|expand: '%${name}%'`))).toMatchObject([
      { code: "list-unknown" },
    ]);
    expect(problemsOf(`${head}${name}: {}\n`)).toMatchObject([{ expected: "detection: a map" }]);
  });

  it("does not touch the prototype of anything", () => {
    parseRules("__proto__: {polluted: 1}\npipewarden: {causes: {__proto__: x}}\n", "a.yml");
    expect(Object.hasOwn(Object.prototype, "polluted")).toBe(false);
    expect(({} as Record<string, unknown>)["polluted"]).toBeUndefined();
  });
});

describe("events that mean harm", () => {
  const long = "a".repeat(100_000);

  // Each of these takes a backtracking engine longer than the test's own limit.
  it.each([
    ["f|re: '(a+)+$'", `${long}!`, false],
    ["f|re: '(a|aa)+$'", `${long}!`, false],
    ["f|re: '^(.*?,){20}P'", "1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21", false],
    ["f|re: '(a*)*b'", long, false],
    ["f: '*a*a*a*a*a*a*a*a*b'", long, false],
    ["f|contains: 'a*b*a'", `${long}b${long}`, true],
    ["f|cidr: 10.0.0.0/8", "1".repeat(1_000_000), false],
    ["f|cidr: '::/0'", ":".repeat(1_000_000), false],
    ["f|gt: 1", "9".repeat(1_000_000), false],
  ])("%s", (field, value, expected) => {
    expect(holds(fieldRule(field), { f: value })).toBe(expected);
  });
});
