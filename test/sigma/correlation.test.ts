import { describe, expect, it } from "vitest";
import {
  type CorrelationRule,
  parseRules,
  type Rule,
  resolveRules,
} from "../../src/sigma/sigma.ts";
import { ruleText } from "./rule-text.ts";

const base = "22222222-2222-4222-8222-222222222222";

/** A correlation whose section starts on line 4. */
function correlation(section: string, top = ""): string {
  const indented = section.replace(/^/gm, "  ");
  return `title: Many\nid: ${base}\n${top}correlation:\n${indented}\n`;
}

const count = `type: event_count
rules: [logins]
timespan: 5m
condition: {gte: 10}`;

function only(text: string): CorrelationRule {
  const { rules, problems } = parseRules(text, "c.yml");
  expect(problems).toEqual([]);
  return rules[0] as CorrelationRule;
}

describe("a correlation rule", () => {
  it("has its defaults", () => {
    expect(only(correlation(count))).toMatchObject({
      kind: "correlation",
      id: base,
      type: "event_count",
      rules: ["logins"],
      groupBy: [],
      aliases: new Map(),
      timespanMs: 300_000,
      condition: { gte: 10 },
      generate: false,
      level: "medium",
      place: "c.yml:1",
    });
  });

  it("reads everything it may say", () => {
    const upper = "ABCDEF00-0000-4000-8000-000000000000";
    const rule = only(
      correlation(`type: value_count
rules: [push, ${upper}]
group-by: [user.name, who]
aliases:
  who:
    push: user.name
    ${upper}: user.target.name
timespan: 30d
condition: {gt: 1, lte: 4.5, field: source.ip}
generate: true`),
    );
    const id = upper.toLowerCase();
    expect(rule).toMatchObject({
      type: "value_count",
      rules: ["push", id],
      groupBy: ["user.name", "who"],
      timespanMs: 2_592_000_000,
      condition: { gt: 1, lte: 4.5, field: "source.ip" },
      generate: true,
    });
    expect(rule.aliases).toEqual(
      new Map([
        [
          "who",
          new Map([
            ["push", "user.name"],
            [id, "user.target.name"],
          ]),
        ],
      ]),
    );
  });

  it.each(["temporal", "temporal_ordered"])("%s alone means every rule once", (type) => {
    const text = `type: ${type}\nrules: [a, b, c]\ntimespan: 10s`;
    expect(only(correlation(text)).condition).toEqual({ gte: 3 });
  });

  it("takes generate at the top too", () => {
    expect(only(correlation(count, "generate: true\n")).generate).toBe(true);
  });
});

describe("what it refuses, and where", () => {
  const types = "event_count, value_count, temporal, temporal_ordered";
  const duration = "correlation.timespan to be a duration like 90s, 5m, 1h or 2d, of at most 30d";
  const edit = (from: string | RegExp, to: string) => correlation(count.replace(from, to));

  it.each([
    [
      "an unsupported type",
      edit("event_count", "value_sum"),
      "rule-invalid",
      "4:9",
      `correlation.type to be one of ${types} (this type is not supported yet)`,
      "'value_sum'",
    ],
    [
      "an unknown type",
      edit("event_count", "counts"),
      "rule-invalid",
      "4:9",
      `correlation.type to be one of ${types}`,
      "'counts'",
    ],
    [
      "no type",
      edit(/^type.*\n/, ""),
      "rule-invalid",
      "4:3",
      "correlation.type: a text",
      "nothing",
    ],
    [
      "no rules",
      edit(/^rules.*\n/m, ""),
      "rule-invalid",
      "4:3",
      "correlation.rules: the ids or names of rules",
      "nothing",
    ],
    [
      "a rule twice",
      edit("[logins]", "[a, a]"),
      "rule-invalid",
      "5:10",
      "correlation.rules to be a list that names each rule once",
      "a list",
    ],
    [
      "no timespan",
      edit(/^timespan.*\n/m, ""),
      "rule-invalid",
      "4:3",
      "correlation.timespan: a duration",
      "nothing",
    ],
    ["a bad timespan", edit("5m", "5 minutes"), "rule-invalid", "6:13", duration, "'5 minutes'"],
    ["no time at all", edit("5m", "0s"), "rule-invalid", "6:13", duration, "'0s'"],
    ["a long timespan", edit("5m", "721h"), "rule-invalid", "6:13", duration, "'721h'"],
    [
      "no condition",
      edit(/\ncondition.*$/, ""),
      "rule-invalid",
      "4:3",
      "correlation.condition: a map with gt, gte, lt, lte, eq or neq",
      "nothing",
    ],
    [
      "a condition as text",
      edit("{gte: 10}", "a and b"),
      "rule-invalid",
      "7:14",
      "correlation.condition to be a map (conditions as text are not supported yet)",
      "'a and b'",
    ],
    [
      "an empty condition",
      edit("{gte: 10}", "{}"),
      "rule-invalid",
      "7:14",
      "correlation.condition.gte: at least one of gt, gte, lt, lte, eq, neq",
      "nothing",
    ],
    [
      "an unknown bound",
      edit("gte: 10", "gte: 10, gtee: 1"),
      "rule-key-unknown",
      "7:24",
      "'gte'",
      "'correlation.condition.gtee'",
    ],
    [
      "a bound as text",
      edit("gte: 10", "gte: '10'"),
      "rule-invalid",
      "7:20",
      "correlation.condition.gte to be a number of at least 0",
      "'10'",
    ],
    [
      "a bound below 0",
      edit("gte: 10", "gte: 1, lt: -1"),
      "rule-invalid",
      "7:27",
      "correlation.condition.lt to be a number of at least 0",
      "-1",
    ],
    [
      "a field to count events",
      edit("gte: 10", "gte: 10, field: f"),
      "rule-key-unknown",
      "7:24",
      "one of gt, gte, lt, lte, eq, neq",
      "'correlation.condition.field'",
    ],
    [
      "no field to count values",
      edit("event_count", "value_count"),
      "rule-invalid",
      "7:14",
      "correlation.condition.field: the field whose distinct values count",
      "nothing",
    ],
    [
      "fields to count values",
      edit("event_count", "value_count").replace("gte: 10", "gte: 10, field: [a, b]"),
      "rule-invalid",
      "7:31",
      "correlation.condition.field to be a text",
      "a list",
    ],
    [
      "an unknown key",
      correlation(`${count}\ngroupby: [a]`),
      "rule-key-unknown",
      "8:3",
      "'group-by'",
      "'correlation.groupby'",
    ],
    [
      "an alias of another rule",
      correlation(`${count}\naliases: {who: {pushes: f}}`),
      "rule-reference-unknown",
      "8:19",
      "a rule that correlation.rules names",
      "'pushes' (for 'f')",
    ],
    [
      "generate as text",
      correlation(`${count}\ngenerate: 'no'`),
      "rule-invalid",
      "8:13",
      "correlation.generate to be true or false",
      "'no'",
    ],
    [
      "correlation as text",
      `title: A\nid: ${base}\ncorrelation: x`,
      "rule-invalid",
      "3:14",
      "correlation to be a map",
      "'x'",
    ],
    [
      "correlation as nothing",
      `title: A\nid: ${base}\ncorrelation:`,
      "rule-invalid",
      "3:1",
      "correlation to be a map",
      "nothing",
    ],
  ])("%s", (_name, text, code, at, expected, found) => {
    expect(parseRules(text, "c.yml")).toEqual({
      rules: [],
      problems: [{ code, place: `c.yml:${at}`, expected, found }],
    });
  });
});

describe("resolveRules", () => {
  const idOf = (digit: number) => `${digit}`.repeat(8) + base.slice(8);

  function detection(digit: number, name?: string): Rule {
    const text = ruleText("  s:\n    f: 1\n  condition: s")
      .replace(/^id: .*$/m, `id: ${idOf(digit)}`)
      .replace(/^title/m, name === undefined ? "title" : `name: ${name}\ntitle`);
    return parseRules(text, `d${digit}.yml`).rules[0]!;
  }

  function waiting(digit: number, rules: readonly string[], name?: string): Rule {
    const top = name === undefined ? "" : `name: ${name}\n`;
    const aliases = rules.map((rule) => `${rule}: f`).join(", ");
    const section = `type: temporal\nrules: [${rules.join(", ")}]\ntimespan: 1m\naliases: {who: {${aliases}}}`;
    const text = correlation(section, top).replace(base, idOf(digit));
    return parseRules(text, `c${digit}.yml`).rules[0]!;
  }

  const unknown = "rule-reference-unknown";

  it("turns names into ids, in rules and aliases, whatever the order of loading", () => {
    const rules = [
      waiting(3, ["chain", idOf(2)]),
      waiting(4, ["login"], "chain"),
      detection(1, "login"),
      detection(2),
    ];
    const { rules: resolved, problems } = resolveRules(rules);
    expect(problems).toEqual([]);
    expect(resolved.map(({ id }) => id)).toEqual([3, 4, 1, 2].map(idOf));
    const [top, chain] = resolved as CorrelationRule[];
    expect(top?.rules).toEqual([idOf(4), idOf(2)]);
    expect([...(top?.aliases.get("who") ?? [])]).toEqual([
      [idOf(4), "f"],
      [idOf(2), "f"],
    ]);
    expect(chain?.rules).toEqual([idOf(1)]);
  });

  it("resolves again to the same", () => {
    const once = resolveRules([waiting(3, ["login"]), detection(1, "login")]);
    expect(resolveRules(once.rules)).toEqual(once);
  });

  it.each<readonly [string, () => readonly Rule[], readonly number[], readonly object[]]>([
    [
      "an unknown name",
      () => [detection(1, "login"), waiting(3, ["logn"])],
      [1],
      [{ code: unknown, place: "c3.yml:1", expected: "'login'", found: "'logn'" }],
    ],
    [
      "an unknown id",
      () => [detection(1), waiting(3, [idOf(9)])],
      [1],
      [
        {
          code: unknown,
          place: "c3.yml:1",
          expected: "the id or name of a loaded rule",
          found: `'${idOf(9)}'`,
        },
      ],
    ],
    [
      "a rule that is refused itself",
      () => [waiting(4, ["chain"]), waiting(3, ["zzzzzzzz"], "chain")],
      [],
      [
        { code: unknown, place: "c3.yml:1", found: "'zzzzzzzz'" },
        { code: unknown, place: "c4.yml:1", found: `'${idOf(3)}', which has a problem itself` },
      ],
    ],
    [
      "itself",
      () => [waiting(3, ["me"], "me")],
      [],
      [{ code: "rule-invalid", place: "c3.yml:1", found: idOf(3) }],
    ],
    [
      "a circle, and one on top of it",
      () => [waiting(3, ["b"], "a"), waiting(4, ["a"], "b"), waiting(5, ["a"]), detection(1)],
      [1],
      [
        { code: "rule-invalid", place: "c3.yml:1" },
        { code: "rule-invalid", place: "c4.yml:1" },
        { code: "rule-invalid", place: "c5.yml:1" },
      ],
    ],
    [
      "one rule under two references",
      () => [detection(1, "login"), waiting(3, ["login", idOf(1)])],
      [1],
      [{ code: "rule-invalid", place: "c3.yml:1", expected: "each rule named once" }],
    ],
    [
      "an id in two files",
      () => [detection(1), { ...detection(1), place: "e.yml:1" }],
      [1],
      [{ code: "rule-duplicate", place: "e.yml:1", found: `id ${idOf(1)}, also at d1.yml:1` }],
    ],
    [
      "a name in two files",
      () => [detection(1, "n"), detection(2, "n")],
      [1],
      [{ code: "rule-duplicate", place: "d2.yml:1", found: "name 'n', also at d1.yml:1" }],
    ],
    [
      "__proto__ as a name",
      () => [waiting(3, ["__proto__"])],
      [],
      [{ code: unknown, place: "c3.yml:1", found: "'__proto__'" }],
    ],
  ])("refuses %s", (_name, rules, kept, problems) => {
    const resolved = resolveRules(rules());
    expect(resolved.rules.map(({ id }) => id)).toEqual(kept.map(idOf));
    expect(resolved.problems).toMatchObject(problems);
  });

  it("takes long chains in any order", () => {
    const chain = Array.from({ length: 2_000 }, (_, at): Rule => {
      const id = `${at}`.padStart(8, "0") + base.slice(8);
      return { ...(waiting(3, [`n${at + 1}`]) as CorrelationRule), id, name: `n${at}` };
    });
    const last = { ...detection(1), name: "n2000" };
    expect(resolveRules([last, ...chain.toReversed()]).rules).toHaveLength(2_001);
    expect(resolveRules([...chain.slice(-200), last]).rules).toHaveLength(201);
  });
});
