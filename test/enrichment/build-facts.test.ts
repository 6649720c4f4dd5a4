import { describe, expect, it } from "vitest";
import { factsOf } from "../../src/enrichment/build-facts.ts";
import type { RunFact } from "../../src/enrichment/enrichment.ts";
import type { Event } from "../../src/event/event.ts";
import {
  at,
  auditRunEvent,
  event,
  fork,
  jobEvent,
  preparedEvent,
  pullEvent,
  runEvent,
} from "./fixture.ts";

function one(from: Event): RunFact {
  const facts = factsOf(from);
  expect(facts).toHaveLength(1);
  return facts[0] as RunFact;
}

describe("facts of a workflow_job webhook", () => {
  it("takes the job, its runner and its times", () => {
    const fact = one(jobEvent({ action: "completed", from: 3, to: 42, conclusion: "failure" }));
    expect(fact).toMatchObject({ run: "acme/app#77/1", job: "5001", status: "completed" });
    expect(fact.build).toEqual({
      repository: "acme/app",
      workflow: "CI",
      runId: "77",
      runAttempt: 1,
      runUrl: "https://git.example/acme/app/actions/runs/77",
      jobId: "5001",
      job: "build",
      sha: "a".repeat(40),
      ref: "main",
      runner: {
        name: "arc-x7-runner-abcde",
        id: "31",
        group: "Default",
        labels: ["self-hosted", "linux"],
        hosted: false,
      },
      startedAt: at(3),
      completedAt: at(42),
      conclusion: "failure",
    });
  });

  it("ignores the start and finds no runner while the job is queued", () => {
    for (const action of ["queued", "waiting"]) {
      const fact = one(jobEvent({ action, runner: null, runnerId: null, group: null }));
      expect(fact.status).toBe("queued");
      expect(fact.build.startedAt).toBeUndefined();
      expect(fact.build.runner).toBeUndefined();
    }
  });

  it("reads ids beyond 2^53 as written", () => {
    const fact = one(jobEvent({ id: "9007199254740993", runId: "9007199254740995" }));
    expect(fact.job).toBe("9007199254740993");
    expect(fact.build.runId).toBe("9007199254740995");
    expect(fact.run).toBe("acme/app#9007199254740995/1");
  });

  it("does without workflow_name and head_branch, as older bodies do", () => {
    const fact = one(
      jobEvent({ more: { workflow_name: undefined, head_branch: null, run_attempt: undefined } }),
    );
    expect(fact.build.workflow).toBeUndefined();
    expect(fact.build.ref).toBeUndefined();
    expect(fact.build.runAttempt).toBe(1);
  });

  it("takes steps with null times and drops what is no step", () => {
    const steps = [
      { name: "Set up job", number: 1, started_at: "2026-03-02T10:00:00Z", completed_at: null },
      { name: "Later", number: 2, started_at: null, completed_at: null },
      { name: "no number" },
      "text",
    ];
    expect(one(jobEvent({ steps })).steps).toEqual([
      { number: 1, name: "Set up job", startedAt: at(0) },
      { number: 2, name: "Later" },
    ]);
  });

  it("tells hosted from self-hosted by label before group", () => {
    const cases: [readonly string[], string | null, boolean | undefined][] = [
      [["ubuntu-latest"], "GitHub Actions", true],
      [["self-hosted"], "GitHub Actions", false],
      [["arc-x7"], "Default", undefined],
      [[], null, undefined],
    ];
    for (const [labels, group, hosted] of cases) {
      expect(one(jobEvent({ labels, group })).build.runner?.hosted).toBe(hosted);
    }
  });

  it("gives a re-run's page its attempt", () => {
    expect(one(jobEvent({ attempt: 3 })).build.runUrl).toBe(
      "https://git.example/acme/app/actions/runs/77/attempts/3",
    );
  });
});

describe("facts of a workflow_run webhook", () => {
  it("takes trigger, actors and the fork", () => {
    const fact = one(runEvent({ trigger: "pull_request_target", headRepository: fork }));
    expect(fact.job).toBeUndefined();
    expect(fact.build).toMatchObject({
      trigger: "pull_request_target",
      actor: "ann",
      triggeringActor: "bea",
      fork: true,
      headRepository: "mallory/app",
      workflowPath: ".github/workflows/ci.yml",
      runNumber: 12,
    });
  });

  it("knows a run of its own repository is no fork, and a workflow_run of a fork's is", () => {
    expect(one(runEvent()).build).toMatchObject({ fork: false });
    expect(one(runEvent()).build.headRepository).toBeUndefined();
    const chained = runEvent({ trigger: "workflow_run", headRepository: fork });
    expect(one(chained).build).toMatchObject({ fork: true, headRepository: "mallory/app" });
  });

  it("takes a deleted head repository of a pull request for a fork", () => {
    expect(one(runEvent({ trigger: "pull_request", headRepository: null })).build.fork).toBe(true);
    expect(one(runEvent({ trigger: "push", headRepository: null })).build.fork).toBeUndefined();
  });

  it("takes a run that waits for approval for queued", () => {
    const fact = one(runEvent({ action: "completed", conclusion: "action_required" }));
    expect(fact.status).toBe("queued");
    expect(fact.build.completedAt).toBeUndefined();
    expect(fact.build.conclusion).toBeUndefined();
  });

  it("counts only pull requests of this repository, the one with this head first", () => {
    const pull = (number: number, base: number, sha: string): unknown => {
      return { number, base: { repo: { id: base } }, head: { sha } };
    };
    const sha = "a".repeat(40);
    const pulls = [pull(1, 555, sha), pull(2, 100, "c".repeat(40)), pull(3, 100, sha)];
    expect(one(runEvent({ pulls })).build.pullRequest).toBe(3);
    expect(one(runEvent({ pulls: pulls.slice(0, 2) })).build.pullRequest).toBe(2);
    expect(one(runEvent({ pulls: pulls.slice(0, 1) })).build.pullRequest).toBeUndefined();
  });
});

describe("facts of a pull_request webhook", () => {
  it("is a fact about the runs of its head", () => {
    const fact = one(pullEvent(41, "d".repeat(40)));
    expect(fact.run).toBe(`pull:acme/app@${"d".repeat(40)}`);
    expect(fact.build).toMatchObject({
      runId: "",
      runAttempt: 0,
      pullRequest: 41,
      fork: true,
      headRepository: "mallory/app",
    });
  });

  it("is not taken from reviews and comments, which carry the same object", () => {
    const review = {
      ...pullEvent(41, "d".repeat(40)),
      fields: { "event.action": "pull_request_review.submitted" },
    };
    expect(factsOf(review)).toEqual([]);
  });
});

describe("facts of the audit log", () => {
  it("names the secrets of a prepared job without attempt or job id", () => {
    const fact = one(preparedEvent({ environment: "production" }));
    expect(fact).toMatchObject({ run: "acme/app#77/0", job: "name:build" });
    expect(fact.build).toMatchObject({
      runAttempt: 0,
      job: "build",
      secretsPassed: ["DEPLOY_KEY", "REGISTRY_PAT"],
      environment: "production",
      runner: { name: "arc-x7-runner-abcde", hosted: false },
    });
    expect(fact.build.actor).toBeUndefined();
  });

  it("keeps an empty list of secrets: told that there are none", () => {
    expect(one(preparedEvent({ secrets: [] })).build.secretsPassed).toEqual([]);
  });

  it("reads created and completed runs, lists for org and ids as text", () => {
    expect(one(auditRunEvent("created", 0))).toMatchObject({
      run: "acme/app#77/1",
      status: "queued",
    });
    expect(one(auditRunEvent("completed", 70))).toMatchObject({
      status: "completed",
      build: { conclusion: "success", runNumber: 12, completedAt: at(70) },
    });
  });

  it("opens a Splunk envelope and the older shape with `data`", () => {
    const flat = JSON.parse(preparedEvent().raw) as Record<string, unknown>;
    const wrapped = { ...preparedEvent(), raw: JSON.stringify({ event: flat, time: 1 }) };
    expect(factsOf(wrapped)).toEqual(factsOf(preparedEvent()));
    const { action, repo, ...data } = flat;
    const nested = { ...preparedEvent(), raw: JSON.stringify({ action, repo, data }) };
    expect(factsOf(nested)).toEqual(factsOf(preparedEvent()));
  });
});

describe("no facts", () => {
  it("in bodies that lack a run, break the shape or are not JSON", () => {
    const cases = [
      "",
      "null",
      "[]",
      "{",
      '{"workflow_job":5}',
      '{"workflow_job":{"id":1},"repository":{"full_name":"acme/app"}}',
      '{"workflow_job":{"id":1,"run_id":0},"repository":{"full_name":"acme/app"}}',
      '{"workflow_job":{"id":1,"run_id":2},"repository":{"full_name":"no owner"}}',
      '{"__proto__":{"workflow_job":{"id":1,"run_id":2}},"repository":{"full_name":"acme/app"}}',
    ];
    for (const raw of cases) expect(factsOf({ ...jobEvent(), raw })).toEqual([]);
  });

  it("in other events and feeds", () => {
    expect(factsOf({ ...jobEvent(), feed: "falco" })).toEqual([]);
    expect(factsOf({ ...jobEvent(), fields: {} })).toEqual([]);
    for (const action of ["constructor", "push", "workflow_jobs.completed", "repo.create"]) {
      const fields = { "event.action": action };
      expect(factsOf({ ...jobEvent(), fields })).toEqual([]);
      expect(factsOf(event({ id: "x", feed: "github-audit", seconds: 0, fields }))).toEqual([]);
    }
  });
});
