/** @module The fields of a workflow run and of a job in it, from GitHub's objects for them. */

import { resultOf } from "../event/build.ts";
import {
  type FieldSet,
  isRecord,
  listAt,
  numberAt,
  textAt,
  textsAt,
  valueAt,
} from "../event/fields.ts";

/** Steps of a job beyond these are counted in `pipewarden.run.steps_dropped`. */
export const stepsMax = 200;

/** `.github/workflows/a.yml@refs/heads/main` without the ref; required workflows come with one. */
export function workflowPathOf(path: string | undefined): string | undefined {
  return path?.split("@", 1)[0];
}

/** `workflow_run`: the whole run, one attempt of it. */
export function mapRun(fields: FieldSet, payload: unknown): void {
  const run = valueAt(payload, "workflow_run");
  if (!isRecord(run)) return;
  const conclusion = textAt(run, "conclusion");
  fields
    .set("event.outcome", conclusion)
    .set("cicd.pipeline.name", textAt(run, "name") ?? textAt(payload, "workflow", "name"))
    .set("cicd.pipeline.run.id", textAt(run, "id"))
    .set("cicd.pipeline.run.url.full", textAt(run, "html_url"))
    .set("cicd.pipeline.result", resultOf(conclusion))
    .set("vcs.ref.head.name", textAt(run, "head_branch"))
    .set("vcs.ref.head.revision", textAt(run, "head_sha"))
    .set("vcs.change.id", firstPullRequest(run))
    .set("pipewarden.run.attempt", numberAt(run, "run_attempt"))
    .set("pipewarden.run.number", numberAt(run, "run_number"))
    .set("pipewarden.run.status", textAt(run, "status"))
    .set("pipewarden.run.conclusion", conclusion)
    .set("pipewarden.run.trigger", textAt(run, "event"))
    .set("pipewarden.run.actor", textAt(run, "actor", "login"))
    .set("pipewarden.run.triggering_actor", textAt(run, "triggering_actor", "login"))
    .set(
      "pipewarden.run.workflow_path",
      workflowPathOf(textAt(run, "path") ?? textAt(payload, "workflow", "path")),
    )
    .set("pipewarden.run.workflow_id", textAt(run, "workflow_id"))
    .set("pipewarden.run.check_suite_id", textAt(run, "check_suite_id"))
    .set("pipewarden.run.title", textAt(run, "display_title"))
    .set("pipewarden.run.created_at", textAt(run, "created_at"))
    .set("pipewarden.run.started_at", textAt(run, "run_started_at"))
    .set("pipewarden.run.fork", forkOf(run, valueAt(payload, "repository")))
    .set("pipewarden.run.head_repository", textAt(run, "head_repository", "full_name"));
  const reused = listAt(run, "referenced_workflows").flatMap((used) => textAt(used, "path") ?? []);
  if (reused.length > 0) fields.set("pipewarden.run.referenced_workflows", reused);
}

/** The list is empty for forks, so its absence says nothing. */
function firstPullRequest(object: unknown): string | undefined {
  return textAt(listAt(object, "pull_requests")[0], "number");
}

/**
 * Whether the code came from another repository. The head repository is null once a fork is
 * deleted; a run of the repository's own always has one, so null means fork. Undefined when the
 * payload does not say.
 */
export function forkOf(object: unknown, base: unknown): boolean | undefined {
  const head = valueAt(object, "head_repository");
  if (head === null) return true;
  const headId = textAt(head, "id");
  const baseId = textAt(base, "id");
  return headId === undefined || baseId === undefined ? undefined : headId !== baseId;
}

/** `workflow_job`: one job of one attempt, its runner and its steps. */
export function mapJob(fields: FieldSet, payload: unknown): void {
  const job = valueAt(payload, "workflow_job");
  if (!isRecord(job)) return;
  const conclusion = textAt(job, "conclusion");
  const runId = textAt(job, "run_id");
  const repositoryUrl = textAt(payload, "repository", "html_url");
  fields
    .set("event.outcome", conclusion)
    .set("cicd.pipeline.name", textAt(job, "workflow_name"))
    .set("cicd.pipeline.run.id", runId)
    .set("cicd.pipeline.task.name", textAt(job, "name"))
    .set("cicd.pipeline.task.run.id", textAt(job, "id"))
    // Its number differs from the job's id in old payloads: for people, not for joining.
    .set("cicd.pipeline.task.run.url.full", textAt(job, "html_url"))
    .set("cicd.pipeline.task.run.result", resultOf(conclusion))
    .set("cicd.worker.name", textAt(job, "runner_name"))
    // 0 when no runner ever took the job.
    .set("cicd.worker.id", textAt(job, "runner_id") === "0" ? undefined : textAt(job, "runner_id"))
    .set("vcs.ref.head.name", textAt(job, "head_branch"))
    .set("vcs.ref.head.revision", textAt(job, "head_sha"))
    .set("pipewarden.run.attempt", numberAt(job, "run_attempt"))
    // May disagree with the action; the action is what happened.
    .set("pipewarden.run.status", textAt(job, "status"))
    .set("pipewarden.run.conclusion", conclusion)
    .set("pipewarden.run.environment", textAt(payload, "deployment", "environment"))
    .set("pipewarden.run.created_at", textAt(job, "created_at"))
    .set("pipewarden.run.started_at", textAt(job, "started_at"))
    .set("pipewarden.run.completed_at", textAt(job, "completed_at"))
    .set("pipewarden.runner.labels", textsAt(job, "labels"))
    .set("pipewarden.runner.group", textAt(job, "runner_group_name"))
    .set("pipewarden.runner.group_id", textAt(job, "runner_group_id"))
    .set("pipewarden.runner.hosted", hostedOf(job));
  if (runId !== undefined && repositoryUrl !== undefined) {
    fields.set("cicd.pipeline.run.url.full", `${repositoryUrl}/actions/runs/${runId}`);
  }
  mapSteps(fields, listAt(job, "steps"));
}

/**
 * GitHub's own runners sit in the group that bears its name; larger ones cannot be told from a
 * payload.
 */
function hostedOf(job: unknown): boolean | undefined {
  if (textsAt(job, "labels").some((label) => label.toLowerCase() === "self-hosted")) return false;
  if (textAt(job, "runner_group_name") === "GitHub Actions") return true;
  return /^GitHub Actions \d+$/.test(textAt(job, "runner_name") ?? "") ? true : undefined;
}

/** Lists of equal length; a step that has not begun has null times. */
function mapSteps(fields: FieldSet, all: readonly unknown[]): void {
  if (all.length === 0) return;
  const steps = all.slice(0, stepsMax);
  const column = (key: string): (string | null)[] => steps.map((step) => textAt(step, key) ?? null);
  fields
    .set("pipewarden.run.step_names", column("name"))
    .set(
      "pipewarden.run.step_numbers",
      steps.map((step) => numberAt(step, "number") ?? null),
    )
    .set("pipewarden.run.step_conclusions", column("conclusion"))
    .set("pipewarden.run.step_started_at", column("started_at"))
    .set("pipewarden.run.step_completed_at", column("completed_at"));
  if (all.length > stepsMax) fields.set("pipewarden.run.steps_dropped", all.length - stepsMax);
}

/** `check_run`: what a check said of a commit; Actions makes one per job, with the job's id. */
export function mapCheckRun(fields: FieldSet, payload: unknown): void {
  const check = valueAt(payload, "check_run");
  if (!isRecord(check)) return;
  const ofActions = textAt(check, "app", "slug") === "github-actions";
  fields
    .set("event.outcome", textAt(check, "conclusion"))
    .set("vcs.ref.head.name", textAt(check, "check_suite", "head_branch"))
    .set("vcs.ref.head.revision", textAt(check, "head_sha"))
    .set("vcs.change.id", firstPullRequest(check))
    .set("pipewarden.check_run.id", textAt(check, "id"))
    .set("pipewarden.check_run.name", textAt(check, "name"))
    .set("pipewarden.check_run.status", textAt(check, "status"))
    .set("pipewarden.check_run.app", textAt(check, "app", "slug"))
    .set("pipewarden.check_run.check_suite_id", textAt(check, "check_suite", "id"))
    .set("pipewarden.check_run.details_url", textAt(check, "details_url"));
  if (ofActions) {
    fields
      .set("cicd.pipeline.task.name", textAt(check, "name"))
      .set("cicd.pipeline.task.run.id", textAt(check, "id"));
  }
}
