import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { candidatesByLogsource } from "../../src/detection/candidates.ts";
import { loadRuleset, readRuleFiles } from "../../src/detection/detection.ts";
import { readList } from "../../src/detection/rule-files.ts";

const id = (number: number) => `00000000-0000-4000-8000-${String(number).padStart(12, "0")}`;

function detection(number: number, lines: readonly string[] = ["action: x"]): string {
  return `title: Rule ${number}
id: ${id(number)}
name: rule-${number}
status: test
description: Under test.
level: low
logsource:
  product: github
  service: audit
detection:
  selection:
${lines.map((line) => `    ${line}\n`).join("")}  condition: selection
`;
}

function correlation(number: number, rules: readonly string[], generate: boolean): string {
  return `title: Correlation ${number}
id: ${id(number)}
name: rule-${number}
status: test
description: Under test.
level: high
correlation:
  type: temporal
  rules: [${rules.join(", ")}]
  group-by: [actor]
  timespan: 5m
  generate: ${generate}
`;
}

function load(...texts: readonly string[]) {
  const files = texts.map((text, index) => ({ path: `rules/${index}.yml`, text }));
  return loadRuleset({ files, lists: new Map([["bots", ["ann", "b*"]]]) });
}

describe("loading a rule set", () => {
  it("has every rule under its id, detections compiled", () => {
    const { ruleset, problems } = load(
      detection(1),
      detection(2),
      correlation(3, ["rule-1", id(2)], false),
    );
    expect(problems).toEqual([]);
    expect([...ruleset.byId.keys()]).toEqual([id(1), id(2), id(3)]);
    expect(ruleset.detections.map(({ rule }) => rule.title)).toEqual(["Rule 1", "Rule 2"]);
    expect(ruleset.correlations.map(({ rules }) => rules)).toEqual([[id(1), id(2)]]);
  });

  it.each([
    ["that no correlation waits for", [], true],
    ["kept as a signal", [correlation(2, ["rule-1", "rule-9"], false)], false],
    ["that alerts beside its correlation", [correlation(2, ["rule-1", "rule-9"], true)], true],
    [
      "that one of two correlations lets alert",
      [correlation(2, ["rule-1", "rule-9"], false), correlation(3, ["rule-1", "rule-9"], true)],
      true,
    ],
  ])("knows whether a rule alerts: one %s", (_name, correlations, alerts) => {
    const { ruleset, problems } = load(detection(1), detection(9), ...correlations);
    expect(problems).toEqual([]);
    expect(ruleset.alerts(id(1))).toBe(alerts);
    expect(ruleset.alerts("no such rule")).toBe(false);
  });

  it.each([
    ["no YAML", ["title: ["], ["yaml-invalid"]],
    ["an unknown modifier", [detection(5, ["action|sometimes: x"])], ["modifier-unknown"]],
    ["a list that is not there", [detection(5, ['actor|expand: "%nobody%"'])], ["list-unknown"]],
    [
      "a correlation of a rule that cannot run",
      [detection(5, ['actor|expand: "%nobody%"']), correlation(6, ["rule-1", "rule-5"], false)],
      ["list-unknown", "rule-reference-unknown"],
    ],
    ["an id taken twice", [detection(1)], ["rule-duplicate"]],
  ])("leaves out the broken rule and keeps the others: %s", (_name, texts, codes) => {
    const { ruleset, problems } = load(detection(1), ...texts);
    expect(problems.map(({ code }) => code)).toEqual(codes);
    expect(problems.every(({ place }) => place.startsWith("rules/"))).toBe(true);
    expect([...ruleset.byId.keys()]).toEqual([id(1)]);
    expect(ruleset.alerts(id(1))).toBe(true);
  });

  it("gives operator lists to rules", () => {
    const { ruleset, problems } = load(detection(1, ['actor|expand: "%bots%"']));
    expect(problems).toEqual([]);
    const matches = (name: string) =>
      ruleset.detections[0]?.matches({
        field: (field) => (field === "user.name" ? name : undefined),
        values: () => [],
      });
    expect([matches("ann"), matches("bob"), matches("eve")]).toEqual([true, true, false]);
  });

  it("translates names by the rule's logsource", () => {
    const { ruleset } = load(detection(1));
    expect(ruleset.fieldsOf(id(1), "actor")).toEqual(["user.name"]);
    expect(ruleset.fieldsOf(id(1), "user.name")).toEqual(["user.name"]);
    expect(ruleset.fieldsOf("no such rule", "actor")).toEqual(["actor"]);
  });
});

describe("candidates", () => {
  const texts = [
    ["product: linux", "category: process_creation"],
    ["category: process_creation"],
    ["product: linux"],
    ["product: linux", "service: falco"],
    ["product: github", "service: audit"],
  ].map((lines, index) =>
    detection(index).replace(
      "  product: github\n  service: audit\n",
      lines.map((line) => `  ${line}\n`).join(""),
    ),
  );
  const { ruleset, problems } = load(...texts);
  const candidates = candidatesByLogsource(ruleset.detections);

  it.each([
    [{ product: "linux", category: "process_creation", service: "falco" }, [0, 1, 2, 3]],
    [{ product: "linux", category: "file_event" }, [2]],
    [{ product: "windows", category: "process_creation" }, [1]],
    [{ product: "github", service: "audit" }, [4]],
    [{ product: "github" }, []],
    [{}, []],
    [{ product: "linux|process_creation" }, []],
    [{ product: "constructor" }, []],
  ])("for %o", (logsource, expected) => {
    expect(problems).toEqual([]);
    const titles = expected.map((number) => `Rule ${number}`);
    // Twice: worked out, then remembered.
    for (let round = 0; round < 2; round += 1) {
      expect(candidates(logsource).map(({ rule }) => rule.title)).toEqual(titles);
    }
  });

  it("are remembered by logsource, unless a name could pass for another", () => {
    expect(candidates({ product: "linux" })).toBe(candidates({ product: "linux" }));
    const posing = { product: "linux", category: "process_creation|falco" };
    expect(candidates(posing).map(({ rule }) => rule.title)).toEqual(["Rule 2"]);
    const real = { product: "linux", category: "process_creation", service: "falco" };
    expect(candidates(real)).toHaveLength(4);
  });

  it("stay right past the bound on what is remembered", () => {
    for (let index = 0; index < 1_200; index += 1) candidates({ product: `plugin-${index}` });
    expect(candidates({ product: "linux" }).map(({ rule }) => rule.title)).toEqual(["Rule 2"]);
    expect(candidates({ product: "plugin-1199", category: "process_creation" })).toHaveLength(1);
  });
});

describe("rule files", () => {
  let directory = "";
  afterEach(() => {
    if (directory !== "") rmSync(directory, { recursive: true, force: true });
    directory = "";
  });

  function write(files: Readonly<Record<string, string>>): string {
    directory = mkdtempSync(join(tmpdir(), "pipewarden-rules-"));
    for (const [path, text] of Object.entries(files)) {
      mkdirSync(join(directory, path, ".."), { recursive: true });
      writeFileSync(join(directory, path), text);
    }
    return directory;
  }

  it("are the YAML files below a directory that are not tests, lists or what tests share", () => {
    const root = write({
      "b/two.yml": "two",
      "a/one.yaml": "one",
      "a/one.test.yml": "test",
      "a/notes.md": "notes",
      "lists/bots.yml": "description: Bots.\nentries: [ann, 7]",
      "lists/hosts.yml": "- a.example\n- b.example",
      "testing/shared.yml": "shared",
    });
    const read = readRuleFiles({ rulesDirs: [root], listsDirs: [join(root, "lists")] });
    expect(read.problems).toEqual([]);
    expect(read.files.map(({ path, text }) => [path.slice(root.length), text])).toEqual([
      ["/a/one.yaml", "one"],
      ["/b/two.yml", "two"],
    ]);
    expect([...read.lists]).toEqual([
      ["bots", ["ann", "7"]],
      ["hosts", ["a.example", "b.example"]],
    ]);
  });

  it("give a later directory's list the word", () => {
    const root = write({ "x/bots.yml": "[ann]", "y/bots.yml": "[bob]" });
    const listsDirs = [join(root, "x"), join(root, "y")];
    expect([...readRuleFiles({ rulesDirs: [], listsDirs }).lists]).toEqual([["bots", ["bob"]]]);
  });

  it("that cannot be read are problems, and the others are read", () => {
    const root = write({
      "a/one.yml": "one",
      "lists/bad.yml": "entries: 3",
      "lists/good.yml": "[]",
    });
    const read = readRuleFiles({
      rulesDirs: [join(root, "nowhere"), root],
      listsDirs: [join(root, "lists")],
    });
    expect(read.problems.map(({ code }) => code)).toEqual(["config-invalid", "shape-unexpected"]);
    expect(read.files).toHaveLength(1);
    expect([...read.lists]).toEqual([["good", []]]);
  });

  it.each([
    ["entries: [a]\nentires: [b]", "shape-unexpected"],
    ["just text", "shape-unexpected"],
    ["", "shape-unexpected"],
    ["entries:\n  - a: b", "shape-unexpected"],
    ["[null]", "shape-unexpected"],
    ['[""]', "shape-unexpected"],
    ["[true]", "shape-unexpected"],
    ["entries: [", "yaml-invalid"],
  ])("refuse a list like %j", (text, code) => {
    expect(readList(text, "lists/x.yml")).toMatchObject({ code });
  });
});
