/**
 * @module The tests beside the rules, run with the production engine: raw inputs in, alerts out, on
 * a virtual clock.
 */

import { readdirSync, readFileSync } from "node:fs";
import { basename, join, relative } from "node:path";
import { loadRuleset, type Match, type RuleFile, readRuleFiles } from "../detection/detection.ts";
import { type Problem, problemLine } from "../error.ts";
import { isProblem } from "../event/codec.ts";
import { type Event, fieldOf, textOf } from "../event/event.ts";
import {
  type Input,
  type RuleTest,
  type RuleTests,
  readRuleTests,
  readTestContext,
  type TestContext,
} from "./rule-test-file.ts";
import { type Outcome, runTimeline } from "./rule-test-run.ts";

export interface RuleTestSettings {
  /** Holds `<tactic>/<rule>.yml` with `<rule>.test.yml` beside, `lists/` and `testing/`. */
  readonly directory: string;
  /** Which rules to test, by `tactic/name`; all when absent. The whole set is loaded anyway. */
  readonly only?: (rule: string) => boolean;
  /** Changes the rule's text before it is loaded: to see that its tests can fail. */
  readonly change?: (text: string) => string;
}

export interface RuleTestResult {
  /** `tactic/name` */
  readonly rule: string;
  readonly test: string;
  readonly expects: "fires" | "signals" | "silent" | "a readable test file";
  readonly passed: boolean;
  /** Empty when passed; else what was expected, what came, and what the inputs became. */
  readonly explanation: string;
}

/** Every test of every rule, in the order of their paths. What is wrong in a file is a result. */
export async function runRuleTests(settings: RuleTestSettings): Promise<readonly RuleTestResult[]> {
  const { directory, only = () => true } = settings;
  const read = readRuleFiles({ rulesDirs: [directory], listsDirs: [join(directory, "lists")] });
  const contexts = readContexts(join(directory, "testing"));
  const results: RuleTestResult[] = [];
  for (const file of read.files) {
    const rule = relative(directory, file.path).replace(/\.ya?ml$/, "");
    if (!only(rule)) continue;
    const tests = testsOf(file);
    if (tests === undefined) continue;
    if (isProblem(tests)) results.push(unreadable(rule, tests));
    else results.push(...(await runFile({ rule, file, tests, read, contexts, settings })));
  }
  return results;
}

function testsOf(file: RuleFile): RuleTests | Problem | undefined {
  const path = file.path.replace(/\.ya?ml$/, ".test.yml");
  const text = readIfThere(path);
  return text === undefined ? undefined : readRuleTests(text, path);
}

function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
}

type Contexts = ReadonlyMap<string, TestContext | Problem>;

function readContexts(directory: string): Contexts {
  let names: string[] = [];
  try {
    names = readdirSync(directory).filter((name) => name.endsWith(".yml"));
  } catch {
    // A set of rules without shared contexts is sound; a test that asks for one says so.
  }
  return new Map(
    names.map((name) => {
      const path = join(directory, name);
      return [basename(name, ".yml"), readTestContext(readIfThere(path) ?? "", path)];
    }),
  );
}

function unreadable(rule: string, problem: Problem): RuleTestResult {
  const test = "the test file";
  const explanation = problemLine(problem);
  return { rule, test, expects: "a readable test file", passed: false, explanation };
}

interface FileRun {
  readonly rule: string;
  readonly file: RuleFile;
  readonly tests: RuleTests;
  readonly read: ReturnType<typeof readRuleFiles>;
  readonly contexts: Contexts;
  readonly settings: RuleTestSettings;
}

async function runFile(run: FileRun): Promise<readonly RuleTestResult[]> {
  const { rule, file, tests, read, contexts, settings } = run;
  const change = settings.change ?? ((text) => text);
  const files = read.files.map((other) => {
    return other.path === file.path ? { ...other, text: change(other.text) } : other;
  });
  const lists = new Map([...read.lists, ...Object.entries(tests.lists ?? {})]);
  const { ruleset, problems } = loadRuleset({ files, lists });
  const within = ({ place }: { readonly place: string }) => place.startsWith(`${file.path}:`);
  const problem = problems.find(within);
  if (problem !== undefined) return [unreadable(rule, problem)];
  const given = givenOf(tests, contexts);
  if (isProblem(given)) return [unreadable(rule, given)];
  const id = [...ruleset.byId.values()].find(within)?.id;
  if (id === undefined) return [unreadable(rule, notLoaded(file))];
  const results: RuleTestResult[] = [];
  for (const test of tests.tests) {
    const inputs = [...given.input, ...test.input];
    const outcome = await runTimeline({ inputs, runners: given.runners, ruleset });
    const explanation = faultOf(test, outcome, id);
    const expects = test.silent ? "silent" : test.fires === undefined ? "signals" : "fires";
    const passed = explanation === undefined;
    results.push({ rule, test: test.name, expects, passed, explanation: explanation ?? "" });
  }
  return results;
}

/** A file that holds no rule at all has no problem of its own. */
function notLoaded({ path }: RuleFile): Problem {
  return { code: "rule-invalid", place: path, expected: "a rule to test", found: "none" };
}

interface Given {
  readonly input: readonly Input[];
  readonly runners: NonNullable<TestContext["runners"]>;
}

function givenOf(tests: RuleTests, contexts: Contexts): Given | Problem {
  const input: Input[] = [];
  const runners: NonNullable<TestContext["runners"]> = [];
  for (const name of tests.given ?? []) {
    const context = contexts.get(name);
    if (context === undefined) {
      const expected = `one of ${[...contexts.keys()].join(", ")}`;
      return { code: "shape-unexpected", place: "given", expected, found: `'${name}'` };
    }
    if (isProblem(context)) return context;
    input.push(...context.input);
    runners.push(...(context.runners ?? []));
  }
  return { input, runners };
}

/** Why the test fails, for people; undefined when it passes. */
function faultOf(test: RuleTest, outcome: Outcome, id: string): string | undefined {
  const alerts = outcome.alerts.filter(({ rule }) => rule.id === id);
  const signals = outcome.signals.filter(({ rule }) => rule.id === id);
  const faults: string[] = [];
  if (alerts.length !== (test.fires ?? 0)) {
    faults.push(`expected ${counted(test.fires ?? 0, "alert")}, got ${alerts.length}`);
  }
  // A rule that alerts also feeds its correlations; then its signals are the same matches.
  if (test.fires === undefined && signals.length !== (test.signals ?? 0)) {
    faults.push(`expected ${counted(test.signals ?? 0, "signal")}, got ${signals.length}`);
  }
  const [first] = [...alerts, ...signals];
  if (first !== undefined) faults.push(...mismatches(test, first));
  faults.push(...outcome.problems);
  return faults.length === 0 ? undefined : [...faults, ...story(outcome)].join("\n  ");
}

function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}

function mismatches(test: RuleTest, match: Match): readonly string[] {
  const faults: string[] = [];
  const [event] = match.events;
  for (const [name, expected] of Object.entries(test.expect ?? {})) {
    const found = event === undefined ? undefined : fieldOf(event.fields, name);
    if (found === expected) continue;
    faults.push(`expected ${name} to be ${JSON.stringify(expected)}, got ${JSON.stringify(found)}`);
  }
  if (test.reason !== undefined && !match.reason.includes(test.reason)) {
    faults.push(`expected the reason to hold "${test.reason}", got "${match.reason}"`);
  }
  return faults;
}

/** What each input became and which rules it matched. */
function story({ taken, alerts, signals }: Outcome): readonly string[] {
  const matches = [...alerts, ...signals];
  const lines = taken.map(({ input, event }) => {
    const mine = matches.filter(({ events }) => events.some(({ id }) => id === event.id));
    const matched = mine.flatMap(({ events }) => events).find(({ id }) => id === event.id) ?? event;
    const rules = [...new Set(mine.map(({ rule }) => rule.title))];
    const build =
      matched.build === undefined ? "" : `, ${matched.build.job ?? matched.build.workflow}`;
    const told = rules.length === 0 ? "no rule" : rules.join("; ");
    return `${input.at} ${input.feed} ${summaryOf(event)}${build}: ${told}`;
  });
  const late = matches.filter(({ events }) => events.length === 0).map(({ rule }) => rule.title);
  return [...lines, ...late];
}

const summaryFields = [
  "event.action",
  "http.request.method",
  "url.full",
  "process.command_line",
  "file.path",
  "vcs.repository.name",
] as const;

function summaryOf({ fields }: Event): string {
  return summaryFields.flatMap((name) => textOf(fields, name)?.slice(0, 80) ?? []).join(" ");
}
