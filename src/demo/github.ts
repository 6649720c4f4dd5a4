/** @module What GitHub sends: webhooks and the audit stream, in the shapes of its documentation. */

import { createHash } from "node:crypto";
import type { EpochMs } from "../clock.ts";
import { type DemoJob, idOf, type Post, shaOf } from "./feeds.ts";

const iso = (at: EpochMs): string => `${new Date(at).toISOString().slice(0, 19)}Z`;

function repositoryOf(fullName: string): object {
  const [owner = "", name = ""] = fullName.split("/");
  return {
    id: idOf(fullName),
    name,
    full_name: fullName,
    private: owner === "acme",
    owner: { login: owner, id: idOf(owner) },
    default_branch: "main",
  };
}

function webhook(event: string, at: EpochMs, payload: Record<string, unknown>): Post {
  const body = JSON.stringify(payload);
  const guid = createHash("sha256").update(`${event}${at}${body}`).digest("hex").slice(0, 32);
  return {
    at,
    door: "/v1/github/webhook",
    headers: {
      "content-type": "application/json",
      "x-github-event": event,
      "x-github-delivery": guid.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5"),
    },
    body,
    records: 1,
  };
}

function envelope(job: DemoJob, action: string): Record<string, unknown> {
  return {
    action,
    repository: repositoryOf(job.repository),
    organization: { login: "acme", id: idOf("acme") },
    sender: { login: job.actor, id: idOf(job.actor), type: "User" },
  };
}

export function workflowRun(job: DemoJob, action: "requested" | "completed"): Post {
  const completed = action === "completed";
  const at = completed ? (job.completedAt ?? job.startedAt) + 2_000 : job.startedAt - 20_000;
  const head = job.headRepository ?? job.repository;
  return webhook("workflow_run", at, {
    ...envelope(job, action),
    workflow_run: {
      id: job.runId,
      name: job.workflow,
      path: job.workflowFile,
      run_number: job.runNumber,
      run_attempt: 1,
      event: job.trigger,
      status: completed ? "completed" : "queued",
      conclusion: completed ? "success" : null,
      head_branch: job.branch,
      head_sha: shaOf(`${head}${job.runId}`),
      head_repository: repositoryOf(head),
      repository: repositoryOf(job.repository),
      actor: { login: job.actor, id: idOf(job.actor) },
      triggering_actor: { login: job.actor, id: idOf(job.actor) },
      workflow_id: idOf(job.workflowFile + job.repository),
      pull_requests: [],
      referenced_workflows: [],
      run_started_at: iso(job.startedAt - 20_000),
      created_at: iso(job.startedAt - 20_000),
      updated_at: iso(at),
      html_url: `https://github.com/${job.repository}/actions/runs/${job.runId}`,
    },
  });
}

export function workflowJob(job: DemoJob, action: "queued" | "in_progress" | "completed"): Post {
  const at = {
    queued: job.startedAt - 15_000,
    in_progress: job.startedAt + 1_000,
    completed: (job.completedAt ?? job.startedAt) + 1_000,
  }[action];
  const queued = action === "queued";
  const completed = action === "completed";
  const jobId = idOf(`${job.repository}${job.runId}${job.job}`);
  return webhook("workflow_job", at, {
    ...envelope(job, action),
    workflow_job: {
      id: jobId,
      run_id: job.runId,
      run_attempt: 1,
      workflow_name: job.workflow,
      name: job.job,
      head_branch: job.branch,
      head_sha: shaOf(`${job.headRepository ?? job.repository}${job.runId}`),
      status: action,
      conclusion: completed ? "success" : null,
      labels: ["self-hosted", "linux", "x64"],
      runner_id: queued ? null : job.runner.id,
      runner_name: queued ? null : job.runner.name,
      runner_group_id: queued ? null : 2,
      runner_group_name: queued ? null : "build-machines",
      created_at: iso(job.startedAt - 15_000),
      started_at: iso(queued ? job.startedAt - 15_000 : job.startedAt),
      completed_at: completed ? iso(job.completedAt ?? job.startedAt) : null,
      steps: queued ? [] : steps(job, completed),
      run_url: `https://api.github.com/repos/${job.repository}/actions/runs/${job.runId}`,
      html_url: `https://github.com/${job.repository}/actions/runs/${job.runId}/job/${jobId}`,
    },
  });
}

/**
 * Steps share the job's time evenly. While a job runs GitHub tells only the one it was in when it
 * began.
 */
function steps(job: DemoJob, completed: boolean): object[] {
  const end = job.completedAt ?? job.startedAt + 16 * 60_000;
  const share = (end - job.startedAt) / job.steps.length;
  return (completed ? job.steps : job.steps.slice(0, 1)).map((name, index) => ({
    name,
    number: index + 1,
    status: completed ? "completed" : "in_progress",
    conclusion: completed ? "success" : null,
    started_at: iso(job.startedAt + index * share),
    completed_at: completed ? iso(job.startedAt + (index + 1) * share) : null,
  }));
}

export function pullRequest(job: DemoJob, number: number, action: string): Post {
  const head = job.headRepository ?? job.repository;
  const at = job.startedAt - 40_000;
  return webhook("pull_request", at, {
    ...envelope(job, action),
    number,
    pull_request: {
      id: idOf(`${job.repository}#${number}`),
      number,
      state: "open",
      title: "Fix a typo in the contributing notes",
      user: { login: job.actor, id: idOf(job.actor), type: "User" },
      author_association: "FIRST_TIME_CONTRIBUTOR",
      head: { ref: job.branch, sha: shaOf(`${head}${job.runId}`), repo: repositoryOf(head) },
      base: { ref: "main", sha: shaOf("base"), repo: repositoryOf(job.repository) },
      merged: false,
      created_at: iso(at),
      updated_at: iso(at),
      html_url: `https://github.com/${job.repository}/pull/${number}`,
    },
  });
}

export interface DemoPush {
  readonly repository: string;
  readonly at: EpochMs;
  readonly actor: string;
  readonly summary: string;
  readonly modified: readonly string[];
}

export function push({ repository, at, actor, summary, modified }: DemoPush): Post {
  const author = { name: actor, username: actor, email: `${actor}@acme.example` };
  const sha = shaOf(`${repository}${at}`);
  const commit = { id: sha, message: summary, timestamp: iso(at), author, committer: author };
  return webhook("push", at, {
    ref: "refs/heads/main",
    before: shaOf(`${repository}${at - 1}`),
    after: sha,
    created: false,
    deleted: false,
    forced: false,
    repository: repositoryOf(repository),
    organization: { login: "acme", id: idOf("acme") },
    sender: { login: actor, id: idOf(actor), type: "User" },
    pusher: { name: actor, email: author.email },
    head_commit: { ...commit, added: [], removed: [], modified },
    commits: [{ ...commit, added: [], removed: [], modified }],
  });
}

export function audit(at: EpochMs, entries: readonly Record<string, unknown>[]): Post {
  const lines = entries.map((entry, index) =>
    JSON.stringify({
      "@timestamp": at + index,
      _document_id: createHash("sha256")
        .update(`${at}${index}${JSON.stringify(entry)}`)
        .digest("base64url")
        .slice(0, 22),
      created_at: at + index,
      org: "acme",
      org_id: idOf("acme"),
      ...entry,
    }),
  );
  return {
    at,
    door: "/v1/github/audit",
    headers: { "content-type": "application/json" },
    body: lines.join("\n"),
    records: lines.length,
  };
}

export function preparedJob(job: DemoJob): Post {
  return audit(job.startedAt + 500, [
    {
      action: "workflows.prepared_workflow_job",
      actor: "",
      repo: job.repository,
      repo_id: idOf(job.repository),
      workflow_run_id: job.runId,
      job_name: job.job,
      job_workflow_ref: `${job.repository}/${job.workflowFile}@refs/heads/${job.branch}`,
      secrets_passed: job.secrets,
      is_hosted_runner: false,
      runner_id: job.runner.id,
      runner_name: job.runner.name,
      runner_group_id: 2,
      runner_group_name: "build-machines",
      runner_labels: ["self-hosted", "linux", "x64"],
    },
  ]);
}
