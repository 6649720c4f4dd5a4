import { describe, expect, it } from "vitest";
import { type DetectionRule, parseRules } from "../../src/sigma/sigma.ts";
import { head, ruleText } from "./rule-text.ts";

const body = "  s:\n    f: 1\n  condition: s";
const id = "11111111-2222-4333-8444-555555555555";

function only(text: string): DetectionRule {
  const { rules, problems } = parseRules(text, "a.yml");
  expect(problems).toEqual([]);
  expect(rules).toHaveLength(1);
  return rules[0] as DetectionRule;
}

describe("a detection rule", () => {
  it("has its defaults", () => {
    expect(only(ruleText(body))).toEqual({
      kind: "detection",
      id,
      title: "A rule",
      description: "",
      level: "medium",
      status: "",
      tags: [],
      references: [],
      falsePositives: [],
      logsource: { product: "linux" },
      pipewarden: { page: false, response: [], dedupe: [], dedupeMs: 3_600_000, causes: {} },
      place: "a.yml:1",
      detection: {
        searches: new Map([
          [
            "s",
            { kind: "field", field: "f", test: { modifiers: [], values: [1], place: "a.yml:7:5" } },
          ],
        ]),
        condition: { kind: "search", name: "s" },
      },
    });
  });

  it("reads everything it may say", () => {
    const rule = only(`title: Runner opens a shell
id: 11111111-2222-4333-8444-55555555555F
name: runner-shell
description: |
  Two
  lines.
status: stable
level: high
author: someone
date: 2026-11-24
custom: {any: thing}
tags: [attack.execution, attack.t1059]
references:
  - https://docs.example/shell
falsepositives: Debug sessions
logsource:
  product: linux
  category: process_creation
  service: falco
  definition: Falco with the default rules
pipewarden:
  page: true
  reason: "{process.name} on {cicd.worker.name}"
  response:
    - Cancel the run.
    - Rotate its secrets.
  runbook: docs/shell.md
  dedupe: {by: [host.hostname], for: 2d}
  causes: {run: cicd.pipeline.run.id, __proto__: x}
detection:
  s:
    f: 1
  condition: s
`);
    expect(rule).toMatchObject({
      id: "11111111-2222-4333-8444-55555555555f",
      name: "runner-shell",
      description: "Two\nlines.\n",
      status: "stable",
      level: "high",
      tags: ["attack.execution", "attack.t1059"],
      references: ["https://docs.example/shell"],
      falsePositives: ["Debug sessions"],
      logsource: { product: "linux", category: "process_creation", service: "falco" },
    });
    expect(rule.pipewarden).toEqual({
      page: true,
      reason: "{process.name} on {cicd.worker.name}",
      response: ["Cancel the run.", "Rotate its secrets."],
      runbook: "docs/shell.md",
      dedupe: ["host.hostname"],
      dedupeMs: 172_800_000,
      causes: Object.fromEntries([
        ["run", "cicd.pipeline.run.id"],
        ["__proto__", "x"],
      ]),
    });
    expect(Object.keys(rule.pipewarden.causes)).toEqual(["run", "__proto__"]);
  });

  it("keeps the shape of its searches", () => {
    const { searches } = only(
      ruleText(`  fields:
    a: [1, x]
    b|contains|all: [y, z]
  either:
    - a: 1
    - word
    - b: 2
  words: [u, v]
  both:
    '|all': [m, n]
  condition: all of them`),
    ).detection;
    const shape = (name: string) => JSON.parse(JSON.stringify(searches.get(name)));
    const field = (name: string, values: unknown[], modifiers: string[] = []) =>
      expect.objectContaining({
        kind: "field",
        field: name,
        test: expect.objectContaining({ values, modifiers }),
      });
    const keyword = (...values: string[]) =>
      expect.objectContaining({
        kind: "keyword",
        test: expect.objectContaining({ values, modifiers: [] }),
      });
    expect(shape("fields")).toEqual({
      kind: "all",
      parts: [field("a", [1, "x"]), field("b", ["y", "z"], ["contains", "all"])],
    });
    expect(shape("either")).toEqual({
      kind: "any",
      parts: [field("a", [1]), field("b", [2]), keyword("word")],
    });
    expect(shape("words")).toEqual(keyword("u", "v"));
    expect(shape("both")).toEqual({ kind: "all", parts: [keyword("m"), keyword("n")] });
  });
});

describe("a file of many documents", () => {
  const second = ruleText(body).replace(/^id: 1/m, "id: 2");
  const third = ruleText(body).replace(/^id: 1/m, "id: 3");

  it.each([
    ["plain", `${ruleText(body)}---\n${second}`, ["a.yml:1", "a.yml:10"]],
    [
      "comments and empty documents",
      `# one\n---\n${ruleText(body)}---\n---\n# x\n---\n${second}`,
      ["a.yml:3", "a.yml:15"],
    ],
    [
      "a directive and an end",
      `%YAML 1.2\n---\n${ruleText(body)}...\n---\n${second}`,
      ["a.yml:3", "a.yml:13"],
    ],
    ["a byte order mark", `\uFEFF${ruleText(body)}`, ["a.yml:1"]],
    [
      "windows line ends",
      `${ruleText(body)}---\n${second}`.replaceAll("\n", "\r\n"),
      ["a.yml:1", "a.yml:10"],
    ],
    ["nothing", "# only a comment\n", []],
  ])("%s", (_name, text, places) => {
    const { rules, problems } = parseRules(text, "a.yml");
    expect(problems).toEqual([]);
    expect(rules.map(({ place }) => place)).toEqual(places);
  });

  it("loads the others beside a broken one", () => {
    const broken = "title: [never closed\nid: x";
    const invalid = second.replace("title: A rule", "title: ''");
    const { rules, problems } = parseRules(
      [ruleText(body), `${broken}\n`, invalid, third].join("---\n"),
      "a.yml",
    );
    expect(rules.map((rule) => rule.id[0])).toEqual(["1", "3"]);
    expect(problems).toMatchObject([
      { code: "yaml-invalid", place: expect.stringMatching(/^a\.yml:1[123]:/) },
      { code: "rule-invalid", place: "a.yml:13:8", expected: "title to be a text", found: "''" },
    ]);
  });

  it("keeps the first of two with one id or one name", () => {
    const named = (text: string) => text.replace("title: A rule", "title: A rule\nname: n");
    const { rules, problems } = parseRules(
      [ruleText(body), ruleText(body), named(second), named(third)].join("---\n"),
      "a.yml",
    );
    expect(rules.map((rule) => rule.id[0])).toEqual(["1", "2"]);
    expect(problems).toEqual([
      {
        code: "rule-duplicate",
        place: "a.yml:10",
        expected: "an id and a name of its own",
        found: `id ${id}, also at a.yml:1`,
      },
      {
        code: "rule-duplicate",
        place: "a.yml:29",
        expected: "an id and a name of its own",
        found: "name 'n', also at a.yml:19",
      },
    ]);
  });
});

describe("what it refuses, and where", () => {
  const with_ = (line: string) => `${line}\n${ruleText(body)}`;
  const pw = (line: string) => `pipewarden:\n  ${line}\n${ruleText(body)}`;
  const detect = (text: string) => ruleText(text);

  it.each([
    [
      "no title",
      ruleText(body).replace(/^title.*\n/, ""),
      "rule-invalid",
      "1:1",
      "title: a text",
      "nothing",
    ],
    [
      "no id",
      ruleText(body).replace(/^id.*\n/m, ""),
      "rule-invalid",
      "1:1",
      "id: a UUID",
      "nothing",
    ],
    [
      "a bad id",
      ruleText(body).replace(/^id.*$/m, "id: abc"),
      "rule-invalid",
      "2:5",
      "id to be a UUID",
      "'abc'",
    ],
    [
      "a bad level",
      with_("level: urgent"),
      "rule-invalid",
      "1:8",
      "level to be one of informational, low, medium, high, critical",
      "'urgent'",
    ],
    [
      "a bad status",
      with_("status: done"),
      "rule-invalid",
      "1:9",
      "status to be one of stable, test, experimental, deprecated, unsupported",
      "'done'",
    ],
    [
      "tags as a map",
      with_("tags: {a: b}"),
      "rule-invalid",
      "1:7",
      "tags to be a list of texts",
      "a map",
    ],
    [
      "title as a list",
      ruleText(body).replace("A rule", "[a]"),
      "rule-invalid",
      "1:8",
      "title to be a text",
      "a list",
    ],
    [
      "no logsource",
      ruleText(body).replace(/^logsource:\n.*\n/m, ""),
      "rule-invalid",
      "1:1",
      "logsource: a map",
      "nothing",
    ],
    [
      "an empty logsource",
      ruleText(body).replace("product: linux", "definition: x"),
      "rule-invalid",
      "4:3",
      "logsource.product: at least one of product, category, service",
      "nothing",
    ],
    [
      "a logsource of nothing",
      ruleText(body).replace("product: linux", "product:"),
      "rule-invalid",
      "4:3",
      "logsource.product: at least one of product, category, service",
      "nothing",
    ],
    [
      "a logsource key",
      ruleText(body).replace("product:", "prodct:"),
      "rule-key-unknown",
      "4:3",
      "'product'",
      "'logsource.prodct'",
    ],
    ["no detection", head, "rule-invalid", "1:1", "detection: a map", "nothing"],
    [
      "detection as text",
      `${head}detection: x`,
      "rule-invalid",
      "5:12",
      "detection to be a map",
      "'x'",
    ],
    [
      "no condition",
      detect("  s:\n    f: 1"),
      "rule-invalid",
      "6:3",
      "detection.condition: a condition",
      "nothing",
    ],
    [
      "a condition map",
      detect("  s:\n    f: 1\n  condition: {a: b}"),
      "rule-invalid",
      "8:14",
      "detection.condition to be a condition or a list of conditions",
      "a map",
    ],
    [
      "no conditions",
      detect("  s:\n    f: 1\n  condition: []"),
      "rule-invalid",
      "8:14",
      "detection.condition to be at least one condition",
      "a list",
    ],
    [
      "an empty search",
      detect("  s:\n  condition: s"),
      "rule-invalid",
      "6:3",
      "detection.s to be a map or a list",
      "nothing",
    ],
    [
      "an empty map",
      detect("  s: {}\n  condition: s"),
      "rule-invalid",
      "6:6",
      "detection.s to be at least one field",
      "a map",
    ],
    [
      "an empty list",
      detect("  s: []\n  condition: s"),
      "rule-invalid",
      "6:6",
      "detection.s to be at least one map or keyword",
      "a list",
    ],
    [
      "no values",
      detect("  s:\n    f: []\n  condition: s"),
      "rule-invalid",
      "7:8",
      "detection.s.f to be a value or a list of values",
      "a list",
    ],
    [
      "a map as value",
      detect("  s:\n    f: {a: 1}\n  condition: s"),
      "rule-invalid",
      "7:8",
      "detection.s.f to be a value or a list of values",
      "a map",
    ],
    [
      "a list of lists",
      detect("  s:\n    - [a]\n  condition: s"),
      "rule-invalid",
      "7:7",
      "detection.s to be a list of maps or keywords",
      "a list",
    ],
    [
      "a timeframe",
      detect(`${body}\n  timeframe: 5m`),
      "rule-invalid",
      "9:14",
      "detection.timeframe to be left out (Sigma 2 puts a timespan in a correlation rule)",
      "'5m'",
    ],
    ["a key twice", with_("title: x"), "yaml-invalid", "2:1", "each key once", "title"],
    [
      "an alias",
      "a: &x 1\nb: *x",
      "yaml-invalid",
      "2:5",
      "a value written out (aliases are not accepted)",
      "*x",
    ],
    ["a tag", "a: !!binary aGk=", "yaml-invalid", "1:4", "a value without a tag", "!!binary"],
    ["a map as key", "? {a: 1}\n: 2", "yaml-invalid", "1:3", "a text as key", "map"],
    ["no map", "- a\n- b", "rule-invalid", "1:1", "a rule: a map with title, id, …", "a list"],
    [
      "a filter",
      with_("filter: {rules: any}"),
      "rule-invalid",
      "1:1",
      "a detection or correlation rule (filters are not supported yet)",
      "'filter'",
    ],
    [
      "an action",
      with_("action: global"),
      "rule-invalid",
      "1:1",
      "a rule of Sigma 2 ('action' documents were left behind with Sigma 1)",
      "'action'",
    ],
    [
      "both kinds",
      with_("correlation: {type: temporal}"),
      "rule-invalid",
      "1:1",
      "either 'detection' or 'correlation' in one document",
      "both",
    ],
    [
      "pipewarden as text",
      with_("pipewarden: page"),
      "rule-invalid",
      "1:13",
      "pipewarden to be a map",
      "'page'",
    ],
    ["a key near ours", pw("pag: true"), "rule-key-unknown", "2:3", "'page'", "'pipewarden.pag'"],
    [
      "a key far from ours",
      pw("constructor: 1"),
      "rule-key-unknown",
      "2:3",
      "one of page, reason, response, runbook, dedupe, causes",
      "'pipewarden.constructor'",
    ],
    [
      "page as text",
      pw("page: 'true'"),
      "rule-invalid",
      "2:9",
      "pipewarden.page to be true or false",
      "'true'",
    ],
    [
      "page as yes",
      pw("page: yes"),
      "rule-invalid",
      "2:9",
      "pipewarden.page to be true or false",
      "'yes'",
    ],
    [
      "dedupe's key",
      pw("dedupe: {by: [a], fo: 1h}"),
      "rule-key-unknown",
      "2:21",
      "'for'",
      "'pipewarden.dedupe.fo'",
    ],
    [
      "dedupe's unit",
      pw("dedupe: {for: 1w}"),
      "rule-invalid",
      "2:17",
      "pipewarden.dedupe.for to be a duration like 90s, 5m, 1h or 2d, of at most 30d",
      "'1w'",
    ],
    [
      "dedupe too long",
      pw("dedupe: {for: 31d}"),
      "rule-invalid",
      "2:17",
      "pipewarden.dedupe.for to be a duration like 90s, 5m, 1h or 2d, of at most 30d",
      "'31d'",
    ],
    [
      "a cause without a field",
      pw("causes: {run: }"),
      "rule-invalid",
      "2:11",
      "pipewarden.causes.run: a text",
      "nothing",
    ],
  ])("%s", (_name, text, code, at, expected, found) => {
    expect(parseRules(text, "a.yml")).toEqual({
      rules: [],
      problems: [{ code, place: `a.yml:${at}`, expected, found }],
    });
  });

  it("reports every problem of a document at once", () => {
    const text =
      "title: 1\nlevel: x\npipewarden: {page: 2}\nlogsource: {product: linux}\ndetection: {s: {f|x: 1, g: {}}, condition: t}";
    const { problems } = parseRules(text, "a.yml");
    expect(problems.map(({ code, place }) => `${place} ${code}`)).toEqual([
      "a.yml:1:1 rule-invalid",
      "a.yml:2:8 rule-invalid",
      "a.yml:3:20 rule-invalid",
      "a.yml:5:17 modifier-unknown",
      "a.yml:5:28 rule-invalid",
      "a.yml:5:44 condition-expected",
    ]);
  });
});
