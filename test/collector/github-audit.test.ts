/** @module Entries of the GitHub audit log in every wrapping they come in. */

import { describe, expect, it } from "vitest";
import { githubAuditCollector } from "../../src/collector/github-audit.ts";
import type { Event } from "../../src/event/event.ts";
import { codes, one, read, receivedAt } from "./deliver.ts";
import { preparedJob } from "./samples.ts";

const entry = (more: Record<string, unknown> = {}): Event =>
  one(githubAuditCollector, { ...preparedJob, ...more });

describe("prepared_workflow_job", () => {
  const event = entry();

  it("has its id, time, logsource and join keys", () => {
    expect(event.id).toBe("github-audit:Qk3XoecTsz6kAS-87bAEzQ");
    expect(event.occurredAt).toBe(1795510745102);
    expect(event.logsource).toEqual({ product: "github", service: "audit" });
    expect(event.join).toEqual({
      repository: "acme/parcel",
      runId: "21987654321",
      runnerName: "linux-x64-runner-8fk2p",
    });
  });

  it("has the secrets, the runner and the run", () => {
    expect(event.fields).toMatchObject({
      "event.action": "workflows.prepared_workflow_job",
      "user.id": "9042",
      "source.ip": "198.51.100.7",
      "organization.name": "acme",
      "vcs.repository.name": "acme/parcel",
      "vcs.owner.name": "acme",
      "cicd.pipeline.run.id": "21987654321",
      "cicd.pipeline.task.name": "build (linux)",
      "cicd.worker.name": "linux-x64-runner-8fk2p",
      "cicd.worker.id": "311",
      "pipewarden.run.secrets_passed": ["NPM_TOKEN", "DEPLOY_KEY"],
      "pipewarden.run.environment": "production",
      "pipewarden.run.workflow_path": ".github/workflows/nightly.yml",
      "pipewarden.runner.hosted": false,
      "pipewarden.runner.labels": ["linux-x64"],
      "pipewarden.runner.group": "arc",
      "pipewarden.audit.secrets_passed": ["NPM_TOKEN", "DEPLOY_KEY"],
      "pipewarden.audit.business": "acme-inc",
    });
  });

  it("takes blank text and user 0 for nobody", () => {
    for (const name of ["user.name", "user.target.name", "user.target.id"]) {
      expect(event.fields).not.toHaveProperty([name]);
    }
    expect(event.fields["pipewarden.audit.user_id"]).toBe(0);
  });

  it.each([
    ["none", [], []],
    ["objects", [{ name: "A" }, { other: 1 }], ["A"]],
    ["null", null, undefined],
    ["absent", undefined, undefined],
  ])("with secrets %s", (_name, secrets_passed, expected) => {
    expect(entry({ secrets_passed }).fields["pipewarden.run.secrets_passed"]).toEqual(expected);
  });

  it("names a workflow path only where it is the repository's own and told", () => {
    const path = (more: Record<string, unknown>): unknown =>
      entry(more).fields["pipewarden.run.workflow_path"];
    const reusable = "acme/shared/.github/workflows/build.yml@v1";
    const own = "acme/parcel/.github/workflows/top.yml@refs/heads/main";
    expect(path({ job_workflow_ref: reusable })).toBeUndefined();
    expect(path({ job_workflow_ref: reusable, calling_workflow_refs: [own] })).toBe(
      ".github/workflows/top.yml",
    );
    expect(path({ calling_workflow_refs: [own, reusable] })).toBeUndefined();
  });
});

describe("wrappings", () => {
  const { _document_id: _id, ...bare } = preparedJob;
  const text = JSON.stringify(bare);
  const wrapped = JSON.stringify({ event: bare, time: "1795510745.102", host: "github" });

  it.each([
    ["lines", `${text}\n${text}\n`, 2],
    ["a page", `[${text},\n${text}]`, 2],
    ["envelopes one after another", wrapped + wrapped, 2],
    ["envelopes on lines", `${wrapped}\n${wrapped}`, 2],
    ["an envelope around text", JSON.stringify({ event: text, time: 1 }), 1],
    ["an entry alone", text, 1],
  ])("reads %s as the same event", (_name, body, count) => {
    const { events } = read(githubAuditCollector, body);
    expect(events).toHaveLength(count);
    expect(new Set(events.map(({ id }) => id))).toEqual(
      new Set([one(githubAuditCollector, text).id]),
    );
  });

  it("takes the envelope's time when the entry has none", () => {
    const event = one(githubAuditCollector, {
      event: { action: "git.clone", repository: "acme/parcel", transport_protocol: 1 },
      time: "1795510745.102",
    });
    expect(event.occurredAt).toBe(1795510745102);
    expect(event.join).toEqual({ repository: "acme/parcel" });
  });

  it("does not take the trigger of a run for an envelope", () => {
    const event = entry({ action: "workflows.created_workflow_run", event: "schedule" });
    expect(event.fields).toMatchObject({
      "event.action": "workflows.created_workflow_run",
      "pipewarden.run.trigger": "schedule",
    });
  });

  it("is one id with and without padding, and whatever the order of keys", () => {
    expect(entry({ _document_id: "Qk3XoecTsz6kAS-87bAEzQ==" }).id).toBe(entry().id);
    const backwards = Object.fromEntries(Object.entries(bare).reverse());
    expect(one(githubAuditCollector, backwards).id).toBe(one(githubAuditCollector, bare).id);
    expect(one(githubAuditCollector, { ...bare, repo: "acme/x" }).id).not.toBe(
      one(githubAuditCollector, bare).id,
    );
  });

  it("reads old exports with extras under data", () => {
    const event = one(githubAuditCollector, {
      action: "repo.create",
      actor: "mara",
      created_at: 1795510745102,
      data: { repo: "acme/parcel", visibility: "public", actor: "other" },
    });
    expect(event.fields).toMatchObject({
      "vcs.repository.name": "acme/parcel",
      "user.name": "mara",
      "pipewarden.audit.visibility": "public",
    });
  });

  it("reads keys and times that a SIEM renamed", () => {
    const event = one(githubAuditCollector, {
      action: "secret_scanning.disable",
      actor: "mara",
      at_sign_timestamp: "2026-11-23 18:58:27.638",
      org: "acme",
      user_id: "12",
    });
    expect(event.occurredAt).toBe(Date.parse("2026-11-23T18:58:27.638Z"));
    expect(event.fields["user.target.id"]).toBe("12");
  });
});

describe("fields", () => {
  it("takes the first of lists, and keeps them all", () => {
    const event = entry({
      org: ["acme", "beta"],
      org_id: [4411, 4412],
      repo: ["acme/parcel", "acme/x"],
    });
    expect(event.fields).toMatchObject({
      "organization.name": "acme",
      "organization.id": "4411",
      "vcs.repository.name": "acme/parcel",
      "pipewarden.audit.org": ["acme", "beta"],
      "pipewarden.audit.org_id": [4411, 4412],
    });
  });

  it("completes a repository's name with its owner", () => {
    expect(entry({ repo: "parcel" }).join.repository).toBe("acme/parcel");
    expect(entry({ repo: "parcel", org: undefined }).join).not.toHaveProperty("repository");
  });

  it("flattens what is nested, and keeps every key", () => {
    const event = entry({
      actor_location: { country_code: "NL" },
      config: { url: "https://hook.example", nested: { a: null } },
      reasons: [{ code: "a", message: "m" }, { code: "b" }],
      events: ["push", { name: "x" }],
      brand_new: true,
      empty: [],
    });
    expect(event.fields).toMatchObject({
      "pipewarden.audit.actor_location.country_code": "NL",
      "pipewarden.audit.config.url": "https://hook.example",
      "pipewarden.audit.config.nested.a": null,
      "pipewarden.audit.reasons.code": ["a", "b"],
      "pipewarden.audit.reasons.message": ["m"],
      "pipewarden.audit.events": ["push"],
      "pipewarden.audit.events.name": ["x"],
      "pipewarden.audit.brand_new": true,
      "pipewarden.audit.empty": [],
    });
  });

  it("reads requests of the interface", () => {
    const event = one(githubAuditCollector, {
      "@timestamp": 1795510745102,
      action: "api.request",
      actor: "mara",
      request_method: "GET",
      route: "/repos/{owner}/{repo}",
      status_code: 403,
      user_agent: "curl/8",
    });
    expect(event.fields).toMatchObject({
      "http.request.method": "GET",
      "http.response.status_code": 403,
      "event.outcome": "failure",
      "user_agent.original": "curl/8",
      "pipewarden.audit.route": "/repos/{owner}/{repo}",
    });
    expect(event.fields).not.toHaveProperty(["cicd.pipeline.name"]);
  });

  it("maps a completed run", () => {
    const event = entry({
      action: "workflows.completed_workflow_run",
      conclusion: "failure",
      name: "nightly",
      run_attempt: 3,
      head_branch: "main",
      head_sha: "s",
      pull_request_url: "https://github.example/acme/parcel/pull/12",
    });
    expect(event.join.runAttempt).toBe(3);
    expect(event.fields).toMatchObject({
      "event.outcome": "failure",
      "cicd.pipeline.result": "failure",
      "cicd.pipeline.name": "nightly",
      "pipewarden.run.attempt": 3,
      "vcs.change.id": "12",
    });
  });

  it("bounds the fields of one entry and says how many it dropped", () => {
    const keys = Object.fromEntries(Array.from({ length: 3_000 }, (_, n) => [`k${n}`, n]));
    const { fields } = one(githubAuditCollector, { ...keys, action: "a.b", actor: "mara" });
    expect(fields["pipewarden.ingest.dropped_fields"]).toBeGreaterThan(1_000);
    expect(Object.keys(fields).length).toBeLessThan(2_020);
    // Our own names come in whatever the padding.
    expect(fields).toMatchObject({ "event.action": "a.b", "user.name": "mara" });
  });
});

describe("what is not an entry", () => {
  it.each([
    ["no action", { actor: "mara" }, "field-missing"],
    ["an action that is no text", { action: {} }, "field-missing"],
    ["a number in a list", [1], "shape-unexpected"],
    ["text", "hello", "json-invalid"],
  ])("%s is rejected", (_name, body, code) => {
    expect(codes(read(githubAuditCollector, body))).toEqual([code]);
  });

  it("an entry without any time takes receipt", () => {
    expect(one(githubAuditCollector, { action: "git.fetch" })).toMatchObject({
      occurredAt: receivedAt,
      timeSource: "receipt",
    });
  });
});
