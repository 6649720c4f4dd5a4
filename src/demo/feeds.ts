/**
 * @module What the feeds send, written as they write it: Squid's JSON log, Falco's alerts, GitHub's webhooks and audit
 * stream, a registry's notifications. Shapes: each producer's documentation.
 */

import { createHash } from "node:crypto";
import type { EpochMs } from "../clock.ts";

/** One HTTP request of a feed, at its time. */
export interface Post {
  readonly at: EpochMs;
  readonly door: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  /** Records in the body. */
  readonly records: number;
}

/** A job that runs in the demo company, all of it known in advance. */
export interface DemoJob {
  readonly repository: string;
  readonly workflow: string;
  readonly workflowFile: string;
  readonly job: string;
  readonly runId: number;
  readonly runNumber: number;
  readonly trigger: string;
  readonly actor: string;
  readonly branch: string;
  readonly runner: DemoRunner;
  readonly startedAt: EpochMs;
  /** Absent: still running. */
  readonly completedAt?: EpochMs;
  readonly secrets: readonly string[];
  /** Set for code that comes from a fork. */
  readonly headRepository?: string;
  readonly steps: readonly string[];
}

export interface DemoRunner {
  readonly name: string;
  readonly id: number;
  readonly address: string;
}

/** A stable number for a name: ids that stay the same from run to run. */
export function idOf(name: string): number {
  return createHash("sha256").update(name).digest().readUIntBE(0, 5) % 9_000_000_000;
}

export function shaOf(name: string): string {
  return createHash("sha1").update(name).digest("hex");
}

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

/** Steps share the job's time evenly; of a running job the last one is still going. */
function steps(job: DemoJob, completed: boolean): object[] {
  const end = job.completedAt ?? job.startedAt + 20 * 60_000;
  const share = (end - job.startedAt) / job.steps.length;
  return job.steps.map((name, index) => {
    const last = index === job.steps.length - 1;
    const started = job.startedAt + index * share;
    const open = !completed && last;
    return {
      name,
      number: index + 1,
      status: open ? "in_progress" : "completed",
      conclusion: open ? null : "success",
      started_at: iso(started),
      completed_at: open ? null : iso(started + share),
    };
  });
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

export interface DemoRequest {
  /** When the request ended: Squid writes its line then. */
  readonly at: EpochMs;
  readonly method: string;
  readonly url: string;
  readonly status?: number;
  readonly bytesOut?: number;
  readonly bytesIn?: number;
  readonly address?: string;
  readonly agent?: string;
}

/** Squid's access log as JSON lines, for one client. */
export function squid(client: string, requests: readonly DemoRequest[]): Post {
  const lines = requests.map((request) => {
    const connect = request.method === "CONNECT";
    const host = connect ? request.url : new URL(request.url).host;
    return JSON.stringify({
      ts: request.at / 1000,
      client,
      client_port: 40_000 + (idOf(`${client}${request.at}`) % 20_000),
      method: request.method,
      url: request.url,
      host,
      status: request.status ?? 200,
      decision: `${connect ? "TCP_TUNNEL" : "TCP_MISS"}:HIER_DIRECT`,
      dest_ip: request.address ?? "10.20.9.4",
      dest_port: host.split(":")[1] ?? "80",
      bytes_out: request.bytesOut ?? 210,
      bytes_in: request.bytesIn ?? 1_480,
      duration_ms: 120,
      user: "-",
      ua: request.agent ?? "curl/8.5.0",
    });
  });
  return {
    at: requests.at(-1)?.at ?? 0,
    door: "/v1/egress",
    headers: { "content-type": "application/x-ndjson" },
    body: lines.join("\n"),
    records: lines.length,
  };
}

export interface DemoAlert {
  readonly at: EpochMs;
  readonly host: string;
  readonly rule: string;
  readonly priority: string;
  readonly tags: readonly string[];
  readonly text: string;
  readonly fields: Readonly<Record<string, string | number | null>>;
}

/** One alert as Falco's http_output posts it. `evt.time` is a 19-digit integer, as Falco writes it. */
export function falco({ at, host, rule, priority, tags, text, fields }: DemoAlert): Post {
  const nanoseconds = `${at}000000`;
  const time = `${new Date(at).toISOString().slice(0, -1)}000000Z`;
  const head = JSON.stringify({
    hostname: host,
    output: `${time.slice(11, 29)}: ${priority} ${text}`,
    priority,
    rule,
    source: "syscall",
    tags,
    time,
  });
  const outputFields = JSON.stringify(fields).replace("{", `{"evt.time":${nanoseconds},`);
  return {
    at,
    door: "/v1/falco",
    headers: { "content-type": "application/json" },
    body: `${head.slice(0, -1)},"output_fields":${outputFields}}`,
    records: 1,
  };
}

export interface DemoRegistryUse {
  readonly at: EpochMs;
  readonly action: "push" | "pull";
  readonly image: string;
  readonly actor: string;
  readonly address: string;
  readonly agent: string;
}

/** A notification of a container registry. Source: the CNCF Distribution project's notification format. */
export function registry({ at, action, image, actor, address, agent }: DemoRegistryUse): Post {
  const digest = `sha256:${createHash("sha256").update(image).digest("hex")}`;
  const id = createHash("sha256")
    .update(`${at}${action}${image}${actor}`)
    .digest("hex")
    .slice(0, 32);
  return {
    at,
    door: "/v1/registry",
    headers: { "content-type": "application/vnd.docker.distribution.events.v1+json" },
    body: JSON.stringify({
      events: [
        {
          id,
          timestamp: new Date(at).toISOString(),
          action,
          target: {
            mediaType: "application/vnd.oci.image.manifest.v1+json",
            size: 1_573,
            digest,
            repository: image,
            url: `https://images.corp.example/v2/${image}/manifests/${digest}`,
            tag: "latest",
          },
          request: {
            id: `${id}-r`,
            addr: `${address}:51544`,
            host: "images.corp.example",
            method: action === "push" ? "PUT" : "GET",
            useragent: agent,
          },
          actor: { name: actor },
          source: { addr: "images-0:5000", instanceID: "images-0" },
        },
      ],
    }),
    records: 1,
  };
}
