import { describe, expect, it } from "vitest";
import { renderPage } from "../../src/alert/alert.ts";
import { hourMs, secondMs } from "../../src/clock.ts";
import { type BuildJoin, runKey } from "../../src/event/build.ts";
import {
  build,
  loud,
  match,
  midnight,
  nothing,
  quiet,
  rule,
  Timeline,
  tonight,
  wrong,
  yesterday,
} from "./fakes.ts";

const right = { ...wrong, build: tonight, confidence: "exact" } as const;
const first = (parts: Partial<typeof wrong> = {}) => ({ match: match({ ...wrong, ...parts }) });
const corrected = (parts: Partial<typeof wrong> = {}) => ({ match: match({ ...right, ...parts }) });

describe("another run", () => {
  it.each<[BuildJoin["confidence"], BuildJoin["confidence"], number, string]>([
    ["after-job", "likely", -hourMs, "200"],
    ["after-job", "exact", -hourMs, "200"],
    ["likely", "exact", -hourMs, "200"],
    ["exact", "likely", hourMs, "100"],
    ["likely", "after-job", hourMs, "100"],
    // Equally sure: the job that began later, whose webhook is the one that comes late.
    ["after-job", "after-job", secondMs, "200"],
    ["exact", "exact", secondMs, "200"],
    ["exact", "exact", -secondMs, "100"],
    ["exact", "exact", 0, "200"],
  ])("%s, then %s, begun %i ms after", (before, after, apart, runId) => {
    const runs = [
      { build: { ...yesterday, startedAt: midnight }, confidence: before },
      { build: { ...tonight, startedAt: midnight + apart }, confidence: after },
    ];
    for (const order of [runs, runs.toReversed()]) {
      const timeline = new Timeline();
      for (const run of order) timeline.step(first(run));
      const [alert] = timeline.alerts.values();
      expect(alert!.build!.runId).toBe(runId);
      expect(alert!.events[0]!.build!.runId).toBe(runId);
      expect(timeline.pageKeys).toHaveLength(1);
    }
  });

  it("corrects the same alert and incident, and says so to who was paged", () => {
    const timeline = new Timeline();
    const before = timeline.step(first({ reason: "nightly did it" }));
    const change = timeline.step(corrected({ reason: "site did it" }));
    expect(change.alerts).toMatchObject([
      { id: before.alerts[0]!.id, reason: "site did it", count: 1, build: { runId: "200" } },
    ]);
    const { id } = before.incidents[0]!;
    expect(change.incidents).toMatchObject([
      { id, build: { runId: "200" }, secretsExposed: ["NEW_KEY"] },
    ]);
    expect(change.notices.map(({ kind }) => kind)).toEqual(["update"]);
    expect(renderPage(change.notices[0]!, { width: 200 })).toContain(
      "site did it. Corrected: it was first taken to be of nightly #811 of acme/payments (run 100/1).",
    );
    expect(timeline.pageKeys).toHaveLength(1);
    for (const step of [first(), corrected()]) expect(timeline.step(step)).toEqual(nothing);
  });

  it("lets go of the wrong run: its own alerts are another incident, and fold elsewhere", () => {
    const timeline = new Timeline();
    timeline.step(first());
    timeline.step(corrected());
    timeline.step({ match: match({ id: "2", rule: loud, at: midnight + 1, build: yesterday }) });
    expect(timeline.living()).toHaveLength(2);
    expect(timeline.alerts.size).toBe(2);
    // The right run folds into the corrected one.
    timeline.step({ match: match({ id: "3", rule: loud, at: midnight + 1, build: tonight }) });
    expect([...timeline.alerts.values()].map(({ count }) => count)).toEqual([2, 1]);
  });

  it.each([
    ["paged", loud, true],
    ["quiet", quiet, false],
  ])("joins the incident of the right run: %s before", (_, own, isPaged) => {
    const timeline = new Timeline();
    const other = { id: "2", rule: rule({ id: "other" }), at: midnight - 1, build: tonight };
    timeline.step({ match: match(other) });
    const before = timeline.step(first({ rule: own }));
    const change = timeline.step(corrected({ rule: own }));
    expect(timeline.living()).toHaveLength(1);
    expect(change.incidents[0]!.alertIds).toHaveLength(2);
    expect(change.incidents[0]!.id === before.incidents[0]!.id).toBe(isPaged);
    expect(timeline.pageKeys).toHaveLength(isPaged ? 1 : 0);
  });

  it("leaves a quiet incident of the wrong run, which stays with that run", () => {
    const timeline = new Timeline();
    const before = timeline.step(first({ rule: rule({ id: "own", level: "critical" }) }));
    timeline.step({ match: match({ id: "2", rule: quiet, at: midnight, build: yesterday }) });
    timeline.step(corrected({ rule: rule({ id: "own", level: "critical" }) }));
    const incidents = timeline.living().toSorted((a, b) => a.level.localeCompare(b.level));
    expect(
      incidents.map(({ level, alertIds, build: run, secretsExposed }) => [
        level,
        alertIds.length,
        run!.runId,
        secretsExposed,
      ]),
    ).toEqual([
      ["critical", 1, "200", ["NEW_KEY"]],
      ["medium", 1, "100", ["OLD_KEY"]],
    ]);
    expect(incidents[1]!.id).toBe(before.incidents[0]!.id);
    expect(timeline.alerts.get(before.alerts[0]!.id)!.incidentId).toBe(incidents[0]!.id);
    expect(timeline.step(first())).toEqual(nothing);
  });

  it("stays in a paged incident beside others, which gains the right run", () => {
    const timeline = new Timeline();
    timeline.step(first());
    timeline.step({ match: match({ id: "2", rule: quiet, at: midnight, build: yesterday }) });
    const change = timeline.step(corrected());
    expect(change.notices.map(({ kind }) => kind)).toEqual(["update"]);
    expect(change.incidents[0]!.secretsExposed.toSorted()).toEqual(["NEW_KEY", "OLD_KEY"]);
    for (const [id, run] of [
      ["3", tonight],
      ["4", yesterday],
    ] as const) {
      timeline.step({ match: match({ id, rule: loud, at: midnight + 1, build: run }) });
    }
    expect(timeline.living()).toHaveLength(1);
    expect(timeline.pageKeys).toHaveLength(1);
  });

  it("tells of the correction when nothing else is new", () => {
    const timeline = new Timeline();
    const { secretsPassed: _old, ...bareOld } = yesterday;
    const { secretsPassed: _new, ...bareNew } = tonight;
    timeline.step(first({ build: bareOld }));
    const change = timeline.step(corrected({ build: bareNew }));
    expect(change.notices.map(({ kind }) => kind)).toEqual(["update"]);
  });

  it("leaves the wrong run the level of its own alerts", () => {
    const timeline = new Timeline();
    timeline.step(first());
    timeline.step({ match: match({ id: "2", rule: quiet, at: midnight, build: yesterday }) });
    const levelOf = () =>
      new Map(timeline.rows<{ readonly level?: string }>("causes")).get(`run:${runKey(yesterday)}`);
    expect(levelOf()).toMatchObject({ level: "high" });
    timeline.step(corrected());
    expect(levelOf()).toMatchObject({ level: "medium" });
  });

  it("takes nothing out where not all alerts are listed", () => {
    const timeline = new Timeline();
    timeline.step(first());
    for (let index = 0; index < 210; index++) {
      const many = rule({ id: `r${index}` });
      const id = `many-${index}`;
      timeline.step({ match: match({ id, rule: many, at: midnight, build: tonight }) });
    }
    const linked = rule({ id: "link", causes: { run: "other" } });
    const fields = { other: runKey(yesterday) };
    timeline.step({
      match: match({ id: "l", rule: linked, at: midnight, build: tonight, fields }),
    });
    const change = timeline.step(corrected());
    expect(change.incidents[0]!.alertsUnlisted).toBeGreaterThan(0);
    expect(change.incidents[0]!.secretsExposed.toSorted()).toEqual(["NEW_KEY", "OLD_KEY"]);
    expect(timeline.pageKeys).toHaveLength(1);
  });

  it("takes back the origin that only the wrong run had", () => {
    const timeline = new Timeline();
    const saver = build({ runId: "1", repository: "acme/base", fork: true, pullRequest: 3 });
    const fact = { thing: "cache:https://cache.example/x", occurredAt: midnight - 2 * hourMs };
    timeline.step({ fact: { ...fact, eventId: "s", kind: "cache-saved", run: saver } });
    const occurredAt = midnight - hourMs;
    timeline.step({
      fact: { ...fact, occurredAt, eventId: "r", kind: "cache-restored", run: yesterday },
    });
    expect(timeline.step(first()).incidents[0]!.origins).toHaveLength(1);
    const change = timeline.step(corrected());
    expect(change.incidents[0]!.origins).toEqual([]);
    // Nor does the saver's own alert belong here any more.
    timeline.step({ match: match({ id: "9", rule: quiet, at: occurredAt, build: saver }) });
    expect(timeline.living()).toHaveLength(2);
  });

  it("moves one of several matches, and leaves the others", () => {
    const timeline = new Timeline();
    timeline.step(first());
    timeline.step({ match: match({ id: "2", rule: loud, at: midnight + 1, build: yesterday }) });
    const change = timeline.step(corrected());
    const alerts = [...timeline.alerts.values()];
    expect(alerts.map(({ count, build: run }) => [count, run!.runId])).toEqual([
      [1, "100"],
      [1, "200"],
    ]);
    expect(alerts[0]!.events.map(({ id }) => id)).toEqual(["falco/2"]);
    expect(new Set(alerts.map(({ incidentId }) => incidentId)).size).toBe(1);
    expect(change.notices.map(({ kind }) => kind)).toEqual(["update"]);
    expect(timeline.pageKeys).toHaveLength(1);
    expect(timeline.step(corrected())).toEqual(nothing);
    expect(timeline.step(first())).toEqual(nothing);
  });

  it("takes the build along when no other match of the place has it", () => {
    const timeline = new Timeline();
    const place = { join: { runnerName: "r1" } };
    for (const id of ["1", "2"]) {
      timeline.step({ match: match({ id, rule: loud, at: midnight, ...place }) });
    }
    timeline.step(first(place));
    timeline.step(corrected(place));
    const alerts = [...timeline.alerts.values()];
    expect(alerts.map(({ count, build: run }) => [count, run?.runId])).toEqual([
      [1, undefined],
      [1, "200"],
    ]);
    expect(alerts.map(({ events }) => events.map(({ id }) => id))).toEqual([
      ["falco/2"],
      ["falco/1"],
    ]);
    timeline.step({ match: match({ id: "5", rule: quiet, at: midnight, build: yesterday }) });
    expect(timeline.living()).toHaveLength(2);
  });

  it.each([
    ["paged", { level: "high", page: true }],
    ["quiet, beside others", { level: "high" }],
  ] as const)("corrects within an alert that folds over runs: %s", (_, parts) => {
    const timeline = new Timeline();
    const own = rule({ id: "own", dedupe: ["user.name"], ...parts });
    const ann = { rule: own, fields: { "user.name": "ann" } };
    const third = build({ runId: "300" });
    timeline.step({ match: match({ ...ann, id: "2", at: midnight, build: third }) });
    timeline.step({ match: match({ id: "3", rule: quiet, at: midnight, build: third }) });
    timeline.step(first(ann));
    timeline.step(corrected(ann));
    const alerts = [...timeline.alerts.values()];
    expect(alerts[0]).toMatchObject({ count: 2, build: { runId: "300" } });
    timeline.step({ match: match({ id: "5", rule: quiet, at: midnight, build: yesterday }) });
    timeline.step({ match: match({ id: "6", rule: quiet, at: midnight, build: tonight }) });
    expect(
      timeline
        .living()
        .map(({ alertIds }) => alertIds.length)
        .sort(),
    ).toEqual([1, 3]);
  });
});
