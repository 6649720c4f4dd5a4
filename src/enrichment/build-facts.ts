/** @module What the GitHub feeds say about runs: webhook bodies and audit entries → facts. Pure. */

import { type Runner, runKey } from "../event/build.ts";
import { type Event, textOf } from "../event/event.ts";
import { type OpenRecord, valueAt } from "../event/fields.ts";
import { auditFacts } from "./audit-facts.ts";
import type { BuildStep, RunFact } from "./build-fact.ts";
import {
  countAt,
  idAt,
  known,
  payloadsAt,
  readPayload,
  textAt,
  textsAt,
  timeAt,
} from "./payload.ts";

/**
 * The facts in an event of the GitHub feeds; [] for all others and for bodies that name no run.
 * Never throws.
 */
export function factsOf(event: Event): readonly RunFact[] {
  if (event.feed === "github-audit") return auditFacts(event);
  if (event.feed !== "github-webhook") return [];
  const kind = webhookKind(event);
  if (kind === undefined) return [];
  const payload = readPayload(event.raw);
  if (payload === undefined) return [];
  const repository = repositoryOf(payload);
  if (repository === undefined) return [];
  const fact = webhookReaders[kind]({ event, payload, repository });
  return fact === undefined ? [] : [fact];
}

interface Webhook {
  readonly event: Event;
  readonly payload: OpenRecord;
  readonly repository: string;
}

const webhookReaders = {
  workflow_job: jobFact,
  workflow_run: runFact,
  pull_request: pullFact,
} as const;

/**
 * The body does not name its own event: the header did, and the collector put it before the action.
 */
function webhookKind(event: Event): keyof typeof webhookReaders | undefined {
  const kind = (textOf(event.fields, "event.action") ?? "").split(".")[0] ?? "";
  return Object.hasOwn(webhookReaders, kind) ? (kind as keyof typeof webhookReaders) : undefined;
}

function repositoryOf(payload: OpenRecord): string | undefined {
  const name = textAt(payload, "repository", "full_name");
  return name !== undefined && /^[^/\s#]+\/[^/\s#]+$/.test(name) ? name : undefined;
}

/** https://docs.github.com/webhooks/webhook-events-and-payloads#workflow_job */
function jobFact({ event, payload, repository }: Webhook): RunFact | undefined {
  const job = valueAt(payload, "workflow_job") as OpenRecord;
  const jobId = idAt(payload, "workflow_job", "id");
  const runId = idAt(payload, "workflow_job", "run_id");
  if (jobId === undefined || runId === undefined) return undefined;
  const runAttempt = countAt(job, "run_attempt") ?? 1;
  const status = statusOf(textAt(payload, "action"));
  // `started_at` is set when the job is queued already, and then means nothing.
  const started = status === "queued" ? undefined : timeAt(job, "started_at");
  const completed = status === "completed";
  const runner = runnerOf(job);
  const steps = stepsOf(job);
  return {
    run: runKey({ repository, runId, runAttempt }),
    job: jobId,
    occurredAt: event.occurredAt,
    status,
    build: {
      repository,
      runId,
      runAttempt,
      ...known<Omit<RunFact["build"], "repository" | "runId" | "runAttempt">>({
        workflow: textAt(job, "workflow_name"),
        runUrl: runUrlOf(payload, runId, runAttempt),
        jobId,
        job: textAt(job, "name"),
        sha: textAt(job, "head_sha"),
        ref: textAt(job, "head_branch"),
        runner,
        environment: textAt(payload, "deployment", "environment"),
        startedAt: started,
        completedAt: completed ? timeAt(job, "completed_at") : undefined,
        conclusion: completed ? textAt(job, "conclusion") : undefined,
      }),
    },
    ...(steps.length > 0 ? { steps } : {}),
  };
}

/** The action, not the body's `status`: the two may disagree, and the action is the transition. */
function statusOf(action: string | undefined): NonNullable<RunFact["status"]> {
  if (action === "completed" || action === "in_progress") return action;
  return "queued";
}

function runnerOf(job: OpenRecord): Runner | undefined {
  const name = textAt(job, "runner_name");
  if (name === undefined) return undefined;
  const labels = textsAt(job, "labels") ?? [];
  const group = textAt(job, "runner_group_name");
  return known<Runner>({
    name,
    id: idAt(job, "runner_id"),
    group,
    labels,
    hosted: hostedBy(labels, group),
  });
}

/** Anyone may name a self-hosted runner like a hosted one, so its label speaks first. */
function hostedBy(labels: readonly string[], group: string | undefined): boolean | undefined {
  if (labels.includes("self-hosted")) return false;
  return group === "GitHub Actions" ? true : undefined;
}

function stepsOf(job: OpenRecord): readonly BuildStep[] {
  return payloadsAt(job, "steps").flatMap((step) => {
    const number = countAt(step, "number");
    const name = textAt(step, "name");
    if (number === undefined || name === undefined) return [];
    return known<BuildStep>({
      number,
      name: name.slice(0, 256),
      startedAt: timeAt(step, "started_at"),
      completedAt: timeAt(step, "completed_at"),
    });
  });
}

/** https://docs.github.com/webhooks/webhook-events-and-payloads#workflow_run */
function runFact({ event, payload, repository }: Webhook): RunFact | undefined {
  const runId = idAt(payload, "workflow_run", "id");
  if (runId === undefined) return undefined;
  const run = valueAt(payload, "workflow_run") as OpenRecord;
  const runAttempt = countAt(run, "run_attempt") ?? 1;
  const conclusion = textAt(run, "conclusion");
  const action = statusOf(textAt(payload, "action"));
  // A fork's run that waits for approval "completes" as action_required and then goes on under the
  // same attempt.
  const waits = conclusion === "action_required";
  const status = waits ? "queued" : action;
  const completed = status === "completed";
  const trigger = textAt(run, "event");
  const fork = forkOf(payload, trigger);
  return {
    run: runKey({ repository, runId, runAttempt }),
    occurredAt: event.occurredAt,
    status,
    build: {
      repository,
      runId,
      runAttempt,
      ...known<Omit<RunFact["build"], "repository" | "runId" | "runAttempt">>({
        workflow: textAt(run, "name") ?? textAt(payload, "workflow", "name"),
        workflowPath: textAt(run, "path") ?? textAt(payload, "workflow", "path"),
        runNumber: countAt(run, "run_number"),
        runUrl: runUrlOf(payload, runId, runAttempt),
        sha: textAt(run, "head_sha"),
        ref: textAt(run, "head_branch"),
        actor: textAt(run, "actor", "login"),
        triggeringActor: textAt(run, "triggering_actor", "login"),
        trigger,
        pullRequest: pullRequestOf(payload),
        fork,
        headRepository: fork === true ? textAt(run, "head_repository", "full_name") : undefined,
        startedAt: timeAt(run, "run_started_at"),
        completedAt: completed ? timeAt(run, "updated_at") : undefined,
        conclusion: completed ? conclusion : undefined,
      }),
    },
  };
}

/** Whether the code comes from another repository; undefined when the body does not tell. */
function forkOf(payload: OpenRecord, trigger: string | undefined): boolean | undefined {
  const head = valueAt(payload, "workflow_run", "head_repository");
  // A deleted fork leaves null behind.
  if (head === null) return trigger?.startsWith("pull_request") === true ? true : undefined;
  const headId = idAt(payload, "workflow_run", "head_repository", "id");
  const baseId = idAt(payload, "repository", "id");
  return headId !== undefined && baseId !== undefined ? headId !== baseId : undefined;
}

/**
 * GitHub lists every pull request with this head, those of other repositories too: only ours count.
 */
function pullRequestOf(payload: OpenRecord): number | undefined {
  const baseId = idAt(payload, "repository", "id");
  const ours = payloadsAt(payload, "workflow_run", "pull_requests").filter((pull) => {
    return baseId !== undefined && idAt(pull, "base", "repo", "id") === baseId;
  });
  const sha = textAt(payload, "workflow_run", "head_sha");
  const same = ours.filter((pull) => textAt(pull, "head", "sha") === sha);
  const [first] = same.length > 0 ? same : ours;
  return first === undefined ? undefined : countAt(first, "number");
}

/**
 * A pull request as a fact about every run of its head: runs of forks do not tell their pull
 * request, so it is found by head commit (or branch) and head repository. `runId` is empty and
 * `run` begins with `pull:`.
 */
function pullFact({ event, payload, repository }: Webhook): RunFact | undefined {
  const number = countAt(payload, "pull_request", "number");
  const sha = textAt(payload, "pull_request", "head", "sha");
  if (number === undefined || sha === undefined) return undefined;
  const headRepository = textAt(payload, "pull_request", "head", "repo", "full_name");
  const headId = idAt(payload, "pull_request", "head", "repo", "id");
  const baseId = idAt(payload, "pull_request", "base", "repo", "id");
  return {
    run: `pull:${repository.toLowerCase()}@${sha}`,
    occurredAt: event.occurredAt,
    build: {
      repository,
      runId: "",
      runAttempt: 0,
      sha,
      pullRequest: number,
      fork: headId === undefined || headId !== baseId,
      ...known<{ ref?: string; headRepository?: string }>({
        ref: textAt(payload, "pull_request", "head", "ref"),
        headRepository,
      }),
    },
  };
}

/**
 * The page of the run attempt, from the repository's own address: Enterprise Server has another
 * host.
 */
function runUrlOf(payload: OpenRecord, runId: string, attempt: number): string | undefined {
  const base = textAt(payload, "repository", "html_url");
  if (base === undefined || !/^https?:\/\/[^\s"'<>]+$/.test(base)) return undefined;
  return `${base}/actions/runs/${runId}${attempt > 1 ? `/attempts/${attempt}` : ""}`;
}
