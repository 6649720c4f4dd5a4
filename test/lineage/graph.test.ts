import { describe, expect, it } from "vitest";
import { createLineage, type Lineage, type LineageFact } from "../../src/lineage/lineage.ts";
import { emptyState } from "../../src/state/memory.ts";
import { KeptState } from "../state/kept.ts";
import { build, day, outsider, published, restored, saved, used } from "./fixture.ts";

function lineage(...facts: readonly LineageFact[]): Lineage {
  const graph = createLineage({ state: emptyState() });
  for (const fact of facts) graph.apply(fact);
  return graph;
}

const evil = outsider("1");
const release = build("2");
const deploy = build("3");

/** Origins of a run's taints, nearest first. */
function origins(graph: Lineage, runId: string): string[] {
  return graph.taintsOf(`acme/app#${runId}/1`).map((taint) => taint.origin.runId);
}

describe("taint", () => {
  it("comes with what an untrusted run saved", () => {
    const graph = lineage(saved(evil, "deps", 0));
    expect(graph.apply(restored(release, "deps", 21))).toEqual(["acme/app#2/1"]);
    const [taint, ...more] = graph.taintsOf("acme/app#2/1");
    expect(more).toEqual([]);
    expect(taint).toMatchObject({
      thing: "cache:https://cache.example/deps",
      origin: { repository: "acme/tooling", runId: "1", pullRequest: 41 },
      savedAt: day(0),
      restoredAt: day(21),
      reason:
        "restored a cache entry saved by fork PR #41 of acme/tooling " +
        "(pull_request_target, run 1, code from mallory/tooling) 21 days before",
    });
  });

  it("does not come with what trusted runs saved, other things, or what was saved later", () => {
    const graph = lineage(saved(build("9"), "deps", 0), saved(evil, "other", 0));
    expect(graph.apply(restored(release, "deps", 1))).toEqual([]);
    expect(graph.apply(saved(evil, "deps", 2))).toEqual([]);
    expect(graph.taintsOf("acme/app#2/1")).toEqual([]);
    expect(graph.taintsOf("acme/app#404/1")).toEqual([]);
  });

  it("answers the runs it reaches when the save is told after the restore", () => {
    const graph = lineage(restored(release, "deps", 3), saved(release, "out", 4));
    graph.apply(restored(deploy, "out", 5));
    expect([...graph.apply(saved(evil, "deps", 2))].sort()).toEqual([
      "acme/app#2/1",
      "acme/app#3/1",
    ]);
  });

  it("ends where a trusted run overwrites, from then on and not before", () => {
    const graph = lineage(
      saved(evil, "deps", 0),
      restored(release, "deps", 1),
      saved(build("9"), "deps", 2),
      restored(deploy, "deps", 3),
    );
    expect(origins(graph, "2")).toEqual(["1"]);
    expect(origins(graph, "3")).toEqual([]);
  });

  it("is taken back when an overwrite is told late", () => {
    const graph = lineage(saved(evil, "deps", 0), restored(release, "deps", 3));
    expect(origins(graph, "2")).toEqual(["1"]);
    expect(graph.apply(saved(build("9"), "deps", 2))).toEqual(["acme/app#2/1"]);
    expect(origins(graph, "2")).toEqual([]);
  });

  it("stays when the same run uploads in parts", () => {
    const parts = [saved(evil, "deps", 0), saved(evil, "deps", 0.001), saved(evil, "deps", 0.002)];
    const graph = lineage(...parts, restored(release, "deps", 1));
    expect(origins(graph, "2")).toEqual(["1"]);
  });

  it("never comes from the run itself", () => {
    const graph = lineage(saved(evil, "deps", 0), restored(evil, "deps", 1));
    expect(graph.taintsOf("acme/tooling#1/1")).toEqual([]);
    // Nor round a circle.
    graph.apply(restored(release, "deps", 2));
    graph.apply(saved(release, "back", 3));
    graph.apply(restored(evil, "back", 4));
    expect(graph.taintsOf("acme/tooling#1/1")).toEqual([]);
    expect(origins(graph, "2")).toEqual(["1"]);
  });

  it("does not live on in a circle when its ground is taken back", () => {
    // Logs of whole seconds: each of the two restores and saves in one moment.
    const graph = lineage(
      saved(evil, "deps", 0),
      restored(release, "deps", 5),
      saved(release, "there", 5),
      restored(deploy, "there", 5),
      saved(deploy, "back", 5),
      restored(release, "back", 5),
    );
    expect([origins(graph, "2"), origins(graph, "3")]).toEqual([["1"], ["1"]]);
    graph.apply(saved(build("9"), "deps", 4));
    expect([origins(graph, "2"), origins(graph, "3")]).toEqual([[], []]);
  });

  it("comes with what was saved in the same moment", () => {
    const graph = lineage(saved(evil, "deps", 1), restored(release, "deps", 1));
    expect(origins(graph, "2")).toEqual(["1"]);
  });

  it("names one thing per origin, however many were restored", () => {
    const graph = lineage(
      saved(evil, "a", 0),
      saved(evil, "b", 0),
      restored(release, "b", 1),
      restored(release, "a", 2),
    );
    expect(graph.taintsOf("acme/app#2/1").map((taint) => taint.thing)).toEqual([
      "cache:https://cache.example/b",
    ]);
  });

  it("goes on through trusted runs, nearest first", () => {
    const near = outsider("8", { pullRequest: 50 });
    const graph = lineage(
      saved(evil, "deps", 0),
      restored(release, "deps", 1),
      saved(release, "out", 2),
      saved(near, "tools", 2),
      restored(deploy, "out", 3),
      restored(deploy, "tools", 3),
    );
    expect(origins(graph, "3")).toEqual(["8", "1"]);
    const [, far] = graph.taintsOf("acme/app#3/1");
    expect(far).toMatchObject({ savedAt: day(0), restoredAt: day(3) });
    expect(far?.reason).toContain("restored a cache entry of acme/app run 2, which carries one");
    expect(far?.reason).toContain("PR #41 of acme/tooling");
    expect(far?.reason).toContain("3 days before");
  });

  it("does not go on with what was saved before the restore", () => {
    const graph = lineage(
      saved(release, "out", 1),
      saved(evil, "deps", 0),
      restored(release, "deps", 2),
      restored(deploy, "out", 3),
    );
    expect(origins(graph, "2")).toEqual(["1"]);
    expect(origins(graph, "3")).toEqual([]);
  });

  it("comes from suspected runs once they are, whatever came first", () => {
    const graph = lineage(saved(release, "deps", 0), restored(deploy, "deps", 1));
    expect(origins(graph, "3")).toEqual([]);
    expect(graph.suspect("acme/app#2/1", day(2))).toEqual(["acme/app#3/1"]);
    expect(graph.suspect("acme/app#2/1", day(2))).toEqual([]);
    expect(graph.taintsOf("acme/app#3/1")[0]?.reason).toBe(
      "restored a cache entry saved by a suspicious run of acme/app (push, run 2) 1 day before",
    );
    const early = lineage();
    expect(early.suspect("acme/app#2/1", day(0))).toEqual([]);
    early.apply(saved(release, "deps", 0));
    expect(early.apply(restored(deploy, "deps", 1))).toEqual(["acme/app#3/1"]);
  });

  it("counts a trigger that outsiders pull as untrusted, and learns it late", () => {
    const { trigger: _trigger, ...unknown } = build("1");
    const graph = lineage(saved(unknown, "deps", 0), restored(release, "deps", 1));
    expect(origins(graph, "2")).toEqual([]);
    const told = build("1", { trigger: "issue_comment" });
    expect(graph.apply(saved(told, "deps", 0))).toEqual(["acme/app#2/1"]);
    expect(origins(graph, "2")).toEqual(["1"]);
  });

  it("counts a fact once", () => {
    const fact = restored(release, "deps", 1);
    const graph = lineage(saved(evil, "deps", 0), fact);
    expect(graph.apply(fact)).toEqual([]);
    expect(graph.apply(saved(evil, "deps", 0))).toEqual([]);
    expect(graph.taintsOf("acme/app#2/1")).toHaveLength(1);
  });

  it("follows an event to another run when its build is told better", () => {
    const fact = restored(build("4"), "deps", 1);
    const graph = lineage(saved(evil, "deps", 0), fact);
    expect(origins(graph, "4")).toEqual(["1"]);
    const corrected = { ...fact, run: build("2", { job: "build", jobId: "9" }) };
    expect([...graph.apply(corrected)].sort()).toEqual(["acme/app#2/1", "acme/app#4/1"]);
    expect(origins(graph, "4")).toEqual([]);
    expect(origins(graph, "2")).toEqual(["1"]);
  });

  it("names job and step of the run that saved it", () => {
    const graph = lineage(
      saved({ ...evil, job: "label", step: "Post cache" }, "deps", 0),
      restored(release, "deps", 0.5),
    );
    const [taint] = graph.taintsOf("acme/app#2/1");
    expect(taint?.origin).toMatchObject({ job: "label", step: "Post cache" });
    expect(taint?.reason).toContain("less than a day before");
  });

  it("answers at most 16", () => {
    const many = Array.from({ length: 40 }, (_, n) => outsider(String(100 + n)));
    const graph = lineage(
      ...many.flatMap((run, n) => [saved(run, `e${n}`, 0), restored(release, `e${n}`, 1)]),
    );
    expect(graph.taintsOf("acme/app#2/1")).toHaveLength(16);
  });
});

describe("holders of a token", () => {
  it("are the runs that used it before, latest first, each once", () => {
    const graph = lineage(
      used(build("1"), "robot", 1),
      used(build("2"), "robot", 2),
      used(build("1"), "robot", 3),
      used(build("3"), "robot", 5),
      used(build("4"), "other", 1),
      published(build("2"), "sha256:aa", 2),
    );
    const holders = (token: string, days: number): string[] =>
      graph.holdersOf(token, day(days)).map((run) => run.runId);
    expect(holders("token:registry.example/robot", 4)).toEqual(["1", "2"]);
    expect(holders("token:registry.example/robot", 2)).toEqual(["2", "1"]);
    expect(holders("token:registry.example/robot", 0)).toEqual([]);
    expect(holders("token:registry.example/nobody", 9)).toEqual([]);
    expect(holders("artifact:sha256:aa", 9)).toEqual([]);
  });
});

describe("memory", () => {
  it("keeps what was committed", () => {
    const kept = new KeptState();
    const { state } = kept;
    const graph = createLineage({ state });
    for (const fact of [
      saved(evil, "deps", 0),
      restored(release, "deps", 1),
      saved(release, "out", 2),
      restored(deploy, "out", 3),
    ]) {
      graph.apply(fact);
    }
    graph.suspect("acme/app#2/1", day(3));
    void state.commit();
    const again = createLineage({ state: kept.reopen() });
    expect(origins(again, "3")).toEqual(["2", "1"]);
    expect(again.taintsOf("acme/app#3/1")).toEqual(graph.taintsOf("acme/app#3/1"));
  });

  it("forgets the oldest things and runs at its bounds, and counts them", () => {
    const state = emptyState();
    const graph = createLineage({ state, thingsMax: 100, runsMax: 50 });
    for (let n = 0; n < 2_000; n++) {
      graph.apply(saved(build(String(n)), `e${n}`, n / 1_000));
      expect(graph.counts().things).toBeLessThanOrEqual(100);
      expect(graph.counts().runs).toBeLessThanOrEqual(50);
    }
    expect(state.table("facts").size).toBeLessThanOrEqual(100);
    expect(state.table("runs").size).toBeLessThanOrEqual(50);
    const { things, runs, runsEvicted, factsEvicted } = graph.counts();
    expect(runs + runsEvicted).toBe(2_000);
    expect(factsEvicted).toBe(2_000 - things);
  });

  it("keeps the newest of one thing's many facts", () => {
    const state = emptyState();
    const graph = createLineage({ state });
    graph.apply(saved(evil, "deps", 0));
    for (let n = 0; n < 1_500; n++) graph.apply(restored(release, "deps", 1 + n / 1_000));
    expect(state.table("facts").size).toBe(1_025);
    expect(origins(graph, "2")).toEqual(["1"]);
    // What the forgotten restores proved is still true.
    expect(graph.taintsOf("acme/app#2/1")[0]?.restoredAt).toBe(day(1));
  });

  it("forgets a thing after its time without use, but keeps it while it is used", () => {
    const state = emptyState();
    const graph = createLineage({ state });
    graph.apply(saved(evil, "used", 0));
    graph.apply(saved(evil, "idle", 0));
    for (let n = 1; n <= 60; n++) graph.apply(restored(build(`r${n}`), "used", n));
    for (let n = 0; n < 1_100; n++) graph.apply(used(build("r60"), `a${n % 7}`, 60));
    for (let n = 0; n < 1_100; n++) graph.apply(used(build("r60"), `b${n}`, 60));
    expect(graph.counts().thingsEvicted).toBe(1);
    graph.apply(restored(build("late"), "used", 61));
    graph.apply(restored(build("late2"), "idle", 61));
    expect(origins(graph, "late")).toEqual(["1"]);
    expect(origins(graph, "late2")).toEqual([]);
  });

  it("keeps a run's taint when the entry it came by is forgotten", () => {
    const kept = new KeptState();
    const { state } = kept;
    const graph = createLineage({ state, thingsMax: 100 });
    graph.apply(saved(evil, "deps", 0));
    graph.apply(restored(release, "deps", 1));
    for (let n = 0; n < 300; n++) graph.apply(saved(build("9"), `e${n}`, 2));
    const left = [...state.table<{ thing: string }>("facts").entries()];
    expect(left.some(([, { thing }]) => thing.endsWith("/deps"))).toBe(false);
    graph.apply(saved(release, "out", 3));
    graph.apply(restored(deploy, "out", 4));
    expect(origins(graph, "2")).toEqual(["1"]);
    expect(origins(graph, "3")).toEqual(["1"]);
    void state.commit();
    const again = createLineage({ state: kept.reopen(), thingsMax: 100 });
    expect(origins(again, "3")).toEqual(["1"]);
  });
});
