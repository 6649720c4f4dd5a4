/**
 * @module Webhook bodies, audit entries and runtime events for the tests of the build join, as
 * GitHub shapes them.
 */

import type { EpochMs } from "../../src/clock.ts";
import type { Event, Feed, Fields, JoinKeys } from "../../src/event/event.ts";

/** 2026-03-02T10:00:00Z plus seconds. */
export const start: EpochMs = Date.parse("2026-03-02T10:00:00Z");
export const at = (seconds: number): EpochMs => start + seconds * 1_000;
export const iso = (seconds: number): string =>
  new Date(at(seconds)).toISOString().replace(".000Z", "Z");

interface EventParts {
  readonly id: string;
  readonly feed: Feed;
  readonly seconds: number;
  readonly fields?: Fields;
  readonly join?: JoinKeys;
  readonly raw?: string;
}

export function event(parts: EventParts): Event {
  const occurredAt = at(parts.seconds);
  return {
    id: parts.id,
    feed: parts.feed,
    logsource: {},
    occurredAt,
    receivedAt: occurredAt,
    timeSource: "feed",
    fields: parts.fields ?? {},
    join: parts.join ?? {},
    raw: parts.raw ?? "{}",
  };
}

export function falco(seconds: number, join: JoinKeys, id = `falco:${seconds}`): Event {
  return event({ id, feed: "falco", seconds, join });
}

export function egress(seconds: number, join: JoinKeys, id = `egress:${seconds}`): Event {
  return event({ id, feed: "egress", seconds, join });
}

export interface JobBody {
  readonly action?: string;
  readonly repository?: string;
  readonly runId?: number | string;
  readonly attempt?: number;
  readonly id?: number | string;
  readonly name?: string;
  readonly runner?: string | null;
  readonly runnerId?: number | null;
  readonly labels?: readonly string[];
  readonly group?: string | null;
  readonly from?: number | null;
  readonly to?: number | null;
  readonly conclusion?: string | null;
  readonly steps?: readonly unknown[];
  readonly seconds?: number;
  readonly more?: Readonly<Record<string, unknown>>;
}

function repositoryBody(name: string): Record<string, unknown> {
  return {
    id: name === "globex/app" ? 900 : 100,
    full_name: name,
    html_url: `https://git.example/${name}`,
  };
}

/** Numbers given as text are written as bare JSON integers, to pass 2^53. */
function withExactIds(body: unknown): string {
  return JSON.stringify(body).replace(/"#int:(\d+)"/g, "$1");
}

function bare(id: number | string): number | string {
  return typeof id === "string" ? `#int:${id}` : id;
}

export function jobEvent(body: JobBody = {}): Event {
  const action = body.action ?? "in_progress";
  const repository = body.repository ?? "acme/app";
  const seconds = body.seconds ?? (action === "completed" ? (body.to ?? 60) : (body.from ?? 0));
  const payload = {
    action,
    workflow_job: {
      id: bare(body.id ?? 5001),
      run_id: bare(body.runId ?? 77),
      run_attempt: body.attempt ?? 1,
      workflow_name: "CI",
      head_branch: "main",
      head_sha: "a".repeat(40),
      name: body.name ?? "build",
      status: action,
      conclusion: action === "completed" ? (body.conclusion ?? "success") : null,
      created_at: iso(-5),
      started_at: body.from === null ? null : iso(body.from ?? 0),
      completed_at: action === "completed" ? iso(body.to ?? 60) : null,
      labels: body.labels ?? ["self-hosted", "linux"],
      runner_id: body.runnerId === undefined ? 31 : body.runnerId,
      runner_name: body.runner === undefined ? "arc-x7-runner-abcde" : body.runner,
      runner_group_id: 1,
      runner_group_name: body.group === undefined ? "Default" : body.group,
      steps: body.steps ?? [],
      ...body.more,
    },
    repository: repositoryBody(repository),
    sender: { login: "ann" },
  };
  return event({
    id: `github-webhook:job-${body.id ?? 5001}-${action}-${seconds}`,
    feed: "github-webhook",
    seconds: seconds ?? 0,
    fields: { "event.action": `workflow_job.${action}` },
    join: { repository, runId: String(body.runId ?? 77), jobId: String(body.id ?? 5001) },
    raw: withExactIds(payload),
  });
}

export interface RunBody {
  readonly action?: string;
  readonly repository?: string;
  readonly runId?: number | string;
  readonly attempt?: number;
  readonly trigger?: string;
  readonly headRepository?: { readonly id: number; readonly full_name: string } | null;
  readonly sha?: string;
  readonly ref?: string;
  readonly conclusion?: string | null;
  readonly pulls?: readonly unknown[];
  readonly seconds?: number;
  readonly from?: number;
}

export function runEvent(body: RunBody = {}): Event {
  const action = body.action ?? "requested";
  const repository = body.repository ?? "acme/app";
  const seconds = body.seconds ?? (action === "completed" ? 70 : -8);
  const payload = {
    action,
    workflow: { name: "CI", path: ".github/workflows/ci.yml" },
    workflow_run: {
      id: bare(body.runId ?? 77),
      name: "CI",
      path: ".github/workflows/ci.yml",
      run_number: 12,
      run_attempt: body.attempt ?? 1,
      event: body.trigger ?? "push",
      status: action,
      conclusion: body.conclusion ?? (action === "completed" ? "success" : null),
      head_branch: body.ref ?? "main",
      head_sha: body.sha ?? "a".repeat(40),
      head_repository:
        body.headRepository === undefined
          ? { id: 100, full_name: repository }
          : body.headRepository,
      actor: { login: "ann" },
      triggering_actor: { login: "bea" },
      pull_requests: body.pulls ?? [],
      run_started_at: iso(body.from ?? -8),
      updated_at: iso(seconds),
    },
    repository: repositoryBody(repository),
    sender: { login: "ann" },
  };
  return event({
    id: `github-webhook:run-${body.runId ?? 77}-${action}-${seconds}`,
    feed: "github-webhook",
    seconds,
    fields: { "event.action": `workflow_run.${action}` },
    join: { repository, runId: String(body.runId ?? 77) },
    raw: withExactIds(payload),
  });
}

export const fork = { id: 555, full_name: "mallory/app" };

/** A pull request of a fork, unless `parts` says otherwise. */
export function pullEvent(
  number: number,
  sha: string,
  parts: { readonly seconds?: number; readonly from?: typeof fork } = {},
): Event {
  const { seconds = -20, from = fork } = parts;
  const payload = {
    action: "synchronize",
    number,
    pull_request: {
      number,
      head: { sha, ref: "patch-1", repo: from },
      base: { sha: "b".repeat(40), ref: "main", repo: { id: 100, full_name: "acme/app" } },
    },
    repository: repositoryBody("acme/app"),
    sender: { login: "mallory" },
  };
  return event({
    id: `github-webhook:pull-${number}-${seconds}`,
    feed: "github-webhook",
    seconds,
    fields: { "event.action": "pull_request.synchronize" },
    join: { repository: "acme/app" },
    raw: JSON.stringify(payload),
  });
}

export interface PreparedBody {
  readonly runId?: number;
  readonly job?: string;
  readonly runner?: string;
  readonly secrets?: readonly string[];
  readonly seconds?: number;
  readonly environment?: string;
}

export function preparedEvent(body: PreparedBody = {}): Event {
  const seconds = body.seconds ?? -1;
  const payload = {
    "@timestamp": at(seconds),
    _document_id: "AAAAAAAAAAAAAAAAAAAAAA",
    action: "workflows.prepared_workflow_job",
    actor: "",
    org: "acme",
    repo: "acme/app",
    workflow_run_id: body.runId ?? 77,
    job_name: body.job ?? "build",
    secrets_passed: body.secrets ?? ["DEPLOY_KEY", "REGISTRY_PAT"],
    environment_name: body.environment ?? "",
    is_hosted_runner: false,
    runner_name: body.runner ?? "arc-x7-runner-abcde",
    runner_id: 31,
    runner_labels: ["self-hosted", "linux"],
  };
  return event({
    id: `github-audit:prepared-${seconds}`,
    feed: "github-audit",
    seconds,
    fields: { "event.action": payload.action },
    join: { repository: "acme/app", runId: String(body.runId ?? 77) },
    raw: JSON.stringify(payload),
  });
}

export function auditRunEvent(action: "created" | "completed", seconds: number): Event {
  const payload = {
    "@timestamp": at(seconds),
    action: `workflows.${action}_workflow_run`,
    actor: "ann",
    org: ["acme"],
    repo: "acme/app",
    event: "push",
    name: "CI",
    workflow_run_id: "77",
    head_branch: "main",
    head_sha: "a".repeat(40),
    started_at: "2026-03-02T09:59:52.000Z",
    ...(action === "completed"
      ? {
          completed_at: "2026-03-02T10:01:10.000Z",
          conclusion: "success",
          run_number: 12,
          run_attempt: 1,
        }
      : {}),
  };
  return event({
    id: `github-audit:${action}`,
    feed: "github-audit",
    seconds,
    fields: { "event.action": payload.action },
    join: { repository: "acme/app", runId: "77" },
    raw: JSON.stringify(payload),
  });
}
