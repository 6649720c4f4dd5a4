import { describe, expect, it } from "vitest";
import { createInventory } from "../../src/enrichment/enrichment.ts";
import type { Event, JoinKeys } from "../../src/event/event.ts";
import { emptyState } from "../../src/state/memory.ts";
import { KeptState } from "../state/kept.ts";
import {
  at,
  auditRunEvent,
  egress,
  event,
  falco,
  fork,
  jobEvent,
  preparedEvent,
  pullEvent,
  runEvent,
} from "./fixture.ts";
import { Task, type TaskSettings } from "./task.ts";

const runner = "arc-x7-runner-abcde";

const inventory = createInventory([
  { name: "vm-1", hosts: ["Build-01.internal"], addresses: ["10.0.0.5", "2001:db8::5"] },
  { name: "vm-2", hosts: ["twin.internal"] },
  { name: "vm-3", hosts: ["twin.internal"] },
]);

function table(settings: Partial<TaskSettings> = {}): Task {
  return new Task({ state: emptyState(), inventory, ...settings });
}

function tell(builds: Task, seconds: number, ...told: readonly Event[]): readonly Event[] {
  return told.flatMap((one) =>
    builds.factsOf(one).flatMap((fact) => builds.learn(fact, at(seconds))),
  );
}

/** The event joined, or undefined while it is parked. */
function joined(builds: Task, one: Event, seconds?: number): Event | undefined {
  const now = seconds === undefined ? one.receivedAt : at(seconds);
  const result = builds.join(one, now);
  return result.kind === "ready" ? result.event : undefined;
}

describe("join", () => {
  it("takes the pod that bears the runner's name", () => {
    const builds = table();
    tell(builds, 0, runEvent(), jobEvent());
    const result = joined(builds, falco(10, { pod: runner, host: "node-7" }));
    expect(result?.build).toMatchObject({ job: "build", jobId: "5001", runId: "77" });
    expect(result?.buildJoin).toEqual({ method: "pod", confidence: "exact", candidates: [] });
  });

  it("takes the job and step pods of the runner, cut to 63 characters too", () => {
    const long = `arc-${"x".repeat(52)}-abcde`;
    const cases: [string, string, boolean][] = [
      [runner, `${runner}-workflow`, true],
      [runner, `${runner}-step-0123abcd`, true],
      [runner, `${runner}-step-0123abcd-zz9`, true],
      [runner, `${runner}-other`, false],
      [runner, `${runner.slice(0, -1)}-workflow`, false],
      [runner, `${runner}f-workflow`, false],
      [long, long, true],
      [long, `${long.slice(0, 54)}-workflow`, true],
      [long, `${long.slice(0, 49)}-step-0123abcd`, true],
      [long, `${long.slice(0, 53)}-workflow`, false],
      [long, `${long.slice(0, 50)}-step-0123abcd`, false],
    ];
    for (const [name, pod, found] of cases) {
      const builds = table();
      tell(builds, 0, jobEvent({ runner: name }));
      expect([pod, joined(builds, falco(5, { pod })) !== undefined]).toEqual([pod, found]);
    }
  });

  it("prefers job id to run id to runner name", () => {
    const builds = table();
    tell(builds, 0, jobEvent(), jobEvent({ id: 6001, runId: 88, runner: "other" }));
    const keys: [JoinKeys, string, string][] = [
      [{ jobId: "5001", runId: "88", runnerName: "other" }, "job-id", "5001"],
      [{ runId: "88", runnerName: runner }, "run-id", "6001"],
      [{ runnerName: "OTHER", pod: runner }, "runner-name", "6001"],
    ];
    for (const [join, method, jobId] of keys) {
      const result = joined(builds, egress(5, join, `egress:${method}`));
      expect(result?.buildJoin?.method).toBe(method);
      expect(result?.build?.jobId).toBe(jobId);
    }
  });

  it("takes hosts and addresses of the inventory, and parks nothing for others", () => {
    const builds = table();
    tell(builds, 0, jobEvent({ runner: "vm-1" }));
    const cases: [JoinKeys, string][] = [
      [{ host: "build-01.INTERNAL" }, "host"],
      [{ host: "vm-1" }, "host"],
      [{ address: "10.0.0.5" }, "address"],
      [{ address: "::ffff:10.0.0.5" }, "address"],
      [{ address: "2001:DB8:0:0::5" }, "address"],
      [{ host: "node-7", address: "10.0.0.6" }, "none"],
      [{}, "none"],
    ];
    for (const [join, method] of cases) {
      const result = joined(builds, egress(5, join, `egress:${JSON.stringify(join)}`));
      expect([join, result?.buildJoin?.method]).toEqual([join, method]);
    }
    expect(builds.counts().parked).toBe(0);
  });

  it("does not take a node for the pods on it", () => {
    const builds = table();
    tell(builds, 0, jobEvent({ runner: "node-7" }));
    expect(joined(builds, falco(5, { host: "node-7" }))?.build?.jobId).toBe("5001");
    expect(joined(builds, falco(6, { host: "node-7", pod: "web-1" }))).toBeUndefined();
  });

  it("learns addresses of pods from events that carry both, by time", () => {
    const builds = table();
    const second = { runner: "arc-x7-runner-fghij", id: 5002, runId: 78 };
    tell(builds, 0, jobEvent(), jobEvent({ action: "completed", from: 0, to: 20 }));
    tell(builds, 0, jobEvent({ ...second, from: 22 }));
    joined(builds, falco(5, { pod: runner, address: "10.1.0.9" }));
    joined(builds, falco(25, { pod: second.runner, address: "10.1.0.9" }));
    const first = joined(builds, egress(10, { address: "10.1.0.9" }));
    expect(first?.build?.jobId).toBe("5001");
    expect(first?.buildJoin).toEqual({ method: "address", confidence: "likely", candidates: [] });
    expect(joined(builds, egress(40, { address: "10.1.0.9" }))?.build?.jobId).toBe("5002");
    // Seen before its pod was: the pod's job holds the moment.
    expect(joined(builds, egress(23, { address: "10.1.0.9" }))?.build?.jobId).toBe("5002");
  });

  it("knows the job of a persistent runner by time, with slack", () => {
    const builds = table();
    const vm = { runner: "vm-1", runnerId: 9 };
    tell(builds, 300, jobEvent({ ...vm, id: 1, action: "completed", from: 100, to: 200 }));
    tell(builds, 300, jobEvent({ ...vm, id: 2, action: "completed", from: 300, to: 400 }));
    const cases: [number, string | undefined, string | undefined][] = [
      [60, undefined, undefined],
      [75, "1", "likely"],
      [100, "1", "exact"],
      [200.9, "1", "exact"],
      [300, "2", "exact"],
      [285, "2", "likely"],
      [400.999, "2", "exact"],
    ];
    for (const [seconds, jobId, confidence] of cases) {
      const result = joined(builds, falco(seconds, { runnerName: "vm-1" }));
      expect([seconds, result?.build?.jobId]).toEqual([seconds, jobId]);
      expect(result?.buildJoin?.confidence).toBe(confidence);
    }
  });

  it("gives no build between two jobs that could both be meant", () => {
    const builds = table();
    const vm = { runner: "vm-1", runnerId: 9 };
    tell(builds, 300, jobEvent({ ...vm, id: 1, action: "completed", from: 100, to: 200 }));
    tell(builds, 300, jobEvent({ ...vm, id: 2, runId: 78, from: 220, name: "test" }));
    expect(joined(builds, falco(210, { runnerName: "vm-1" }))).toBeUndefined();
    const [released] = builds.due(at(230));
    expect(released?.build).toBeUndefined();
    expect(released?.buildJoin).toEqual({
      method: "none",
      confidence: "none",
      candidates: ["acme/app 77/1 build", "acme/app 78/1 test"],
    });
  });

  it("closes a job whose end was lost when its runner starts the next", () => {
    const builds = table();
    const vm = { runner: "vm-1", runnerId: 9 };
    tell(builds, 0, jobEvent({ ...vm, id: 1, from: 0 }), jobEvent({ ...vm, id: 2, from: 50 }));
    expect(joined(builds, falco(10, { runnerName: "vm-1" }))?.build?.jobId).toBe("1");
    expect(joined(builds, falco(90, { runnerName: "vm-1" }))?.build?.jobId).toBe("2");
  });

  it("chooses the later job at a shared second and names the other", () => {
    const builds = table();
    const vm = { runner: "vm-1", runnerId: 9 };
    tell(builds, 0, jobEvent({ ...vm, id: 1, action: "completed", from: 0, to: 50 }));
    tell(builds, 0, jobEvent({ ...vm, id: 2, from: 50, name: "test" }));
    const result = joined(builds, falco(50.4, { runnerName: "vm-1" }));
    expect(result?.build?.jobId).toBe("2");
    expect(result?.buildJoin).toEqual({
      method: "runner-name",
      confidence: "likely",
      candidates: ["acme/app 77/1 build"],
    });
  });

  it("tells runners of two organisations apart only by what the event says", () => {
    const builds = table();
    const other = { repository: "globex/app", runId: 78, id: 5002 };
    tell(builds, 0, jobEvent({ runner: "vm-1" }), jobEvent({ ...other, runner: "vm-1" }));
    expect(joined(builds, falco(5, { runnerName: "vm-1" }))).toBeUndefined();
    expect(builds.due(at(60))[0]?.buildJoin?.candidates).toEqual([
      "acme/app 77/1 build",
      "globex/app 78/1 build",
    ]);
    const hinted = joined(builds, falco(6, { runnerName: "vm-1", repository: "Globex/App" }));
    expect(hinted?.build?.repository).toBe("globex/app");
    const owner = event({
      id: "falco:owner",
      feed: "falco",
      seconds: 7,
      join: { runnerName: "vm-1" },
      fields: { "vcs.owner.name": "acme" },
    });
    expect(joined(builds, owner)?.build?.repository).toBe("acme/app");
  });

  it("tells two runners of one name in one organisation apart by id", () => {
    const builds = table();
    const second = { id: 5002, runId: 78, runnerId: 32, repository: "acme/other", from: 2 };
    tell(builds, 0, jobEvent({ runner: "vm-1" }), jobEvent({ ...second, runner: "vm-1" }));
    expect(joined(builds, falco(5, { runnerName: "vm-1" }))).toBeUndefined();
    expect(builds.due(at(60))[0]?.buildJoin?.candidates).toHaveLength(2);
  });

  it("takes a machine's last job for activity after it, though it registers anew each time", () => {
    const builds = table();
    const done = { action: "completed", runner: "vm-1" };
    tell(builds, 0, jobEvent({ ...done, id: 1, runnerId: 1, from: 0, to: 10 }));
    tell(builds, 0, jobEvent({ ...done, id: 2, runnerId: 2, from: 100, to: 110 }));
    joined(builds, falco(500, { runnerName: "vm-1" }));
    const [after] = builds.due(at(600));
    expect(after?.build?.jobId).toBe("2");
    expect(after?.buildJoin).toMatchObject({
      confidence: "after-job",
      candidates: ["acme/app 77/1 build"],
    });
  });

  it("lists both runners of one machine", () => {
    const builds = table();
    tell(builds, 0, jobEvent({ runner: "vm-2", id: 1 }));
    expect(joined(builds, falco(5, { host: "twin.internal" }))?.build?.jobId).toBe("1");
    tell(builds, 0, jobEvent({ runner: "vm-3", id: 2, name: "test", runnerId: 32 }));
    expect(joined(builds, falco(6, { host: "twin.internal" }))).toBeUndefined();
    expect(builds.due(at(60))[0]?.buildJoin?.candidates).toHaveLength(2);
  });

  it("takes the step by time; at a shared second the one that started later", () => {
    const step = (number: number, from: number, to: number | null): unknown => ({
      number,
      name: `step ${number}`,
      started_at: new Date(at(from)).toISOString(),
      completed_at: to === null ? null : new Date(at(to)).toISOString(),
    });
    const builds = table();
    const steps = [step(1, 0, 5), step(2, 5, 5), step(3, 5, 30), step(4, 40, null)];
    tell(builds, 0, jobEvent({ action: "completed", to: 60, steps }));
    const cases: [number, string | undefined][] = [
      [0.5, "step 1"],
      [4.999, "step 1"],
      [5.2, "step 3"],
      [30.9, "step 3"],
      [31, undefined],
      [45, undefined],
    ];
    for (const [seconds, name] of cases) {
      expect(joined(builds, falco(seconds, { pod: runner }))?.build?.step).toBe(name);
    }
  });

  it("says of the run what is certain when several jobs of it fit", () => {
    const builds = table();
    tell(builds, 0, runEvent(), jobEvent(), jobEvent({ id: 2, name: "test", runner: "r2" }));
    const result = joined(builds, egress(5, { runId: "77", repository: "acme/app" }));
    expect(result?.build?.runId).toBe("77");
    expect(result?.build?.job).toBeUndefined();
    expect(result?.buildJoin?.candidates).toEqual(["acme/app 77/1 build", "acme/app 77/1 test"]);
    const named = joined(builds, egress(6, { runId: "77", runnerName: "R2" }));
    expect(named?.build?.job).toBe("test");
    expect(joined(builds, egress(7, { runId: "77", repository: "acme/other" }))).toBeUndefined();
  });

  it("takes the attempt the event names, else the one that ran then", () => {
    const builds = table();
    tell(builds, 0, runEvent(), runEvent({ attempt: 2, from: 100, seconds: 100 }));
    tell(builds, 0, jobEvent({ action: "completed" }));
    tell(builds, 0, jobEvent({ attempt: 2, id: 5009, from: 105, runner: "r9" }));
    expect(joined(builds, egress(30, { runId: "77" }))?.build?.jobId).toBe("5001");
    expect(joined(builds, egress(110, { runId: "77" }))?.build?.jobId).toBe("5009");
    const named = joined(builds, egress(111, { runId: "77", runAttempt: 1 }));
    expect(named === undefined || named.build?.runAttempt === 1).toBe(true);
  });

  it("never takes a skipped job, nor one that is queued", () => {
    const builds = table();
    tell(builds, 0, jobEvent({ action: "queued" }));
    expect(joined(builds, falco(5, { pod: runner }))).toBeUndefined();
    const skipped = { action: "completed", conclusion: "skipped", from: 0, to: 60, id: 2 };
    tell(builds, 0, jobEvent({ ...skipped, runner: "vm-9" }));
    expect(joined(builds, falco(6, { runnerName: "vm-9" }))).toBeUndefined();
  });

  it("joins GitHub's own events by id and never parks them", () => {
    const builds = table();
    tell(builds, 0, runEvent({ trigger: "pull_request", headRepository: fork }), jobEvent());
    const run = joined(builds, runEvent({ action: "completed" }));
    expect(run?.buildJoin?.method).toBe("run-id");
    expect(run?.build?.job).toBeUndefined();
    expect(run?.fields["pipewarden.run.trust"]).toBe("untrusted");
    expect(joined(builds, jobEvent())?.build?.job).toBe("build");
    const stranger = joined(builds, jobEvent({ id: 1, runId: 2 }));
    expect(stranger?.build).toBeUndefined();
    expect(stranger?.buildJoin?.method).toBe("none");
  });

  it("adds fields and keeps the event's own", () => {
    const builds = table();
    tell(builds, 0, runEvent(), jobEvent(), preparedEvent());
    const own = { ...falco(5, { pod: runner }), fields: { "vcs.repository.name": "said/itself" } };
    expect(joined(builds, own)?.fields).toMatchObject({
      "vcs.repository.name": "said/itself",
      "cicd.pipeline.run.id": "77",
      "cicd.pipeline.task.run.id": "5001",
      "cicd.worker.name": runner,
      "pipewarden.run.trigger": "push",
      "pipewarden.run.trust": "trusted",
      "pipewarden.run.fork": false,
      "pipewarden.run.secrets_passed": ["DEPLOY_KEY", "REGISTRY_PAT"],
      "pipewarden.runner.hosted": false,
      "pipewarden.join.method": "pod",
      "pipewarden.join.confidence": "exact",
    });
  });
});

describe("what is known of a run", () => {
  it("finds the pull request of a fork's run by head commit", () => {
    const builds = table();
    const sha = "d".repeat(40);
    tell(builds, 0, pullEvent(41, sha), pullEvent(57, sha, { seconds: 500 }));
    tell(builds, 0, runEvent({ trigger: "pull_request", sha, headRepository: fork }));
    tell(builds, 0, jobEvent({ more: { head_sha: sha } }));
    expect(joined(builds, falco(5, { pod: runner }))?.build).toMatchObject({
      fork: true,
      pullRequest: 41,
      headRepository: "mallory/app",
    });
  });

  it("finds a pull request that is told after the run", () => {
    const builds = table();
    tell(builds, 0, runEvent({ trigger: "pull_request", headRepository: fork }), jobEvent());
    expect(joined(builds, falco(5, { pod: runner }))?.build?.pullRequest).toBeUndefined();
    tell(builds, 6, pullEvent(41, "a".repeat(40)));
    expect(joined(builds, falco(7, { pod: runner }))?.build?.pullRequest).toBe(41);
  });

  it("does not give a push the pull request of its commit", () => {
    const builds = table();
    const own = { from: { id: 100, full_name: "acme/app" } };
    tell(builds, 0, pullEvent(41, "a".repeat(40), own), runEvent(), jobEvent());
    expect(joined(builds, falco(5, { pod: runner }))?.build?.pullRequest).toBeUndefined();
  });

  it("does not call a run trusted before it knows the trigger", () => {
    const builds = table();
    tell(builds, 0, jobEvent());
    const fields = joined(builds, falco(5, { pod: runner }))?.fields ?? {};
    expect(Object.hasOwn(fields, "pipewarden.run.trust")).toBe(false);
    expect(Object.hasOwn(fields, "pipewarden.run.fork")).toBe(false);
  });

  it("gives each attempt the secrets prepared for it", () => {
    const builds = table();
    const first = { secrets: ["ONE"], seconds: -1 };
    const second = { secrets: ["TWO"], seconds: 99, runner: "r9" };
    tell(builds, 0, preparedEvent(second), preparedEvent(first));
    tell(builds, 0, jobEvent({ action: "completed" }));
    tell(builds, 0, jobEvent({ attempt: 2, id: 5009, from: 100, runner: "r9" }));
    expect(joined(builds, falco(5, { pod: runner }))?.build?.secretsPassed).toEqual(["ONE"]);
    expect(joined(builds, falco(105, { pod: "r9" }))?.build?.secretsPassed).toEqual(["TWO"]);
  });

  it("gives matrix jobs what was prepared for their name, but no other job", () => {
    const builds = table();
    tell(builds, 0, preparedEvent({ job: "test", runner: "m1" }));
    tell(builds, 0, jobEvent({ id: 1, name: "test (a, b)", runner: "m1" }));
    tell(builds, 0, jobEvent({ id: 2, name: "testing", runner: "m2" }));
    expect(joined(builds, falco(5, { pod: "m1" }))?.build?.secretsPassed).toBeDefined();
    expect(joined(builds, falco(5, { pod: "m2" }, "falco:m2"))?.build).toMatchObject({
      jobId: "2",
    });
    expect(joined(builds, falco(6, { pod: "m2" }))?.build?.secretsPassed).toBeUndefined();
  });

  it("knows a job from the audit log alone, and when its run ended", () => {
    const builds = table();
    tell(builds, 0, auditRunEvent("created", -8), preparedEvent());
    expect(joined(builds, falco(5, { pod: runner }))?.build).toMatchObject({
      job: "build",
      runId: "77",
      runAttempt: 1,
      trigger: "push",
      secretsPassed: ["DEPLOY_KEY", "REGISTRY_PAT"],
    });
    tell(builds, 0, auditRunEvent("completed", 70));
    expect(joined(builds, falco(500, { pod: runner }))?.buildJoin?.confidence).toBe("after-job");
  });

  it("joins a queued webhook job to the runner the audit log prepared", () => {
    const builds = table();
    tell(builds, 0, jobEvent({ action: "queued", runner: null }), preparedEvent());
    expect(joined(builds, falco(5, { pod: runner }))?.build?.jobId).toBe("5001");
  });

  it("keeps what the furthest state told, however late an earlier one is stamped", () => {
    const builds = table();
    const done = jobEvent({ action: "completed", to: 60, name: "build" });
    tell(builds, 0, done, jobEvent({ seconds: 90, name: "renamed" }));
    expect(joined(builds, falco(5, { pod: runner }))?.build?.job).toBe("build");
  });

  it("ends a job with its run when its own end was lost, but not before it began", () => {
    const builds = table();
    tell(builds, 0, jobEvent(), runEvent({ action: "completed", seconds: 70 }));
    expect(joined(builds, falco(500, { pod: runner }))?.buildJoin?.confidence).toBe("after-job");
    const odd = table();
    tell(odd, 0, jobEvent(), runEvent({ action: "completed", seconds: -2 }));
    expect(joined(odd, falco(500, { pod: runner }))?.buildJoin?.confidence).toBe("exact");
  });

  it("takes completed before in_progress, and redeliveries, as they are", () => {
    const builds = table();
    const done = jobEvent({ action: "completed", to: 60 });
    tell(builds, 0, done, jobEvent(), jobEvent({ action: "queued", runner: null }), done);
    expect(joined(builds, falco(5, { pod: runner }))?.build).toMatchObject({
      conclusion: "success",
      completedAt: at(60),
    });
  });
});

describe("parking", () => {
  it("holds an event until its job is told, and answers it once", () => {
    const builds = table();
    const early = falco(1, { pod: runner });
    expect(builds.join(early, at(1))).toEqual({ kind: "parked", until: at(16) });
    expect(builds.nextDue()).toBe(at(16));
    expect(builds.join(early, at(2))).toEqual({ kind: "parked", until: at(16) });
    const [emitted, ...more] = tell(builds, 3, jobEvent());
    expect(more).toEqual([]);
    expect(emitted).toMatchObject({ id: early.id, build: { jobId: "5001" } });
    expect(builds.nextDue()).toBeUndefined();
    expect(builds.due(at(100))).toEqual([]);
  });

  it("lets it go without a build, and enriches it when the fact comes late", () => {
    const builds = table();
    const early = falco(1, { pod: runner });
    builds.join(early, at(1));
    expect(builds.due(at(15.999))).toEqual([]);
    const [released] = builds.due(at(16));
    expect(released?.id).toBe(early.id);
    expect(released?.build).toBeUndefined();
    expect(released?.buildJoin?.confidence).toBe("none");
    expect(builds.due(at(17))).toEqual([]);
    const [late] = tell(builds, 3_600, jobEvent());
    expect(late).toMatchObject({ id: early.id, build: { jobId: "5001" } });
    expect(late?.fields["pipewarden.join.method"]).toBe("pod");
    expect(tell(builds, 3_601, jobEvent({ action: "completed" }))).toEqual([]);
  });

  it("forgets a released event after its time", () => {
    const builds = table({ keepMs: 60_000 });
    builds.join(falco(1, { pod: runner }), at(1));
    builds.due(at(16));
    expect(tell(builds, 77, jobEvent())).toEqual([]);
    expect(builds.counts().released).toBe(0);
  });

  it("waits on a runner that lives on: its next job may be on its way", () => {
    const builds = table();
    const vm = { runner: "vm-1", runnerId: 9 };
    tell(builds, 50, jobEvent({ ...vm, id: 1, action: "completed", from: 0, to: 50 }));
    const soon = falco(58, { runnerName: "vm-1" });
    const later = falco(500, { runnerName: "vm-1" });
    expect(joined(builds, soon)).toBeUndefined();
    expect(joined(builds, later)).toBeUndefined();
    const [next] = tell(builds, 60, jobEvent({ ...vm, id: 2, runId: 78, from: 57 }));
    expect(next).toMatchObject({ id: soon.id, build: { jobId: "2" } });
    const again = table();
    tell(again, 50, jobEvent({ ...vm, id: 1, action: "completed", from: 0, to: 50 }));
    joined(again, later);
    const [after] = again.due(at(520));
    expect(after?.build?.jobId).toBe("1");
    expect(after?.buildJoin?.confidence).toBe("after-job");
    const [better] = tell(again, 530, jobEvent({ ...vm, id: 2, runId: 78, from: 490 }));
    expect(better).toMatchObject({ id: later.id, build: { jobId: "2" } });
    expect(better?.buildJoin?.confidence).toBe("exact");
  });

  it("does not wait on a pod: it runs one job and is gone", () => {
    const builds = table();
    tell(builds, 60, jobEvent({ action: "completed", to: 60 }));
    expect(joined(builds, falco(70, { pod: runner }))?.buildJoin?.confidence).toBe("likely");
    expect(joined(builds, falco(700, { pod: runner }))?.buildJoin?.confidence).toBe("after-job");
  });

  it("sends an event again when secrets and trigger come, once for each", () => {
    const builds = table();
    tell(builds, 0, jobEvent());
    const first = falco(5, { pod: runner });
    expect(joined(builds, first)?.build?.secretsPassed).toBeUndefined();
    const [again] = tell(builds, 10, preparedEvent());
    expect(again).toMatchObject({
      id: first.id,
      build: { secretsPassed: ["DEPLOY_KEY", "REGISTRY_PAT"] },
    });
    const [trusted] = tell(builds, 12, runEvent({ trigger: "pull_request", headRepository: fork }));
    expect(trusted?.fields["pipewarden.run.trust"]).toBe("untrusted");
    expect(builds.counts().reEmitted).toBe(2);
    expect(tell(builds, 13, preparedEvent(), jobEvent({ action: "completed" }))).toEqual([]);
  });

  it("is answered when a job that could have been meant turns out to be on another runner", () => {
    const builds = table();
    const second = { id: 5002, runId: 78, name: "test" };
    tell(builds, 0, jobEvent({ runner: "vm-1", runnerId: 1 }));
    tell(builds, 0, jobEvent({ ...second, runner: "vm-1", runnerId: 2 }));
    const early = falco(5, { runnerName: "vm-1" });
    expect(joined(builds, early)).toBeUndefined();
    const [answered] = tell(builds, 6, jobEvent({ ...second, runner: "vm-9", seconds: 6 }));
    expect(answered).toMatchObject({ id: early.id, build: { jobId: "5001" } });
  });

  it("waits for a job id alone, and for a job that begins soon after it", () => {
    const builds = table();
    expect(joined(builds, egress(5, { jobId: "5001" }))).toBeUndefined();
    expect(joined(builds, falco(5, { pod: "r2" }))).toBeUndefined();
    const [byId] = tell(builds, 6, jobEvent({ from: 90, seconds: 6 }));
    expect(byId).toMatchObject({ id: "egress:5", build: { jobId: "5001" } });
    const soon = { id: 5002, runId: 78, runner: "r2", seconds: 6 };
    expect(tell(builds, 6, jobEvent({ ...soon, from: 36 }))).toEqual([]);
    const [near] = tell(builds, 7, jobEvent({ ...soon, from: 35, seconds: 7 }));
    expect(near).toMatchObject({ id: "falco:5", build: { jobId: "5002" } });
  });

  it("is answered by the first job of the repository it names, however long ago", () => {
    const builds = table();
    const vm = { runner: "vm-1" };
    tell(builds, 0, jobEvent({ ...vm, runnerId: 1, from: 15 }));
    tell(builds, 0, jobEvent({ ...vm, runnerId: 2, from: 16, id: 5002, runId: 78 }));
    const early = falco(100, { runnerName: "vm-1", repository: "acme/other" });
    expect(joined(builds, early)).toBeUndefined();
    expect(builds.due(at(115))[0]?.build).toBeUndefined();
    const old = { id: 5003, runId: 79, repository: "acme/other", from: 10, to: 12 };
    const [answered] = tell(builds, 116, jobEvent({ ...vm, ...old, action: "completed" }));
    expect(answered).toMatchObject({ id: early.id, build: { repository: "acme/other" } });
  });

  it("is sent again when the pull request of its branch is told late and is a fork's", () => {
    const builds = table();
    const more = { workflow_name: "CI", head_branch: "patch-1" };
    tell(builds, 0, jobEvent({ more }));
    const first = falco(5, { pod: runner });
    expect(joined(builds, first)?.build?.fork).toBe(false);
    const [again] = tell(builds, 6, pullEvent(41, "a".repeat(40)));
    expect(again).toMatchObject({ id: first.id, build: { fork: true, pullRequest: 41 } });
    expect(tell(builds, 7, pullEvent(41, "a".repeat(40)))).toEqual([]);
    expect(tell(builds, 7, pullEvent(42, "b".repeat(40)))).toEqual([]);
  });

  it("survives a restart with what was committed", () => {
    const kept = new KeptState();
    const builds = new Task({ state: kept.state, inventory });
    builds.join(falco(1, { pod: "waiting" }, "falco:parked"), at(1));
    builds.join(falco(1, { pod: "other" }, "falco:released"), at(-20));
    builds.due(at(-1));
    tell(builds, 2, runEvent(), jobEvent({ id: 9, runId: 99, runner: "third" }), preparedEvent());
    void kept.state.commit();
    const again = new Task({ state: kept.reopen(), inventory });
    expect(again.counts()).toMatchObject({ parked: 1, released: 1 });
    expect(again.nextDue()).toBe(at(16));
    expect(joined(again, falco(5, { pod: "third" }))?.build?.jobId).toBe("9");
    const late = tell(
      again,
      3,
      jobEvent({ id: 7, runId: 97, runner: "waiting" }),
      jobEvent({ id: 8, runId: 98, runner: "other" }),
    );
    expect(late.map((one) => [one.id, one.build?.jobId])).toEqual([
      ["falco:parked", "7"],
      ["falco:released", "8"],
    ]);
  });
});

describe("bounds", () => {
  it("lets events go on when too many wait, and counts them", () => {
    const builds = table({ parkedMax: 2 });
    const results = [1, 2, 3, 4, 5].map((n) => builds.join(falco(n, { pod: `pod-${n}` }), at(n)));
    expect(results.map((result) => result.kind)).toEqual([
      "parked",
      "parked",
      "ready",
      "ready",
      "ready",
    ]);
    expect(builds.counts()).toMatchObject({
      parked: 2,
      parkedFull: 3,
      released: 2,
      releasedEvicted: 1,
    });
    // The one that went on is still enriched later.
    const [late] = tell(builds, 10, jobEvent({ runner: "pod-5", from: 4 }));
    expect(late?.id).toBe("falco:5");
  });

  it("forgets the oldest runs, and only those", () => {
    const builds = table({ buildsMax: 100 });
    for (let n = 0; n < 500; n++) {
      tell(builds, n, jobEvent({ id: n + 1, runId: n + 1, runner: `r-${n}`, from: n, seconds: n }));
      expect(builds.counts().builds).toBeLessThanOrEqual(100);
    }
    expect(builds.counts().builds + builds.counts().buildsEvicted).toBe(1_000);
    expect(joined(builds, falco(499, { pod: "r-499" }))?.build?.jobId).toBe("500");
    expect(joined(builds, falco(10, { pod: "r-10" }))).toBeUndefined();
  });

  it("keeps names of the language harmless", () => {
    const builds = table();
    const name = "__proto__";
    tell(builds, 0, jobEvent({ runner: "constructor", name }));
    expect(joined(builds, falco(5, { pod: "constructor" }))?.build?.job).toBe(name);
    expect(joined(builds, falco(5, { runnerName: name }, "x"))).toBeUndefined();
  });
});
