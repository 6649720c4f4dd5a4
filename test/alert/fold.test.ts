import { describe, expect, it } from "vitest";
import { hourMs, secondMs } from "../../src/clock.ts";
import { build, loud, match, midnight, nothing, rule, Timeline } from "./fakes.ts";

const noisy = rule({ id: "noisy", dedupeMs: hourMs });
const runA = build({ runId: "100" });
const runB = build({ runId: "200" });
const runner = { join: { runnerName: "runner-1", host: "build-3" } };

describe("folding", () => {
  it("counts matches of one rule and run in one alert, silently", () => {
    const timeline = new Timeline();
    const matches = [0, 10, 20].map((at) =>
      match({ id: `m${at}`, rule: loud, at: midnight + at * secondMs, build: runA }),
    );
    const changes = matches.map((each) => timeline.step({ match: each }));
    expect(timeline.alerts.size).toBe(1);
    expect([...timeline.alerts.values()][0]).toMatchObject({
      count: 3,
      revision: 3,
      firstSeen: midnight,
      lastSeen: midnight + 20 * secondMs,
    });
    expect(changes[2]!.alerts[0]!.events.map(({ id }) => id)).toEqual([
      "falco/m0",
      "falco/m10",
      "falco/m20",
    ]);
    expect(changes.map(({ notices }) => notices.map(({ kind }) => kind))).toEqual([
      ["page"],
      [],
      [],
    ]);
    expect(changes[2]!.incidents[0]).toMatchObject({ revision: 3, lastSeen: midnight + 20_000 });
  });

  it("keeps the same id whatever folds in later, and takes no match twice", () => {
    const first = match({ id: "1", rule: noisy, at: midnight, build: runA });
    const timeline = new Timeline();
    const { alerts } = timeline.step({ match: first });
    timeline.step({ match: match({ id: "2", rule: noisy, at: midnight + 1, build: runA }) });
    expect(timeline.step({ match: first })).toEqual(nothing);
    expect(new Timeline().step({ match: first }).alerts[0]!.id).toBe(alerts[0]!.id);
    expect(alerts[0]!.id).toMatch(/^alr_[0-9a-f]{20}$/);
  });

  it.each([
    ["just within the fold time after", hourMs, 1],
    ["just past the fold time after", hourMs + 1, 2],
    ["just within the fold time before", -hourMs, 1],
    ["just past the fold time before", -hourMs - 1, 2],
  ])("begins an episode or not: %s", (_, apart, count) => {
    const timeline = new Timeline();
    timeline.step({ match: match({ id: "1", rule: noisy, at: midnight, build: runA }) });
    timeline.step({ match: match({ id: "2", rule: noisy, at: midnight + apart, build: runA }) });
    expect(timeline.alerts.size).toBe(count);
    // A new episode of the same run is still the same incident.
    expect(timeline.incidents.size).toBe(1);
  });

  it.each([
    ["another rule", { rule: rule({ id: "other" }) }, 2],
    ["another run", { build: runB }, 2],
    ["another event of the same", {}, 1],
  ])("%s", (_, change, count) => {
    const timeline = new Timeline();
    const base = { id: "1", rule: noisy, at: midnight, build: runA };
    timeline.step({ match: match(base) });
    timeline.step({ match: match({ ...base, id: "2", ...change }) });
    expect(timeline.alerts.size).toBe(count);
  });

  it.each([
    ["equal values fold over runs", ["user.name"], "ann", "ann", 1],
    ["unequal values part", ["user.name"], "ann", "ben", 2],
    ["fields nobody has fall back to the run", ["no.such.field"], "ann", "ann", 2],
    ["a text and a number part", ["user.name"], "7", 7, 2],
  ])("by the rule's own fields: %s", (_, dedupe, first, second, count) => {
    const timeline = new Timeline();
    const own = rule({ id: "own", dedupe });
    const base = { rule: own, at: midnight };
    timeline.step({
      match: match({ ...base, id: "1", build: runA, fields: { "user.name": first } }),
    });
    timeline.step({
      match: match({ ...base, id: "2", build: runB, fields: { "user.name": second } }),
    });
    expect(timeline.alerts.size).toBe(count);
  });

  it.each([
    ["runner", { runnerName: "r1" }, { runnerName: "r2" }],
    ["pod", { pod: "p1" }, { pod: "p2" }],
    ["host", { host: "h1" }, { host: "h2" }],
    ["address", { address: "10.0.0.1" }, { address: "10.0.0.2" }],
    ["repository", { repository: "acme/a" }, { repository: "acme/b" }],
  ])("without a build by %s", (_, here, there) => {
    const timeline = new Timeline();
    timeline.step({ match: match({ id: "1", rule: noisy, at: midnight, join: here }) });
    timeline.step({ match: match({ id: "2", rule: noisy, at: midnight, join: here }) });
    expect(timeline.alerts.size).toBe(1);
    timeline.step({ match: match({ id: "3", rule: noisy, at: midnight, join: there }) });
    expect(timeline.alerts.size).toBe(2);
  });

  it("keeps 20 events, the count goes on", () => {
    const timeline = new Timeline();
    for (let index = 0; index < 345; index++) {
      const each = match({ id: `${index}`, rule: loud, at: midnight + index, build: runA });
      timeline.step({ match: each });
    }
    expect([...timeline.alerts.values()][0]).toMatchObject({ count: 345 });
    expect([...timeline.alerts.values()][0]!.events).toHaveLength(20);
    expect(timeline.notices).toHaveLength(1);
  });

  it("raises the level and pages when a folded match does", () => {
    const timeline = new Timeline();
    const calm = rule({ id: "grown", level: "medium" });
    const grown = rule({ id: "grown", level: "critical", page: true });
    timeline.step({ match: match({ id: "1", rule: calm, at: midnight, build: runA }) });
    const change = timeline.step({
      match: match({ id: "2", rule: grown, at: midnight + 1, build: runA }),
    });
    expect(change.alerts[0]).toMatchObject({ rule: { level: "critical" }, count: 2 });
    expect(change.incidents[0]!.level).toBe("critical");
    expect(change.notices.map(({ kind }) => kind)).toEqual(["page"]);
    // Near miss: the level never comes down again.
    const after = timeline.step({
      match: match({ id: "3", rule: calm, at: midnight + 2, build: runA }),
    });
    expect(after.incidents[0]!.level).toBe("critical");
  });

  it("updates a page when only the level rises", () => {
    const timeline = new Timeline();
    const parts = { at: midnight, build: runA };
    timeline.step({ match: match({ ...parts, id: "1", rule: loud }) });
    timeline.step({ match: match({ ...parts, id: "2", rule: loud }) });
    const worse = { ...loud, level: "critical" } as const;
    const change = timeline.step({ match: match({ ...parts, id: "3", rule: worse }) });
    expect(change.notices.map(({ kind }) => kind)).toEqual(["update"]);
    expect(timeline.notices).toHaveLength(2);
  });

  it("gives out raw text whole, though it remembers less of it", () => {
    const timeline = new Timeline();
    const raw = "x".repeat(50_000);
    const first = timeline.step({
      match: match({ id: "1", rule: loud, at: midnight, build: runA, raw }),
    });
    expect(first.alerts[0]!.events[0]!.raw).toBe(raw);
    const second = timeline.step({
      match: match({ id: "2", rule: loud, at: midnight + 1, build: runA }),
    });
    expect(second.alerts[0]!.events[0]!.raw.length).toBeLessThan(5_000);
  });

  it("masks secrets in the reason before anything leaves", () => {
    const timeline = new Timeline();
    const reason = "job ran curl -H 'Authorization: Bearer abcdef0123456789' by ann";
    const change = timeline.step({
      match: match({ id: "1", rule: loud, at: midnight, build: runA, reason }),
    });
    expect(JSON.stringify(change.notices[0])).not.toContain("abcdef0123456789");
    expect(change.incidents[0]!.reason).toContain("Bearer [masked]");
  });
});

describe("correlation matches", () => {
  const group = [["user.name", "ann"]] as const;
  it("grow under one id: count and evidence, no second page", () => {
    const timeline = new Timeline();
    const parts = { id: "c", rule: loud, group, build: runA };
    timeline.step({ match: match({ ...parts, at: midnight, eventIds: ["a", "b", "c"] }) });
    const change = timeline.step({
      match: match({ ...parts, at: midnight + 5, eventIds: ["a", "b", "c", "d"] }),
    });
    expect(change.alerts[0]).toMatchObject({ count: 4, lastSeen: midnight + 5 });
    expect(change.alerts[0]!.events.map(({ id }) => id).sort()).toEqual(["a", "b", "c", "d"]);
    expect(change.notices).toEqual([]);
    // Fewer or equally many events are old news.
    const old = match({ ...parts, at: midnight, eventIds: ["a", "b"] });
    expect(timeline.step({ match: old })).toEqual(nothing);
  });

  it("without a build fold by their group, not by the place of the last event", () => {
    const timeline = new Timeline();
    const base = { rule: noisy, at: midnight };
    timeline.step({ match: match({ ...base, id: "1", group, join: { host: "h1" } }) });
    timeline.step({ match: match({ ...base, id: "2", group, join: { host: "h2" } }) });
    expect(timeline.alerts.size).toBe(1);
    const other = [["user.name", "ben"]] as const;
    timeline.step({ match: match({ ...base, id: "3", group: other, join: { host: "h2" } }) });
    expect(timeline.alerts.size).toBe(2);
  });
});

describe("late context", () => {
  const orphan = { id: "1", rule: loud, at: midnight, ...runner };

  it("gives the same alert its build and updates the page, never pages again", () => {
    const timeline = new Timeline();
    const before = timeline.step({ match: match({ ...orphan, reason: "someone did it" }) });
    expect(before.alerts[0]).not.toHaveProperty("build");
    const secrets = { ...runA, secretsPassed: ["DEPLOY_KEY"] };
    const after = timeline.step({
      match: match({ ...orphan, build: secrets, reason: "nightly did it" }),
    });
    expect(after.alerts.map(({ id }) => id)).toEqual(before.alerts.map(({ id }) => id));
    expect(after.alerts[0]).toMatchObject({ count: 1, build: { runId: "100" } });
    expect(after.alerts[0]!.events[0]).toMatchObject({ build: { runId: "100" } });
    expect(after.incidents[0]).toMatchObject({
      id: before.incidents[0]!.id,
      build: { runId: "100" },
      secretsExposed: ["DEPLOY_KEY"],
      reason: "nightly did it.",
    });
    expect(after.notices.map(({ kind }) => kind)).toEqual(["update"]);
    expect(timeline.pageKeys).toHaveLength(1);
    expect(timeline.step({ match: match({ ...orphan, build: secrets }) })).toEqual(nothing);
    expect(timeline.step({ match: match(orphan) })).toEqual(nothing);
  });

  it("makes the alert take further matches of that run", () => {
    const timeline = new Timeline();
    timeline.step({ match: match(orphan) });
    timeline.step({ match: match({ ...orphan, build: runA }) });
    timeline.step({ match: match({ ...orphan, id: "2", at: midnight + 1, build: runA }) });
    expect(timeline.alerts.size).toBe(1);
    expect([...timeline.alerts.values()][0]!.count).toBe(2);
  });

  it("merges into the incident of the run, the paged one living on", () => {
    const timeline = new Timeline();
    timeline.step({ match: match({ id: "0", rule: noisy, at: midnight - 1, build: runA }) });
    const orphaned = timeline.step({ match: match(orphan) });
    expect(timeline.incidents.size).toBe(2);
    const joined = timeline.step({ match: match({ ...orphan, build: runA }) });
    expect([...timeline.incidents.keys()]).toEqual([orphaned.incidents[0]!.id]);
    expect(joined.incidents[0]!.alertIds).toHaveLength(2);
    expect(timeline.pageKeys).toHaveLength(1);
  });

  it("parts matches of one place that turn out to be of two runs, without a second page", () => {
    const timeline = new Timeline();
    timeline.step({ match: match(orphan) });
    timeline.step({ match: match({ ...orphan, id: "2", at: midnight + 9 }) });
    timeline.step({ match: match({ ...orphan, build: runA }) });
    const second = { ...orphan, id: "2", at: midnight + 9, build: runB };
    timeline.step({ match: match(second) });
    const alerts = [...timeline.alerts.values()];
    expect(alerts.map(({ count, build: run }) => [count, run?.runId])).toEqual([
      [1, "100"],
      [1, "200"],
    ]);
    expect(alerts.map(({ events }) => events.map(({ id }) => id))).toEqual([
      ["falco/1"],
      ["falco/2"],
    ]);
    expect(timeline.incidents.size).toBe(1);
    expect(timeline.pageKeys).toHaveLength(1);
    expect(timeline.step({ match: match(second) })).toEqual(nothing);
  });

  it("moves a match to the open alert of its run and counts it there", () => {
    const timeline = new Timeline();
    timeline.step({ match: match(orphan) });
    timeline.step({ match: match({ ...orphan, id: "2", at: midnight + 9 }) });
    timeline.step({ match: match({ ...orphan, build: runA }) });
    timeline.step({ match: match({ ...orphan, id: "3", at: midnight + 20, build: runB }) });
    timeline.step({ match: match({ ...orphan, id: "2", at: midnight + 9, build: runB }) });
    const alerts = [...timeline.alerts.values()];
    expect(alerts.map(({ count, build: run }) => [count, run?.runId])).toEqual([
      [1, "100"],
      [2, "200"],
    ]);
    expect(alerts[1]!.events.map(({ id }) => id)).toEqual(["falco/2", "falco/3"]);
  });
});
