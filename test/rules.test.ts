import { readdirSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { load } from "js-yaml";
import { describe, expect, it } from "vitest";
import { loadRuleset, readRuleFiles } from "../src/detection/detection.ts";
import { problemLine } from "../src/error.ts";
import { type RuleTestResult, runRuleTests } from "../src/pipeline/rule-test.ts";
import { changedRule, neverTrue, type WrittenRule } from "./tools/rule-mutation.ts";

const directory = "rules";
const runbooks = "docs/rules.md";
const read = readRuleFiles({ rulesDirs: [directory], listsDirs: [join(directory, "lists")] });
const { ruleset, problems } = loadRuleset(read);

const written = new Map(
  read.files.map(({ path, text }) => [nameOf(path), load(text) as WrittenRule]),
);
const rules = [...ruleset.byId.values()].map((rule) => ({
  name: nameOf(rule.place.replace(/:\d+$/, "")),
  rule,
}));
const results = await runRuleTests({ directory });

function nameOf(path: string): string {
  return path.slice(directory.length + 1).replace(/\.ya?ml$/, "");
}

function failuresIn(found: readonly RuleTestResult[]): string[] {
  return found
    .filter(({ passed }) => !passed)
    .map(({ rule, test, explanation }) => `${rule}: ${test}\n  ${explanation}`);
}

/** The heading's anchor as GitHub makes it. */
function anchorsIn(markdown: string): Set<string> {
  const headings = [...markdown.matchAll(/^#+ (.+)$/gm)].map(([, heading]) => heading ?? "");
  return new Set(headings.map((heading) => heading.trim().toLowerCase().replaceAll(" ", "-")));
}

describe("the shipped rules", () => {
  it("load without a problem", () => {
    expect([...read.problems, ...problems].map(problemLine)).toEqual([]);
    expect(rules).toHaveLength(read.files.length);
    expect(rules.length).toBeGreaterThanOrEqual(24);
  });

  it("look at every feed", () => {
    const products = rules.flatMap(({ rule }) =>
      rule.kind === "detection"
        ? [`${rule.logsource.product}/${rule.logsource.service ?? rule.logsource.category ?? ""}`]
        : [],
    );
    expect(new Set(products)).toEqual(
      new Set([
        ...["linux/falco", "falco/internal", "ci/", "ci/proxy", "github/", "github/audit"],
        ...["github/webhook", "trivy/secret", "trivy/vulnerability", "registry/notification"],
      ]),
    );
  });

  it("use every list, and every list tells what it is for", () => {
    for (const file of readdirSync(join(directory, "lists"))) {
      const list = load(readFileSync(join(directory, "lists", file), "utf8")) as {
        description: string;
      };
      expect(list.description.length, file).toBeGreaterThan(20);
      const name = `%${basename(file, ".yml")}%`;
      expect(
        read.files.some(({ text }) => text.includes(name)),
        `${file} is used`,
      ).toBe(true);
    }
  });

  it("are asked for a person's attention in few cases only", () => {
    const paging = rules.filter(({ rule }) => rule.pipewarden.page);
    for (const { name, rule } of paging) expect(rule.level, name).toBe("critical");
    expect(paging.length).toBeLessThan(rules.length / 4);
  });
});

describe.each(rules)("$name", ({ name, rule }) => {
  const mine = results.filter((result) => result.rule === name);
  const heading = rule.pipewarden.runbook?.replace(`${runbooks}#`, "") ?? "";

  it("says what people need", () => {
    const { author, date, status } = written.get(name) ?? {};
    expect(author).toBe("pipewarden");
    expect(String(date)).toMatch(/2026/);
    expect(["test", "experimental", "stable"]).toContain(status);
    expect(rule.name).toBe(name.split("/")[1]);
    expect(rule.description.length).toBeGreaterThan(40);
    expect(rule.references).not.toEqual([]);
    expect(rule.tags.some((tag) => /^attack\.t\d{4}(\.\d{3})?$/.test(tag))).toBe(true);
    expect(rule.tags.some((tag) => /^attack\.[a-z-]+$/.test(tag))).toBe(true);
    expect(rule.pipewarden.reason?.length).toBeGreaterThan(20);
    expect(rule.pipewarden.response).not.toEqual([]);
  });

  it("says when it is wrong and how to tune it", () => {
    expect(rule.falsePositives).not.toEqual([]);
    for (const text of rule.falsePositives) {
      expect(text).not.toMatch(/^(unknown|none|unlikely)\.?$/i);
      expect(text.length).toBeGreaterThan(30);
    }
  });

  it("has its runbook", () => {
    expect(rule.pipewarden.runbook).toBe(`${runbooks}#${rule.name}`);
    expect(anchorsIn(readFileSync(runbooks, "utf8"))).toContain(heading);
  });

  it("has two tests or more that fire, and as many near misses", () => {
    const silent = mine.filter(({ expects }) => expects === "silent");
    expect(silent.length).toBeGreaterThanOrEqual(2);
    expect(mine.length - silent.length).toBeGreaterThanOrEqual(2);
    expect(new Set(mine.map(({ test }) => test)).size).toBe(mine.length);
  });

  it("passes its tests", () => {
    expect(failuresIn(mine)).toEqual([]);
  });

  it("fails its firing tests when its condition can never hold", async () => {
    const changed = await runRuleTests({
      directory,
      only: (other) => other === name,
      change: (text) => changedRule(text, neverTrue),
    });
    expect(changed.map(({ test }) => test)).toEqual(mine.map(({ test }) => test));
    for (const { expects, passed, test } of changed) {
      expect(passed, test).toBe(expects === "silent");
    }
  });
});
