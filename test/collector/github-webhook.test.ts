/** @module GitHub webhook payloads: names, times, fields and join keys. */

import { describe, expect, it } from "vitest";
import { eventNameOf } from "../../src/collector/github-event-name.ts";
import { githubWebhookCollector } from "../../src/collector/github-webhook.ts";
import type { Event } from "../../src/event/event.ts";
import { codes, one, read, receivedAt } from "./deliver.ts";
import { push, repository, sender, workflowJob, workflowRun } from "./samples.ts";

const guid = "72D3162E-CC78-11E3-81AB-4C9367DC0958";

function hook(name: string, payload: unknown, more: Record<string, string> = {}): Event {
  const headers = { "x-github-event": name, "x-github-delivery": guid, ...more };
  return one(githubWebhookCollector, payload, { headers });
}

describe("a delivery", () => {
  it("has the delivery's id, which a redelivery repeats", () => {
    const event = hook("workflow_job", workflowJob);
    expect(event.id).toBe(`github-webhook:${guid.toLowerCase()}`);
    expect(event.logsource).toEqual({ product: "github", service: "webhook" });
    expect(event.fields).toMatchObject({
      "event.action": "workflow_job.in_progress",
      "pipewarden.webhook.event": "workflow_job",
      "pipewarden.webhook.action": "in_progress",
      "pipewarden.webhook.delivery": guid,
      "user.name": "mara",
      "user.id": "9042",
      "organization.name": "acme",
      "vcs.repository.name": "acme/parcel",
      "vcs.owner.name": "acme",
      "pipewarden.repository.private": true,
    });
  });

  it("has a hash of its content for id when there is no header, whatever the spacing", () => {
    const plain = one(githubWebhookCollector, JSON.stringify(workflowJob));
    const spaced = one(githubWebhookCollector, JSON.stringify(workflowJob, undefined, 2));
    expect(plain.id).toBe(spaced.id);
    expect(plain.id).toMatch(/^github-webhook:[0-9a-f]{32}$/);
    expect(plain.fields["event.action"]).toBe("workflow_job.in_progress");
  });

  it("may be form-encoded, by header or by look", () => {
    const body = new URLSearchParams({ payload: JSON.stringify(push) }).toString();
    const type = { "content-type": "application/x-www-form-urlencoded; charset=utf-8" };
    const byHeader = one(githubWebhookCollector, body, {
      headers: { ...type, "x-github-event": "push" },
    });
    expect(byHeader.raw).toBe(JSON.stringify(push));
    expect(one(githubWebhookCollector, body).fields["event.action"]).toBe("push");
    const none = read(githubWebhookCollector, "a=1", { headers: type });
    expect(codes(none)).toEqual(["field-missing"]);
  });

  it.each([
    ["an unknown shape without header", { hello: 1 }, {}, "field-missing"],
    ["a header that is no name", push, { "x-github-event": "a b" }, "shape-unexpected"],
    ["a number in a list", [3], { "x-github-event": "push" }, "shape-unexpected"],
    ["text", "hello", { "x-github-event": "push" }, "json-invalid"],
  ])("rejects %s", (_name, body, headers, code) => {
    expect(codes(read(githubWebhookCollector, body, { headers }))).toEqual([code]);
  });

  it("takes an event it has no row for, with its object's plain values", () => {
    const event = hook("repository_ruleset", {
      action: "edited",
      repository_ruleset: {
        id: 5,
        name: "main",
        node_id: "x",
        _links: { a: 1 },
        url: "u",
        conditions: { ref_name: { include: ["~ALL"] } },
      },
      changes: { enforcement: { from: "active" } },
      repository,
      sender,
    });
    expect(event.fields).toMatchObject({
      "pipewarden.webhook.repository_ruleset.id": 5,
      "pipewarden.webhook.repository_ruleset.conditions.ref_name.include": ["~ALL"],
      "pipewarden.webhook.changes": ["enforcement"],
      "pipewarden.webhook.changed.enforcement.from": "active",
    });
    expect(event.fields).not.toHaveProperty(["pipewarden.webhook.repository_ruleset.url"]);
    expect(event.timeSource).toBe("receipt");
  });

  it("keeps ids beyond 2^53 digit by digit", () => {
    const text = JSON.stringify(workflowJob)
      .replace("60123456789", "9223372036854775807")
      .replace("21987654321", "9007199254740993");
    const event = one(githubWebhookCollector, text);
    expect(event.join).toMatchObject({ jobId: "9223372036854775807", runId: "9007199254740993" });
    expect(event.fields["cicd.pipeline.task.run.id"]).toBe("9223372036854775807");
  });
});

describe("workflow_job", () => {
  const job = (action: string, more: Record<string, unknown> = {}): Event =>
    hook("workflow_job", {
      ...workflowJob,
      action,
      workflow_job: { ...workflowJob.workflow_job, ...more },
    });

  it("has the job, its run and runner", () => {
    const event = job("in_progress");
    expect(event.fields).toMatchObject({
      "cicd.pipeline.name": "nightly",
      "cicd.pipeline.run.id": "21987654321",
      "cicd.pipeline.run.url.full": "https://github.example/acme/parcel/actions/runs/21987654321",
      "cicd.pipeline.task.name": "build (linux)",
      "cicd.pipeline.task.run.id": "60123456789",
      "cicd.worker.name": "linux-x64-runner-8fk2p",
      "cicd.worker.id": "311",
      "vcs.ref.head.name": "main",
      "vcs.ref.head.revision": workflowJob.workflow_job.head_sha,
      "pipewarden.run.attempt": 2,
      "pipewarden.run.status": "in_progress",
      "pipewarden.runner.labels": ["linux-x64"],
      "pipewarden.runner.group": "arc",
      "pipewarden.run.step_names": ["Set up job", "Run npm ci"],
      "pipewarden.run.step_numbers": [1, 2],
      "pipewarden.run.step_started_at": ["2026-11-24T08:59:00Z", null],
    });
    expect(event.join).toEqual({
      repository: "acme/parcel",
      runnerName: "linux-x64-runner-8fk2p",
      runId: "21987654321",
      runAttempt: 2,
      jobId: "60123456789",
    });
  });

  it.each([
    ["queued", {}, "2026-11-24T08:58:00Z"],
    ["queued", { created_at: undefined }, "2026-11-24T08:59:00Z"],
    ["waiting", { status: "queued" }, "2026-11-24T08:58:00Z"],
    ["in_progress", {}, "2026-11-24T08:59:00Z"],
    ["completed", { completed_at: "2026-11-24T09:30:00Z" }, "2026-11-24T09:30:00Z"],
    ["completed", { completed_at: 1795512600000 }, "2026-11-24T09:30:00Z"],
    ["completed", { completed_at: null }, "2026-11-24T08:59:00Z"],
  ])("%s with %j occurred at %s", (action, more, time) => {
    expect(job(action, more)).toMatchObject({ occurredAt: Date.parse(time), timeSource: "feed" });
  });

  it("has no runner before one took it, nor when skipped", () => {
    const nulls = {
      runner_id: null,
      runner_name: null,
      runner_group_id: null,
      runner_group_name: null,
    };
    const skipped = { runner_id: 0, runner_name: "", conclusion: "skipped" };
    for (const more of [nulls, skipped]) {
      const event = job("queued", more);
      expect(event.join).not.toHaveProperty("runnerName");
      expect(event.fields).not.toHaveProperty(["cicd.worker.name"]);
      expect(event.fields).not.toHaveProperty(["cicd.worker.id"]);
    }
  });

  it.each([
    ["group GitHub Actions", { runner_group_name: "GitHub Actions" }, true],
    ["a hosted runner's name", { runner_name: "GitHub Actions 12", runner_group_name: null }, true],
    ["label self-hosted", { labels: ["Self-Hosted", "linux"] }, false],
    ["neither", {}, undefined],
  ])("is hosted or not by %s", (_name, more, hosted) => {
    expect(job("in_progress", more).fields["pipewarden.runner.hosted"]).toBe(hosted);
  });

  it.each([
    ["success", "success"],
    ["failure", "failure"],
    ["startup_failure", "failure"],
    ["timed_out", "timeout"],
    ["cancelled", "cancellation"],
    ["skipped", "skip"],
    ["neutral", "skip"],
    ["stale", "skip"],
    ["action_required", undefined],
  ])("conclusion %s is result %s", (conclusion, result) => {
    const event = job("completed", { conclusion });
    expect(event.fields["event.outcome"]).toBe(conclusion);
    expect(event.fields["cicd.pipeline.task.run.result"]).toBe(result);
  });

  it("names the environment of its deployment", () => {
    const event = hook("workflow_job", { ...workflowJob, deployment: { environment: "prod" } });
    expect(event.fields["pipewarden.run.environment"]).toBe("prod");
  });

  it("reads old payloads without workflow name and branch", () => {
    const event = job("queued", { workflow_name: undefined, head_branch: undefined });
    expect(event.fields).not.toHaveProperty(["cicd.pipeline.name"]);
    expect(event.fields["cicd.pipeline.run.id"]).toBe("21987654321");
  });

  it("counts the steps it does not keep", () => {
    const steps = Array.from({ length: 205 }, (_, number) => ({ name: `s${number}`, number }));
    const { fields } = job("completed", { steps });
    expect(fields["pipewarden.run.step_names"]).toHaveLength(200);
    expect(fields["pipewarden.run.steps_dropped"]).toBe(5);
  });
});

describe("workflow_run", () => {
  const run = (action: string, more: Record<string, unknown> = {}): Event =>
    hook("workflow_run", {
      ...workflowRun,
      action,
      workflow_run: { ...workflowRun.workflow_run, ...more },
    });

  it("has the run, who started it and from where", () => {
    const event = run("completed");
    expect(event.fields).toMatchObject({
      "event.outcome": "timed_out",
      "cicd.pipeline.name": "nightly",
      "cicd.pipeline.run.id": "21987654321",
      "cicd.pipeline.result": "timeout",
      "pipewarden.run.trigger": "pull_request_target",
      "pipewarden.run.fork": true,
      "pipewarden.run.head_repository": "stranger/parcel",
      "pipewarden.run.workflow_path": ".github/workflows/nightly.yml",
      "pipewarden.run.actor": "stranger",
      "pipewarden.run.triggering_actor": "mara",
      "pipewarden.run.number": 88,
      "pipewarden.run.referenced_workflows": ["acme/shared/.github/workflows/build.yml@v1"],
    });
    expect(event.fields).not.toHaveProperty(["vcs.change.id"]);
    expect(event.join).toEqual({ repository: "acme/parcel", runId: "21987654321", runAttempt: 1 });
  });

  it.each([
    ["another repository", { id: 990099 }, true],
    ["its own", { id: 770011 }, false],
    ["a fork deleted since", null, true],
    ["not said", undefined, undefined],
  ])("with a head of %s", (_name, head_repository, fork) => {
    expect(run("requested", { head_repository }).fields["pipewarden.run.fork"]).toBe(fork);
  });

  it.each([
    ["requested", "2026-11-24T08:00:05Z"],
    ["in_progress", "2026-11-24T08:10:00Z"],
    ["completed", "2026-11-24T08:10:00Z"],
  ])("%s occurred at %s", (action, time) => {
    expect(run(action).occurredAt).toBe(Date.parse(time));
  });

  it("names its pull request", () => {
    expect(run("completed", { pull_requests: [{ number: 12 }] }).fields["vcs.change.id"]).toBe(
      "12",
    );
  });
});

describe("push", () => {
  it("has its paths once each, and the time of the repository, not of the commit", () => {
    const event = hook("push", push);
    expect(event.occurredAt).toBe(1795510798000);
    expect(event.fields).toMatchObject({
      "event.action": "push",
      "vcs.ref.head.name": "main",
      "vcs.ref.head.type": "branch",
      "vcs.ref.head.revision": "2".repeat(40),
      "pipewarden.push.ref": "refs/heads/main",
      "pipewarden.push.before": "1".repeat(40),
      "pipewarden.push.after": "2".repeat(40),
      "pipewarden.push.forced": true,
      "pipewarden.push.created": false,
      "pipewarden.push.deleted": false,
      "pipewarden.push.added": ["a.ts", "b.ts"],
      "pipewarden.push.modified": [".github/workflows/nightly.yml"],
      "pipewarden.push.removed": ["c.ts"],
      "pipewarden.push.commits": 2,
      "pipewarden.push.authors": ["m@acme.example"],
      "pipewarden.push.message": "Fix",
      "pipewarden.push.committer": "mara",
      "pipewarden.push.truncated": false,
    });
  });

  it("has no revision when a tag is deleted", () => {
    const { fields } = hook("push", {
      ...push,
      ref: "refs/tags/v1",
      after: "0".repeat(40),
      deleted: true,
      commits: [],
      head_commit: null,
    });
    expect(fields).not.toHaveProperty(["vcs.ref.head.revision"]);
    expect(fields).toMatchObject({
      "vcs.ref.head.name": "v1",
      "vcs.ref.head.type": "tag",
      "pipewarden.push.deleted": true,
    });
  });

  it("says when paths are missing", () => {
    const paths = (count: number): string[] => Array.from({ length: count }, (_, n) => `f${n}`);
    const withPaths = (count: number): Event =>
      hook("push", { ...push, commits: [{ added: paths(count), modified: [], removed: [] }] });
    expect(withPaths(300).fields["pipewarden.push.truncated"]).toBe(false);
    const cut = withPaths(301).fields;
    expect(cut["pipewarden.push.added"]).toHaveLength(300);
    expect(cut["pipewarden.push.truncated"]).toBe(true);
  });
});

describe("other events", () => {
  it.each([
    [
      "pull_request",
      {
        action: "opened",
        pull_request: {
          number: 7,
          title: "x",
          state: "open",
          updated_at: "2026-11-24T08:00:00Z",
          user: { login: "stranger" },
          author_association: "FIRST_TIME_CONTRIBUTOR",
          head: { ref: "p", sha: "s", repo: { id: 1, full_name: "stranger/parcel" } },
          base: { ref: "main", repo: { id: 770011 } },
        },
      },
      {
        "vcs.change.id": "7",
        "pipewarden.pull_request.fork": true,
        "pipewarden.pull_request.author": "stranger",
        "vcs.ref.base.name": "main",
      },
      "2026-11-24T08:00:00Z",
    ],
    [
      "pull_request",
      {
        action: "closed",
        pull_request: { number: 7, closed_at: "2026-11-24T08:30:00Z", head: { repo: null } },
      },
      { "pipewarden.pull_request.fork": true },
      "2026-11-24T08:30:00Z",
    ],
    [
      "issue_comment",
      {
        action: "created",
        issue: { number: 7, pull_request: {} },
        comment: {
          body: "/deploy",
          user: { login: "stranger" },
          author_association: "NONE",
          created_at: "2026-11-24T08:00:00Z",
        },
      },
      {
        "vcs.change.id": "7",
        "pipewarden.comment.body": "/deploy",
        "pipewarden.comment.author_association": "NONE",
      },
      "2026-11-24T08:00:00Z",
    ],
    [
      "deployment_status",
      {
        action: "created",
        deployment_status: {
          state: "failure",
          updated_at: "2026-11-24T08:00:00Z",
          created_at: "2026-11-24T07:00:00Z",
        },
        deployment: { id: 3, sha: "s", ref: "main", environment: "prod", task: "deploy" },
        workflow_run: { id: 21987654321, run_attempt: 1 },
      },
      {
        "event.outcome": "failure",
        "pipewarden.run.environment": "prod",
        "pipewarden.deployment.state": "failure",
        "cicd.pipeline.run.id": "21987654321",
      },
      "2026-11-24T07:00:00Z",
    ],
    [
      "member",
      {
        action: "edited",
        member: { login: "kim", id: 5 },
        changes: { permission: { from: "read", to: "admin" } },
      },
      {
        "user.target.name": "kim",
        "pipewarden.member.role": "admin",
        "pipewarden.webhook.changes": ["permission"],
      },
      undefined,
    ],
    [
      "organization",
      {
        action: "member_added",
        membership: { role: "admin", user: { login: "kim" } },
        organization: { login: "acme" },
      },
      { "user.target.name": "kim", "pipewarden.member.role": "admin" },
      undefined,
    ],
    [
      "repository",
      {
        action: "publicized",
        repository: {
          ...repository,
          private: false,
          visibility: "public",
          updated_at: "2026-11-24T08:00:00Z",
        },
      },
      {
        "event.action": "repository.publicized",
        "pipewarden.repository.private": false,
        "pipewarden.repository.visibility": "public",
      },
      "2026-11-24T08:00:00Z",
    ],
    [
      "deploy_key",
      {
        action: "created",
        key: { id: 8, title: "k", read_only: false, created_at: "2026-11-24T08:00:00Z" },
      },
      { "pipewarden.deploy_key.read_only": false, "pipewarden.deploy_key.title": "k" },
      "2026-11-24T08:00:00Z",
    ],
    [
      "branch_protection_rule",
      {
        action: "edited",
        rule: {
          name: "main",
          admin_enforced: false,
          updated_at: "2026-11-24T08:00:00Z",
          authorized_actor_names: ["a"],
        },
        changes: { admin_enforced: { from: true } },
      },
      {
        "pipewarden.branch_protection.name": "main",
        "pipewarden.branch_protection.admin_enforced": false,
        "pipewarden.webhook.changed.admin_enforced.from": true,
      },
      "2026-11-24T08:00:00Z",
    ],
    [
      "branch_protection_rule",
      { action: "deleted", rule: { name: "main", updated_at: "2020-01-01T00:00:00Z" } },
      { "pipewarden.branch_protection.name": "main" },
      undefined,
    ],
    [
      "secret_scanning_alert",
      {
        action: "created",
        alert: {
          number: 2,
          secret_type: "npm_token",
          created_at: "2026-11-24T08:00:00Z",
          push_protection_bypassed: true,
        },
      },
      {
        "pipewarden.secret_scanning_alert.secret_type": "npm_token",
        "pipewarden.secret_scanning_alert.push_protection_bypassed": true,
      },
      "2026-11-24T08:00:00Z",
    ],
    [
      "code_scanning_alert",
      {
        action: "created",
        ref: "refs/heads/f",
        commit_oid: "s",
        alert: {
          number: 4,
          state: "open",
          rule: { id: "js/xss", severity: "error" },
          tool: { name: "CodeQL" },
          created_at: "2026-11-24T08:00:00Z",
        },
      },
      {
        "rule.name": "js/xss",
        "log.level": "error",
        "vcs.ref.head.name": "f",
        "pipewarden.code_scanning_alert.tool": "CodeQL",
      },
      "2026-11-24T08:00:00Z",
    ],
    [
      "dependabot_alert",
      {
        action: "fixed",
        alert: {
          number: 5,
          fixed_at: "2026-11-24T08:00:00Z",
          dependency: {
            package: { name: "left", ecosystem: "npm" },
            manifest_path: "package-lock.json",
          },
          security_advisory: { ghsa_id: "GHSA-x", cve_id: null },
          security_vulnerability: {
            severity: "high",
            first_patched_version: { identifier: "2.0.0" },
          },
        },
      },
      {
        "vulnerability.id": "GHSA-x",
        "vulnerability.severity": "high",
        "package.name": "left",
        "package.fixed_version": "2.0.0",
        "file.path": "package-lock.json",
      },
      "2026-11-24T08:00:00Z",
    ],
    [
      "package",
      {
        action: "published",
        package: {
          id: 6,
          name: "parcel",
          package_type: "CONTAINER",
          package_version: {
            version: "sha256:55",
            created_at: "2026-11-24T08:00:00Z",
            container_metadata: { tag: { name: "1.4" } },
          },
        },
      },
      {
        "package.name": "parcel",
        "package.type": "container",
        "artifact.hash": ["sha256:55"],
        "pipewarden.package.tag": "1.4",
      },
      "2026-11-24T08:00:00Z",
    ],
    [
      "release",
      {
        action: "published",
        release: {
          tag_name: "v1",
          created_at: "2019-01-01T00:00:00Z",
          published_at: "2026-11-24T08:00:00Z",
          assets: [{ name: "a.tgz", digest: "sha256:66" }],
        },
      },
      {
        "pipewarden.release.tag": "v1",
        "pipewarden.release.assets": ["a.tgz"],
        "artifact.hash": ["sha256:66"],
      },
      "2026-11-24T08:00:00Z",
    ],
    [
      "create",
      { ref: "v1", ref_type: "tag", master_branch: "main" },
      { "vcs.ref.head.name": "v1", "vcs.ref.head.type": "tag" },
      "2026-11-24T08:59:58Z",
    ],
    [
      "delete",
      { ref: "v1", ref_type: "tag" },
      { "event.action": "delete" },
      "2026-11-24T08:59:58Z",
    ],
    [
      "workflow_dispatch",
      { inputs: { target: "prod" }, ref: "refs/heads/main", workflow: ".github/workflows/x.yml" },
      {
        "pipewarden.webhook.inputs.target": "prod",
        "pipewarden.run.workflow_path": ".github/workflows/x.yml",
      },
      undefined,
    ],
    [
      "check_run",
      {
        action: "completed",
        check_run: {
          id: 60123456789,
          name: "build",
          conclusion: "failure",
          completed_at: "2026-11-24T08:00:00Z",
          app: { slug: "github-actions" },
          details_url:
            "https://github.example/acme/parcel/actions/runs/21987654321/job/60123456789",
        },
      },
      { "event.outcome": "failure", "cicd.pipeline.task.run.id": "60123456789" },
      "2026-11-24T08:00:00Z",
    ],
  ])("%s", (name, payload, fields, time) => {
    const whole = { repository, sender, ...payload };
    const event = hook(name, whole);
    expect(event.fields).toMatchObject(fields);
    expect(event.occurredAt).toBe(time === undefined ? receivedAt : Date.parse(time));
    expect(event.timeSource).toBe(time === undefined ? "receipt" : "feed");
    // A file has lost the header: the keys must tell the same.
    expect(eventNameOf(whole)).toBe(name);
  });

  it("joins a check run of Actions to its job, of others to nothing", () => {
    const check = (slug: string): Event =>
      hook("check_run", {
        action: "created",
        check_run: {
          id: 9,
          app: { slug },
          details_url: "https://github.example/a/b/actions/runs/77/job/9",
        },
        repository,
        sender,
      });
    expect(check("github-actions").join).toMatchObject({ jobId: "9", runId: "77" });
    expect(check("lint").join).not.toHaveProperty("jobId");
  });
});

describe("names told from keys", () => {
  it.each([
    [{ zen: "z", hook_id: 1, hook: {} }, "ping"],
    [{ ...workflowJob, deployment: {} }, "workflow_job"],
    [workflowRun, "workflow_run"],
    [push, "push"],
    [{ action: "created", deployment: {}, workflow_run: null, repository, sender }, "deployment"],
    [{ action: "deleted", installation: { permissions: {} }, sender }, "installation"],
    [
      { action: "added", repositories_added: [], installation: {}, sender },
      "installation_repositories",
    ],
    [{ forkee: {}, repository, sender }, "fork"],
    [{ repository, sender }, "public"],
    [{ action: "x.y", actor: "a", org: "b" }, undefined],
    [{ action: "push" }, undefined],
    [[], undefined],
    ["text", undefined],
    [{ __proto__: null, constructor: {} }, undefined],
  ])("%#", (payload, name) => {
    expect(eventNameOf(payload)).toBe(name);
  });
});
