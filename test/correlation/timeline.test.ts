import { describe, expect, it } from "vitest";
import {
  Bench,
  build,
  type CorrelationText,
  day,
  type Happening,
  hour,
  minute,
  rulesetOf,
  second,
} from "./bench-rule.ts";

const counted: CorrelationText = {
  type: "event_count",
  rules: ["a"],
  timespan: "10m",
  condition: ["gte: 3"],
};
const valued: CorrelationText = {
  type: "value_count",
  rules: ["a"],
  timespan: "10m",
  condition: ["field: repo", "gte: 3"],
};
const together: CorrelationText = { type: "temporal", rules: ["a", "b", "c"], timespan: "10m" };
const ordered: CorrelationText = { ...together, type: "temporal_ordered" };

interface Line {
  readonly name: string;
  readonly rule: CorrelationText;
  /** `action@seconds` or `action@seconds/repository`, in the order of arrival. */
  readonly line: string;
  /** Index of the events on which something shows, each with its count; [] for a near miss. */
  readonly fires: readonly (readonly [index: number, count: number])[];
}

const lines: readonly Line[] = [
  { name: "count reached", rule: counted, line: "a@0 a@1 a@2", fires: [[2, 3]] },
  { name: "one too few", rule: counted, line: "a@0 a@1", fires: [] },
  { name: "exactly the timespan apart", rule: counted, line: "a@0 a@1 a@600", fires: [[2, 3]] },
  { name: "a second more than the timespan", rule: counted, line: "a@0 a@1 a@601", fires: [] },
  {
    name: "more of the same episode",
    rule: counted,
    line: "a@0 a@1 a@2 a@300",
    fires: [
      [2, 3],
      [3, 4],
    ],
  },
  { name: "other rules do not count", rule: counted, line: "a@0 b@1 c@2 a@3", fires: [] },
  { name: "late one completes", rule: counted, line: "a@0 a@599 a@300", fires: [[2, 3]] },
  { name: "late one, too old for it", rule: counted, line: "a@700 a@800 a@199", fires: [] },
  {
    name: "sliding, not in fixed buckets",
    rule: counted,
    line: "a@0 a@590 a@595 a@605",
    fires: [
      [2, 3],
      [3, 4],
    ],
  },
  {
    name: "distinct values",
    rule: valued,
    line: "a@0/x a@1/y a@2/z",
    fires: [[2, 3]],
  },
  { name: "values repeat", rule: valued, line: "a@0/x a@1/y a@2/y a@3/x", fires: [] },
  { name: "value left the window", rule: valued, line: "a@0/x a@1/y a@601/z", fires: [] },
  { name: "late value", rule: valued, line: "a@0/x a@599/z a@300/y", fires: [[2, 3]] },
  { name: "value absent", rule: valued, line: "a@0/x a@1/y a@2", fires: [] },
  { name: "all rules, any order", rule: together, line: "c@0 a@1 b@2", fires: [[2, 3]] },
  { name: "one rule missing", rule: together, line: "c@0 a@1 c@2 a@3", fires: [] },
  { name: "all rules, too far apart", rule: together, line: "c@0 a@1 b@601", fires: [] },
  {
    name: "two of three rules",
    rule: { ...together, condition: ["gte: 2"] },
    line: "c@0 c@1 a@2",
    fires: [[2, 3]],
  },
  { name: "in order", rule: ordered, line: "a@0 b@1 c@2", fires: [[2, 3]] },
  { name: "out of order", rule: ordered, line: "a@0 c@1 b@2", fires: [] },
  { name: "backwards", rule: ordered, line: "c@0 b@1 a@2", fires: [] },
  { name: "in order, arriving backwards", rule: ordered, line: "c@2 b@1 a@0", fires: [[2, 3]] },
  { name: "equal stamps count as ordered", rule: ordered, line: "c@5 b@5 a@5", fires: [[2, 3]] },
  { name: "in order, a ms too long", rule: ordered, line: "a@0 b@1 c@600.001", fires: [] },
  {
    name: "what came before the first step has no part",
    rule: ordered,
    line: "c@0 b@1 a@2 b@3 c@4",
    fires: [[4, 3]],
  },
  {
    name: "an old first step does not spoil a new one",
    rule: ordered,
    line: "a@0 b@500 a@600 b@700 c@1100",
    fires: [[4, 3]],
  },
  {
    name: "two in order of three, one left out",
    rule: { ...ordered, condition: ["gte: 2"] },
    line: "c@0 b@1 a@2 c@3",
    fires: [[3, 4]],
  },
];

function happenings(line: string): readonly Happening[] {
  return line.split(" ").map((text, index) => {
    const [, action = "", at = "", repository] = /^(\w)@([\d.]+)(?:\/(\w+))?$/.exec(text) ?? [];
    const fields = repository === undefined ? {} : { "vcs.repository.name": repository };
    return { action, at: Number(at) * second, id: String(index), fields };
  });
}

describe("timelines", () => {
  it.each(lines)("$name: $line", ({ rule, line, fires }) => {
    const bench = new Bench(rulesetOf(rule));
    const shown = happenings(line).flatMap((happening, index) =>
      bench.push(happening).map((match) => [index, match.eventCount]),
    );
    expect(shown).toEqual(fires);
  });

  it("keeps one id for an episode and takes a new one after a gap longer than the timespan", () => {
    const bench = new Bench(rulesetOf({ ...counted, condition: ["gte: 2"] }));
    const ids = [0, 1, 500, 1_000, 1_601, 1_602, 1_603].map((at) =>
      bench.push({ action: "a", at: at * second }).map(({ id }) => id),
    );
    const [first] = ids[1] ?? [];
    const [second_] = ids[5] ?? [];
    expect(first).toMatch(/^mat_[0-9a-f]{24}$/);
    expect(second_).not.toBe(first);
    expect(ids).toEqual([[], [first], [first], [first], [], [second_], [second_]]);
  });

  it("orders by thirty days and not by arrival, to the millisecond", () => {
    const rule = { ...ordered, rules: ["a", "b"], timespan: "30d" };
    const near = new Bench(rulesetOf(rule));
    near.push({ action: "a", at: 0 });
    expect(near.push({ action: "b", at: 30 * day + 1 })).toEqual([]);
    const held = new Bench(rulesetOf(rule));
    held.push({ action: "a", at: 0 });
    held.advance(29 * day);
    held.restart();
    held.advance(30 * day);
    const [match] = held.push({ action: "b", at: 30 * day });
    expect(match?.events.map(({ id }) => id)).toEqual([
      "github-audit:a@0",
      `github-audit:b@${30 * day}`,
    ]);
    // A late first step in front of it still shows, though it was written a month later.
    const [wider] = held.push({ action: "a", at: 1 });
    expect(wider?.eventCount).toBe(3);
  });

  it("tells the match what happened, where and in which group", () => {
    const bench = new Bench(rulesetOf({ ...ordered, reason: "{actor} by {user.name} in {x.y}" }));
    bench.push({ action: "a", at: 0 });
    bench.push({ action: "b", at: 1 });
    const fields = { "user.name": "mallory" };
    const [match] = bench.push({ action: "c", at: 2, fields });
    expect(match).toMatchObject({
      reason: "mallory by mallory in unknown",
      group: [["actor", "mallory"]],
      rule: { title: "Correlation outer", level: "high", page: true },
      eventCount: 3,
    });
    expect(match?.occurredAt).toBe(match?.events.at(-1)?.occurredAt);
    expect(match?.receivedAt).toBe(match?.events.at(-1)?.receivedAt);
  });

  it("shows the first and the last of each rule, at most twenty, and counts the rest", () => {
    const bench = new Bench(rulesetOf({ ...together, rules: ["a", "b"] }));
    bench.push({ action: "b", at: 0 });
    for (let at = 1; at < 100; at += 1) bench.push({ action: "a", at: at * second });
    const [match] = bench.push({ action: "b", at: 100 * second });
    expect(match?.events.map(({ occurredAt }) => (occurredAt % hour) / second)).toEqual([
      0, 1, 99, 100,
    ]);
    expect(match?.eventCount).toBe(101);
  });
});

describe("upper bounds wait for the watermark", () => {
  const few: CorrelationText = { ...counted, condition: ["lt: 3"] };
  it.each([
    ["lt 3", ["lt: 3"], 2, true],
    ["lt 3, three came", ["lt: 3"], 3, false],
    ["lte 3", ["lte: 3"], 3, true],
    ["eq 2", ["eq: 2"], 2, true],
    ["eq 2, three came", ["eq: 2"], 3, false],
    ["neq 2", ["neq: 2"], 3, true],
    ["neq 2, two came", ["neq: 2"], 2, false],
    ["a range", ["gte: 2", "lte: 3"], 3, true],
    ["above the range", ["gte: 2", "lte: 3"], 4, false],
  ] as const)("%s", (_name, condition, count, holds) => {
    const bench = new Bench(rulesetOf({ ...counted, condition }));
    for (let index = 0; index < count; index += 1) {
      expect(bench.push({ action: "a", at: index * second })).toEqual([]);
    }
    // The window ends at 10 min, both ends included.
    expect(bench.advance(10 * minute)).toEqual([]);
    const shown = bench.advance(10 * minute + 1);
    expect(shown.map(({ eventCount }) => eventCount)).toEqual(holds ? [count] : []);
    expect(bench.advance(11 * minute)).toEqual([]);
  });

  it("judges each window once, the next beginning with the next event", () => {
    const bench = new Bench(rulesetOf(few));
    for (const at of [0, 1, 700, 701, 702, 1_400]) bench.push({ action: "a", at: at * second });
    const shown = bench.advance(hour);
    expect(shown.map(({ eventCount }) => eventCount)).toEqual([2, 1]);
    expect(new Set(shown.map(({ id }) => id)).size).toBe(2);
  });

  it("has a closed window judged again by a late event, under the same id", () => {
    const bench = new Bench(rulesetOf({ ...few, condition: ["lte: 2"] }));
    bench.push({ action: "a", at: minute });
    const [closed] = bench.advance(12 * minute);
    bench.restart();
    const [again] = bench.push({ action: "a", at: 2 * minute });
    expect([again?.id, again?.eventCount]).toEqual([closed?.id, 2]);
    expect(bench.push({ action: "a", at: 3 * minute })).toEqual([]);
    // Before the closed window: one of its own.
    const [own] = bench.push({ action: "a", at: 30 * second });
    expect(own?.eventCount).toBe(1);
    expect(own?.id).not.toBe(closed?.id);
  });

  it("is not undone by a restart between events", () => {
    const bench = new Bench(rulesetOf({ ...few, condition: ["eq: 2"] }));
    bench.push({ action: "a", at: 0 });
    bench.restart();
    bench.push({ action: "a", at: second });
    bench.restart();
    expect(bench.advance(hour).map(({ eventCount }) => eventCount)).toEqual([2]);
    bench.restart();
    expect(bench.advance(2 * hour)).toEqual([]);
  });
});

describe("the same match again", () => {
  it("changes nothing", () => {
    const bench = new Bench(rulesetOf(counted));
    bench.push({ action: "a", at: 0 });
    bench.push({ action: "a", at: 1 });
    expect(bench.push({ action: "a", at: 1 })).toEqual([]);
    const [match] = bench.push({ action: "a", at: 2 });
    expect(match?.eventCount).toBe(3);
    expect(bench.push({ action: "a", at: 2 })).toEqual([]);
    bench.restart();
    expect(bench.push({ action: "a", at: 0 })).toEqual([]);
    expect(bench.correlation.standing().map(({ eventCount }) => eventCount)).toEqual([3]);
  });

  it("brings its build when the first time it had none", () => {
    const bench = new Bench(rulesetOf({ ...counted, condition: ["gte: 2"] }));
    bench.push({ action: "a", at: 0 });
    const [bare] = bench.push({ action: "a", at: 1 });
    expect(bare?.events.some((event) => event.build !== undefined)).toBe(false);
    const [joined] = bench.push({ action: "a", at: 1, build });
    expect(joined?.id).toBe(bare?.id);
    expect(joined?.eventCount).toBe(2);
    expect(joined?.events.at(-1)?.build?.runId).toBe("7001");
    expect(bench.push({ action: "a", at: 1, build })).toEqual([]);
    // And a later copy without one does not take it away.
    expect(bench.push({ action: "a", at: 1 })).toEqual([]);
    bench.restart();
    expect(bench.correlation.standing()[0]?.events.at(-1)?.build?.runId).toBe("7001");
  });
});
