import { load } from "js-yaml";
import { describe, expect, it } from "vitest";
import { readRuleFiles } from "../src/detection/detection.ts";
import { runRuleTests } from "../src/pipeline/rule-test.ts";
import { changedRule, searchesOf, type WrittenRule, withoutSearch } from "./tools/rule-mutation.ts";

const directory = "rules";
const searches = readRuleFiles({ rulesDirs: [directory], listsDirs: [] }).files.flatMap((file) =>
  searchesOf(load(file.text) as WrittenRule).map((search) => ({
    rule: file.path.slice(directory.length + 1).replace(/\.ya?ml$/, ""),
    search,
  })),
);

describe("the tests of a rule notice each search that no longer holds", () => {
  it.each(searches)("$rule: $search", async ({ rule, search }) => {
    const results = await runRuleTests({
      directory,
      only: (other) => other === rule,
      change: (text) => changedRule(text, (document) => withoutSearch(document, search)),
    });
    const failed = results.filter(({ passed }) => !passed);
    expect(failed.map(({ test }) => test)).not.toEqual([]);
    // Noticed by a test, not by a load that failed.
    expect(failed.every(({ expects }) => expects !== "a readable test file")).toBe(true);
    if (search.startsWith("filter_")) {
      expect(failed.some(({ expects }) => expects === "silent")).toBe(true);
    }
  });
});
