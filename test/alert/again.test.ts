import { describe, expect, it } from "vitest";
import { type BuildContext, type BuildJoin, runKey } from "../../src/event/build.ts";
import {
  build,
  loud,
  match,
  midnight,
  nothing,
  quiet,
  Timeline,
  tonight,
  wrong,
  yesterday,
} from "./fakes.ts";

describe("the same run, told more fully", () => {
  const poor = build({ runId: "100", workflow: "", sha: "" });
  it.each<[string, Partial<BuildContext>, readonly string[]]>([
    ["secrets", { secretsPassed: ["LEDGER_KEY"] }, ["update"]],
    ["that there are no secrets", { secretsPassed: [] }, []],
    ["the trigger", { trigger: "schedule" }, []],
    ["a fork's pull request", { fork: true, pullRequest: 4, headRepository: "x/y" }, []],
    ["the actor", { actor: "ann", triggeringActor: "ben" }, []],
    ["the workflow", { workflow: "nightly", workflowPath: ".github/workflows/n.yml" }, []],
    ["the commit", { sha: "ff00", ref: "main" }, []],
    ["the job", { job: "test", jobId: "7", environment: "staging" }, []],
    ["the step", { step: "Run tests", stepNumber: 4 }, []],
    ["the runner", { runner: { name: "r1", labels: [] } }, []],
    ["how it ended", { startedAt: 1, completedAt: 2, conclusion: "success" }, []],
  ])("learns %s, and forgets nothing", (_, details, kinds) => {
    const timeline = new Timeline();
    const base = { id: "1", rule: loud, at: midnight };
    const before = timeline.step({ match: match({ ...base, build: poor, reason: "poor" }) });
    const fuller = match({ ...base, build: { ...poor, ...details }, reason: "full" });
    const change = timeline.step({ match: fuller });
    expect(change.alerts).toHaveLength(1);
    expect(change.alerts[0]).toMatchObject({
      id: before.alerts[0]!.id,
      revision: 2,
      count: 1,
      reason: "full",
      build: { ...poor, ...details },
      events: [{ build: { ...poor, ...details } }],
    });
    expect(change.incidents[0]).toMatchObject({
      id: before.incidents[0]!.id,
      reason: "full.",
      build: details,
      secretsExposed: details.secretsPassed ?? [],
    });
    expect(change.notices.map(({ kind }) => kind)).toEqual(kinds);
    // The same again, or the poorer one that came late, says nothing new.
    expect(timeline.step({ match: fuller })).toEqual(nothing);
    expect(timeline.step({ match: match({ ...base, build: poor }) })).toEqual(nothing);
  });

  it("joins what two copies know each", () => {
    const timeline = new Timeline();
    const base = { id: "1", rule: loud, at: midnight };
    timeline.step({ match: match({ ...base, build: { ...poor, actor: "ann" } }) });
    const change = timeline.step({ match: match({ ...base, build: { ...poor, job: "test" } }) });
    expect(change.alerts[0]!.build).toMatchObject({ actor: "ann", job: "test" });
  });

  it.each<[string, BuildJoin["confidence"], BuildJoin["confidence"], string]>([
    ["surer", "likely", "exact", "second"],
    ["less sure", "exact", "likely", "first"],
  ])("takes the job that is %s, whole", (_, one, other, job) => {
    const timeline = new Timeline();
    const runner = { name: "r1", labels: [] };
    const base = { id: "1", rule: loud, at: midnight };
    const [jobA, jobB] = [
      { ...poor, job: "first", jobId: "1", runner },
      { ...poor, job: "second", jobId: "2" },
    ];
    timeline.step({ match: match({ ...base, build: jobA, confidence: one }) });
    timeline.step({ match: match({ ...base, build: jobB, confidence: other }) });
    const [alert] = timeline.alerts.values();
    expect(alert!.build!.job).toBe(job);
    expect(alert!.build!.runner).toEqual(job === "first" ? runner : undefined);
  });

  it("learns of the run, not of the job, from a match that folds in", () => {
    const timeline = new Timeline();
    const base = { rule: loud, at: midnight };
    const job = { job: "test", jobId: "1", step: "Run tests", stepNumber: 4 };
    timeline.step({ match: match({ ...base, id: "1", build: { ...poor, ...job } }) });
    const other = { ...poor, job: "deploy", jobId: "2", stepNumber: 9, trigger: "push" };
    timeline.step({ match: match({ ...base, id: "2", build: other, at: midnight + 1 }) });
    const [alert] = timeline.alerts.values();
    expect(alert!.build).toEqual({ ...poor, ...job, trigger: "push" });
  });

  it("is told of once by many matches of one alert", () => {
    const timeline = new Timeline();
    const parts = (index: number) => ({ id: `${index}`, rule: loud, at: midnight + index });
    for (let index = 0; index < 40; index++) {
      timeline.step({ match: match({ ...parts(index), build: poor }) });
    }
    const full = { ...poor, secretsPassed: ["A"] };
    const changes = Array.from({ length: 40 }, (_, index) =>
      timeline.step({ match: match({ ...parts(index), build: full }) }),
    );
    expect(changes.flatMap(({ notices }) => notices)).toHaveLength(1);
    // Only the 20 events it shows are changed by it.
    expect(changes.filter(({ alerts }) => alerts.length > 0)).toHaveLength(20);
    expect([...timeline.alerts.values()][0]).toMatchObject({ count: 40, revision: 60 });
  });
});

describe("a correlation over runs", () => {
  const two = (parts: Partial<typeof wrong>) => {
    const whole = match({ ...wrong, eventIds: ["a", "b"], ...parts });
    const [a, b] = whole.events;
    return { whole, a: a!, b: b! };
  };

  it("has a further run, not another one, when its later event learns its build", () => {
    const { whole, a, b } = two({ group: [["user.name", "ann"]] });
    const { build: _build, buildJoin: _join, ...bare } = b;
    const timeline = new Timeline();
    timeline.step({ match: { ...whole, events: [a, bare] } });
    const joined = { ...bare, build: tonight };
    const change = timeline.step({ match: { ...whole, events: [a, joined] } });
    expect(change.alerts[0]).toMatchObject({ build: { runId: "100" } });
    for (const [id, run] of [
      ["8", tonight],
      ["9", yesterday],
    ] as const) {
      timeline.step({ match: match({ id, rule: quiet, at: midnight, build: run }) });
    }
    expect(timeline.living()).toHaveLength(1);
    expect(runKey(timeline.living()[0]!.build!)).toBe(runKey(yesterday));
  });

  it("keeps the better answer of each event when a stale copy grows", () => {
    const { whole, a, b } = two({ group: [["user.name", "ann"]] });
    const timeline = new Timeline();
    const sure = { ...a, build: tonight };
    timeline.step({ match: { ...whole, events: [sure], eventCount: 1 } });
    const further = { ...b, build: build({ runId: "300" }) };
    const change = timeline.step({ match: { ...whole, events: [a, further] } });
    expect(change.alerts[0]).toMatchObject({ count: 2, build: { runId: "200" } });
    expect(change.alerts[0]!.events.map((event) => event.build?.runId)).toEqual(["200", "300"]);
    timeline.step({ match: match({ id: "9", rule: quiet, at: midnight, build: yesterday }) });
    expect(timeline.living()).toHaveLength(2);
  });
});
