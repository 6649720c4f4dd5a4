import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Entries } from "../../src/correlation/entries.ts";
import type { Entry } from "../../src/correlation/entry.ts";
import { DueHeap } from "../../src/correlation/sorted.ts";
import { Bench, type CorrelationText, day, hour, minute, rulesetOf, second } from "./bench-rule.ts";

const counted: CorrelationText = {
  type: "event_count",
  rules: ["a"],
  timespan: "10m",
  condition: ["gte: 3"],
};
const actor = (name: string) => ({ fields: { "user.name": name } });

describe("groups", () => {
  it("are kept apart, and a match without the field belongs to none", () => {
    const bench = new Bench(rulesetOf({ ...counted, condition: ["gte: 2"] }));
    bench.push({ action: "a", at: 0, ...actor("ann") });
    expect(bench.push({ action: "a", at: 1, ...actor("bob") })).toEqual([]);
    expect(bench.push({ action: "a", at: 2, ...actor("") })).toEqual([]);
    const [match] = bench.push({ action: "a", at: 3, ...actor("ann") });
    expect(match?.group).toEqual([["actor", "ann"]]);
    expect(bench.routed({ action: "a", at: 4, ...actor("") })).toEqual([]);
    expect(bench.routed({ action: "b", at: 4 })).toEqual([]);
  });

  it("have keys that do not run together", () => {
    const rule = { ...counted, groupBy: ["actor", "repo"] };
    const bench = new Bench(rulesetOf(rule));
    const key = (user: string, repository: string) =>
      bench.routed({
        action: "a",
        at: 0,
        fields: { "user.name": user, "vcs.repository.name": repository },
      })[0]?.groupKey;
    expect(key('x","y', "z")).not.toBe(key("x", 'y","z'));
    expect(key("__proto__", "constructor")).toBe('["__proto__","constructor"]');
    expect(key("x", "y")).toBe(key("x", "y"));
  });

  it("are one for each value of a list, up to a bound", () => {
    const bench = new Bench(rulesetOf({ ...counted, groupBy: ["artifact.hash"] }));
    const fields = { "artifact.hash": ["sha256:1", "sha256:2", "sha256:1"] };
    const routed = bench.routed({ action: "a", at: 0, fields });
    expect(routed.map(({ groupKey }) => groupKey)).toEqual(['["sha256:1"]', '["sha256:2"]']);
    const many = { "artifact.hash": Array.from({ length: 100 }, (_, index) => `h${index}`) };
    expect(bench.routed({ action: "a", at: 0, fields: many })).toHaveLength(32);
  });

  it("are one where nothing is grouped by", () => {
    const bench = new Bench(rulesetOf({ ...counted, groupBy: [], condition: ["gte: 2"] }));
    bench.push({ action: "a", at: 0, ...actor("ann") });
    expect(bench.push({ action: "a", at: 1, ...actor("bob") })).toHaveLength(1);
  });

  it("join fields that rules call differently, by alias", () => {
    const rule: CorrelationText = {
      type: "temporal_ordered",
      rules: ["a", "b"],
      timespan: "10m",
      groupBy: ["who"],
      aliases: ["who:", "  a: actor", "  b: user"],
    };
    const bench = new Bench(rulesetOf(rule));
    bench.push({ action: "a", at: 0, fields: { "user.name": "ann" } });
    const other = { "user.name": "ann", "user.target.name": "bob" };
    expect(bench.push({ action: "b", at: 1, fields: other })).toEqual([]);
    const same = { "user.name": "root", "user.target.name": "ann" };
    const [match] = bench.push({ action: "b", at: 2, fields: same });
    expect(match?.group).toEqual([["who", "ann"]]);
  });
});

describe("chains", () => {
  const inner: CorrelationText = {
    ...counted,
    name: "inner",
    id: "20000000-0000-4000-8000-000000000001",
  };
  const outer: CorrelationText = {
    name: "outer",
    type: "temporal_ordered",
    rules: ["inner", "b"],
    timespan: "1h",
  };

  it("feed one correlation's match to another, which alerts alone", () => {
    const bench = new Bench(rulesetOf(inner, outer));
    for (const at of [0, 1, 2]) bench.push({ action: "a", at: at * minute });
    const [match] = bench.push({ action: "b", at: 30 * minute });
    expect(match?.rule.title).toBe("Correlation outer");
    expect(match?.eventCount).toBe(4);
    expect(match?.group).toEqual([["actor", "mallory"]]);
    expect([inner.id ?? "", match?.rule.id ?? ""].map((id) => bench.ruleset.alerts(id))).toEqual([
      false,
      true,
    ]);
  });

  it("count from when the inner one was complete", () => {
    const bench = new Bench(rulesetOf(inner, outer));
    bench.push({ action: "a", at: 0 });
    bench.push({ action: "a", at: 1 * minute });
    bench.push({ action: "b", at: 2 * minute });
    expect(bench.push({ action: "a", at: 3 * minute }).map(({ rule }) => rule.title)).toEqual([
      "Correlation inner",
    ]);
  });

  it("count an episode once, also when a late match gives it another id", () => {
    const twice: CorrelationText = {
      ...outer,
      type: "event_count",
      rules: ["inner"],
      condition: ["gte: 2"],
    };
    const bench = new Bench(rulesetOf(inner, twice));
    for (const at of [2, 3, 4]) bench.push({ action: "a", at: at * minute });
    // In front of the first: the inner episode changes its id.
    const late = bench.push({ action: "a", at: minute });
    expect(late.map(({ rule }) => rule.title)).toEqual(["Correlation inner"]);
    // A second episode of its own does count.
    for (const at of [30, 31, 32]) {
      expect(bench.push({ action: "a", at: at * minute }).map(({ rule }) => rule.title)).toEqual(
        at === 32 ? ["Correlation inner", "Correlation outer"] : [],
      );
    }
  });
});

describe("chains whose inner episodes grow together", () => {
  it("count them as the one episode they became", () => {
    const inner: CorrelationText = {
      ...counted,
      name: "inner",
      id: "20000000-0000-4000-8000-000000000001",
    };
    const thrice: CorrelationText = {
      name: "outer",
      type: "event_count",
      rules: ["inner"],
      timespan: "2h",
      condition: ["gte: 3"],
    };
    const outers = (bridged: boolean) => {
      const bench = new Bench(rulesetOf(inner, thrice));
      const late = bridged ? [11] : [];
      return [0, 1, 2, 20, 21, 22, ...late, 60, 61, 62].flatMap((at) =>
        bench
          .push({ action: "a", at: at * minute })
          .filter(({ rule }) => rule.title === "Correlation outer"),
      ).length;
    };
    expect([outers(false), outers(true)]).toEqual([1, 0]);
  });
});

describe("bounds", () => {
  it("let go of what is older than timespan and lateness, and count it", () => {
    const bench = new Bench(rulesetOf(counted));
    bench.push({ action: "a", at: 0 });
    bench.push({ action: "a", at: minute });
    bench.advance(15 * minute);
    expect(bench.rows("correlation.windows")).toBe(2);
    bench.advance(15 * minute + 1);
    expect(bench.rows("correlation.windows")).toBe(1);
    bench.advance(hour);
    expect([bench.rows("correlation.windows"), bench.rows("correlation.groups")]).toEqual([0, 0]);
    expect(bench.facts.map(({ reason, count }) => [reason, count])).toEqual([
      ["expired", 1],
      ["expired", 1],
    ]);
  });

  it("count a match that comes after its time, and do not keep it", () => {
    const bench = new Bench(rulesetOf({ ...counted, condition: ["gte: 1"] }));
    bench.advance(hour);
    bench.restart();
    expect(bench.push({ action: "a", at: 45 * minute - 1 })).toEqual([]);
    expect(bench.facts).toEqual([
      { correlation: bench.ruleset.correlations[0]?.id, reason: "late", count: 1 },
    ]);
    expect(bench.push({ action: "a", at: 45 * minute })).toHaveLength(1);
  });

  it("keep the newest entries of a full group, and say what went", () => {
    const bench = new Bench(rulesetOf(counted), { entriesMax: 4 });
    const ids = new Set<string>();
    for (let at = 0; at < 10; at += 1) {
      for (const match of bench.push({ action: "a", at: at * second })) {
        ids.add(match.id);
        expect(match.eventCount).toBe(at + 1);
      }
    }
    expect(ids.size).toBe(1);
    expect(bench.rows("correlation.windows")).toBe(4);
    expect(bench.facts.filter(({ reason }) => reason === "group-full")).toHaveLength(6);
    expect(bench.push({ action: "a", at: 3 * second + 1 })).toEqual([]);
    expect(bench.facts.at(-1)?.reason).toBe("late");
    bench.restart();
    const [standing] = bench.correlation.standing();
    expect([standing?.eventCount, ids.has(standing?.id ?? "")]).toEqual([10, true]);
    expect(standing?.events[0]?.id).toBe("github-audit:a@0");
  });

  it("hold as many entries as a rule asks for, whatever the bound", () => {
    const bench = new Bench(rulesetOf({ ...counted, condition: ["gte: 8"] }), { entriesMax: 4 });
    for (let at = 0; at < 7; at += 1) bench.push({ action: "a", at });
    expect(bench.push({ action: "a", at: 7 })).toHaveLength(1);
  });

  it("let the group go that was touched longest ago, and say so", () => {
    const bench = new Bench(rulesetOf({ ...counted, condition: ["gte: 2"] }), { groupsMax: 2 });
    bench.push({ action: "a", at: 0, ...actor("ann") });
    bench.push({ action: "a", at: 1, ...actor("bob") });
    bench.push({ action: "a", at: 2, ...actor("ann") });
    bench.push({ action: "a", at: 3, ...actor("eve") });
    expect(bench.facts.map(({ reason, count }) => [reason, count])).toEqual([["groups-full", 1]]);
    expect(bench.push({ action: "a", at: 4, ...actor("ann") })[0]?.eventCount).toBe(3);
    expect(bench.rows("correlation.groups")).toBe(2);
  });

  it("keep few whole events of a busy group, the first and last of an episode among them", () => {
    const bench = new Bench(rulesetOf({ ...counted, condition: ["gte: 50"] }));
    let last: readonly number[] = [];
    for (let at = 0; at < 200; at += 1) {
      const [match] = bench.push({ action: "a", at: at * second });
      last = match?.events.map(({ occurredAt }) => occurredAt % hour) ?? [];
    }
    expect(last).toEqual([0, 199 * second]);
    bench.restart();
    expect(bench.correlation.standing()[0]?.events.map(({ id }) => id)).toEqual([
      "github-audit:a@0",
      `github-audit:a@${199 * second}`,
    ]);
  });

  it("keep the windows of a rule that is gone for a while, then let them go", () => {
    const ruleset = rulesetOf({ ...counted, timespan: "30d" });
    const bench = new Bench(ruleset);
    bench.push({ action: "a", at: 0 });
    bench.push({ action: "a", at: 1 });
    const [routed] = bench.routed({ action: "a", at: 2 });
    bench.restart(rulesetOf());
    expect(routed === undefined ? undefined : bench.correlation.apply(routed)).toEqual([]);
    bench.advance(20 * day);
    bench.restart(ruleset);
    expect(bench.push({ action: "a", at: 20 * day })[0]?.eventCount).toBe(3);
    bench.restart(rulesetOf());
    bench.advance(100 * day);
    bench.restart(rulesetOf());
    expect([bench.rows("correlation.windows"), bench.rows("correlation.groups")]).toEqual([0, 0]);
  });
});

describe("entries of a group", () => {
  const step = fc.oneof(
    fc.record({
      kind: fc.constant("add" as const),
      at: fc.nat(30),
      rule: fc.constantFrom("a", "b"),
      values: fc.array(fc.constantFrom("x", "y", "z"), { maxLength: 2 }),
    }),
    fc.record({ kind: fc.constant("drop" as const), count: fc.nat(3) }),
    fc.record({ kind: fc.constant("ask" as const), from: fc.nat(30), length: fc.nat(12) }),
  );

  it("measure what a plain list would, through any mix of arrivals and departures", () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80, size: "max" }), (steps) => {
        const entries = new Entries({ byRule: true, byValue: true });
        let plain: Entry[] = [];
        for (const [index, one] of steps.entries()) {
          if (one.kind === "add") {
            const { at, rule, values } = one;
            const entry = { id: `m${index}`, at, receivedAt: at, rule, values };
            entries.add(entry);
            plain.push(entry);
            plain.sort((left, right) => left.at - right.at || (left.id < right.id ? -1 : 1));
          } else if (one.kind === "drop") {
            const count = Math.min(one.count, plain.length);
            expect(entries.dropFront(count)).toEqual(plain.slice(0, count));
            plain = plain.slice(count);
          } else {
            const to = one.from + one.length;
            const within = plain.filter(({ at }) => at >= one.from && at <= to);
            expect(entries.count(one.from, to)).toBe(within.length);
            const values = new Set(within.flatMap((entry) => entry.values ?? []));
            expect(entries.distinct(one.from, to)).toBe(values.size);
          }
          expect([...entries]).toEqual(plain);
          for (const rule of ["a", "b"]) {
            const stamps = plain.filter((entry) => entry.rule === rule).map(({ at }) => at);
            expect([...(entries.stampsOf(rule) ?? [])]).toEqual(stamps);
          }
        }
      }),
      { seed: 20_261_124, numRuns: 200 },
    );
  });

  it("stay right when many more have gone than are left", () => {
    const entries = new Entries({ byRule: true, byValue: true });
    for (let at = 0; at < 500; at += 1) {
      entries.add({ id: `m${at}`, at, receivedAt: at, rule: "a", values: [String(at)] });
      if (at >= 10) entries.dropFront(1);
    }
    expect([entries.length, entries.oldest?.at, entries.newest?.at]).toEqual([10, 490, 499]);
    expect([entries.count(0, 495), entries.distinct(495, 600)]).toEqual([6, 5]);
    expect([...(entries.stampsOf("a") ?? [])]).toEqual([...entries].map(({ at }) => at));
  });

  it("fall due earliest first", () => {
    fc.assert(
      fc.property(fc.array(fc.nat(50), { maxLength: 60, size: "max" }), (times) => {
        const heap = new DueHeap<number>();
        for (const at of times) heap.push(at, at);
        const popped = times.map(() => heap.pop());
        expect(popped).toEqual(times.toSorted((left, right) => left - right));
        expect([heap.pop(), heap.next(), heap.size]).toEqual([undefined, undefined, 0]);
      }),
      { seed: 20_261_124, numRuns: 200 },
    );
  });
});
