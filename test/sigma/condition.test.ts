import { describe, expect, it } from "vitest";
import { isFault, parseCondition } from "../../src/sigma/condition.ts";
import type { Condition } from "../../src/sigma/rule.ts";
import { holds, problemsOf, ruleText } from "./rule-text.ts";

const names = ["a", "b", "c", "sel_one", "sel_two", "_sel_x", "not_a", "android", "x.y"];

/** The tree with every grouping shown: `(a and (not b))`. */
function shownTree(condition: Condition): string {
  switch (condition.kind) {
    case "search":
      return condition.name;
    case "not":
      return `!${shownTree(condition.of)}`;
    default:
      return `(${condition.of.map(shownTree).join(condition.kind === "and" ? " & " : " | ")})`;
  }
}

function parsed(text: string): string {
  const result = parseCondition(text, names);
  return isFault(result)
    ? `${result.offset}: ${result.expected} / ${result.found}`
    : shownTree(result);
}

describe("what it means", () => {
  it.each([
    ["a", "a"],
    ["  a  ", "a"],
    ["a or b and c", "(a | (b & c))"],
    ["a and b or c", "((a & b) | c)"],
    ["(a or b) and c", "((a | b) & c)"],
    ["not a and b", "(!a & b)"],
    ["not (a and b)", "!(a & b)"],
    ["not not a", "!!a"],
    ["a and not b or not c", "((a & !b) | !c)"],
    ["a AND NOT b Or c", "((a & !b) | c)"],
    ["a and b and c", "(a & b & c)"],
    ["((a))", "a"],
    ["(a)and(b)", "(a & b)"],
    ["a\n  and b", "(a & b)"],
    ["not_a or android", "(not_a | android)"],
    ["x.y", "x.y"],
    ["1 of sel_*", "(sel_one | sel_two)"],
    ["any of sel_*", "(sel_one | sel_two)"],
    ["all of sel_*", "(sel_one & sel_two)"],
    ["1 of *_one", "sel_one"],
    ["1 of s*o*", "(sel_one | sel_two)"],
    ["all of a", "a"],
    ["1 of _sel_*", "_sel_x"],
    ["not 1 of sel_*", "!(sel_one | sel_two)"],
    ["a and 1 OF sel_* or b", "((a & (sel_one | sel_two)) | b)"],
    ["1 of them", "(a | b | c | sel_one | sel_two | not_a | android | x.y)"],
    ["All Of Them", "(a & b & c & sel_one & sel_two & not_a & android & x.y)"],
  ])("%s", (text, tree) => {
    expect(parsed(text)).toBe(tree);
  });

  it("nests to its bound, and chains without one", () => {
    const chain = Array.from({ length: 5_000 }, () => "a").join(" and ");
    expect(parsed(`${"(".repeat(64)}a${")".repeat(64)}`)).toBe("a");
    expect(parsed(chain).length).toBe(chain.length - 2 * 4_999 + 2);
  });
});

const operand = "a search name, '1 of', 'all of', 'not' or '('";
const there = "(there are: a, b, c, sel_one, sel_two, _sel_x, not_a, android, x.y)";

describe("what it refuses, and where", () => {
  it.each([
    ["", 0, operand, "the end"],
    ["a b", 2, "'and', 'or' or the end", "'b'"],
    ["(a b", 3, "'and', 'or' or ')'", "'b'"],
    ["(a", 2, "'and', 'or' or ')'", "the end"],
    ["(a  ", 2, "'and', 'or' or ')'", "the end"],
    ["a)", 1, "'and', 'or' or the end", "')'"],
    ["()", 1, operand, "')'"],
    ["a and", 5, operand, "the end"],
    ["a and or b", 6, operand, "'or'"],
    ["and a", 0, operand, "'and'"],
    ["not", 3, operand, "the end"],
    ["a not b", 2, "'and', 'or' or the end", "'not'"],
    ["sel_on", 0, "'sel_one'", "'sel_on'"],
    ["a and zzzzzz", 6, `a search name ${there}`, "'zzzzzz'"],
    ["A", 0, "'a'", "'A'"],
    ["1 of", 4, "'them', a search name or a pattern", "the end"],
    ["1 of (a)", 5, "'them', a search name or a pattern", "'('"],
    ["2 of sel_*", 0, "'1' or 'all' before 'of'", "'2'"],
    ["1 of zz*", 5, `a pattern that fits a search ${there}`, "'zz*'"],
    ["1 of .*", 5, `a pattern that fits a search ${there}`, "'.*'"],
    ["them", 0, operand, "'them'"],
    ["a | count() > 5", 2, "the end (counting is a correlation rule's work in Sigma 2)", "'|'"],
    [`${"(".repeat(65)}a`, 64, "at most 64 levels of parentheses and 'not'", "'('"],
    [`${"not ".repeat(65)}a`, 256, "at most 64 levels of parentheses and 'not'", "'not'"],
  ])("%s", (text, offset, expected, found) => {
    expect(parseCondition(text, names)).toEqual({ offset, expected, found });
  });

  it("refuses 'them' when every name is hidden", () => {
    expect(parseCondition("1 of them", ["_a"])).toMatchObject({ offset: 5, found: "'them'" });
  });
});

describe("in a rule", () => {
  const searches = "  one:\n    f: 1\n  two:\n    g: 2\n  _hidden:\n    h: 3\n";

  it.each([
    ["plain", "  condition: (one two", "a.yml:12:19"],
    ["single-quoted", "  condition: '(one two'", "a.yml:12:20"],
    ["folded", "  condition: >-\n    (one\n    two", "a.yml:14:5"],
    ["literal", "  condition: |\n    (one\n     two", "a.yml:14:6"],
    ["over lines", "  condition: (one\n     two", "a.yml:13:6"],
    ["second of a list", "  condition:\n    - one\n    - (one two", "a.yml:14:12"],
  ])("says where inside a %s condition", (_style, condition, place) => {
    expect(problemsOf(ruleText(searches + condition))).toEqual([
      { code: "condition-expected", place, expected: "'and', 'or' or ')'", found: "'two'" },
    ]);
  });

  it("takes a list of conditions as any of them", () => {
    const text = ruleText(`${searches}  condition:\n    - one\n    - two and _hidden`);
    expect(holds(text, { f: 1 })).toBe(true);
    expect(holds(text, { g: 2, h: 3 })).toBe(true);
    expect(holds(text, { g: 2 })).toBe(false);
  });

  it("does not count hidden searches among 'them'", () => {
    const all = ruleText(`${searches}  condition: all of them`);
    expect(holds(all, { f: 1, g: 2 })).toBe(true);
    const one = ruleText(`${searches}  condition: 1 of them`);
    expect(holds(one, { h: 3 })).toBe(false);
  });

  it("negates a list-valued field as a whole", () => {
    const text = ruleText(`${searches}  condition: not one`);
    expect(holds(text, { f: [2, 3] })).toBe(true);
    expect(holds(text, { f: [2, 1] })).toBe(false);
  });
});
