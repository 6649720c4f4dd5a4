/** @module The fields of a GitHub audit entry under the names of docs/fields.md. */

import { resultOf } from "../event/build.ts";
import {
  booleanAt,
  type FieldSet,
  listAt,
  numberAt,
  type OpenRecord,
  textAt,
  textsAt,
  valueAt,
} from "../event/fields.ts";
import { workflowPathOf } from "./github-run.ts";

export function actionOf(entry: OpenRecord): string | undefined {
  return textAt(entry, "action");
}

/**
 * Some entries name several organisations or repositories. The first counts; all stay in the audit
 * keys.
 */
function firstText(entry: OpenRecord, key: string): string | undefined {
  return textAt(entry, key) ?? textsAt(entry, key)[0];
}

/** `owner/name`; git entries say `repository`, and some name the owner in `org` alone. */
export function repositoryOf(entry: OpenRecord): string | undefined {
  const repository = firstText(entry, "repo") ?? firstText(entry, "repository");
  if (repository === undefined || repository.includes("/")) return repository;
  const owner = firstText(entry, "org");
  return owner === undefined ? undefined : `${owner}/${repository}`;
}

export function mapAudit(fields: FieldSet, action: string, entry: OpenRecord): void {
  const repository = repositoryOf(entry);
  const organization = firstText(entry, "org");
  const owner = repository?.split("/", 1)[0];
  const userId = textAt(entry, "user_id");
  fields
    .set("event.action", action)
    .set("event.module", "github")
    .set("event.dataset", "github.audit")
    .set("user.name", textAt(entry, "actor"))
    .set("user.id", textAt(entry, "actor_id"))
    .set("user.target.name", textAt(entry, "user"))
    // 0 stands for nobody.
    .set("user.target.id", userId === "0" ? undefined : userId)
    .set("source.ip", textAt(entry, "actor_ip"))
    .set("user_agent.original", textAt(entry, "user_agent"))
    .set("organization.name", organization)
    .set("organization.id", firstText(entry, "org_id"))
    .set("vcs.provider.name", "github")
    .set("vcs.repository.name", repository)
    .set("vcs.owner.name", owner ?? organization)
    .set("pipewarden.repository.id", firstText(entry, "repo_id"))
    .set("http.request.method", textAt(entry, "request_method"))
    .set("http.response.status_code", numberAt(entry, "status_code"))
    .set("url.path", textAt(entry, "url_path"));
  if (action.startsWith("workflows.") || valueAt(entry, "workflow_run_id") !== undefined) {
    mapRun(fields, entry, repository);
  }
  const status = numberAt(entry, "status_code");
  if (status !== undefined) fields.set("event.outcome", status < 400 ? "success" : "failure");
}

/**
 * `workflows.*`, above all `workflows.prepared_workflow_job`, which alone tells the secrets a job
 * was given.
 */
function mapRun(fields: FieldSet, entry: OpenRecord, repository: string | undefined): void {
  const conclusion = textAt(entry, "conclusion");
  const runId = textAt(entry, "workflow_run_id");
  const jobRef = textAt(entry, "job_workflow_ref");
  const callers = textsAt(entry, "calling_workflow_refs");
  fields
    .set("event.outcome", conclusion)
    .set("cicd.pipeline.name", textAt(entry, "name"))
    .set("cicd.pipeline.run.id", runId)
    .set("cicd.pipeline.result", resultOf(conclusion))
    .set("cicd.pipeline.task.name", textAt(entry, "job_name"))
    .set("cicd.worker.name", textAt(entry, "runner_name"))
    .set("cicd.worker.id", textAt(entry, "runner_id"))
    .set("vcs.ref.head.name", textAt(entry, "head_branch"))
    .set("vcs.ref.head.revision", textAt(entry, "head_sha"))
    .set("vcs.change.id", pullRequestNumber(textAt(entry, "pull_request_url")))
    .set("pipewarden.run.attempt", numberAt(entry, "run_attempt"))
    .set("pipewarden.run.number", numberAt(entry, "run_number"))
    .set("pipewarden.run.trigger", textAt(entry, "event"))
    .set("pipewarden.run.actor", textAt(entry, "actor"))
    .set("pipewarden.run.conclusion", conclusion)
    .set("pipewarden.run.started_at", textAt(entry, "started_at"))
    .set("pipewarden.run.completed_at", textAt(entry, "completed_at"))
    .set("pipewarden.run.workflow_id", textAt(entry, "workflow_id"))
    .set("pipewarden.run.workflow_path", topPath(callers, jobRef, repository))
    .set("pipewarden.run.job_workflow_ref", jobRef)
    .set("pipewarden.run.environment", textAt(entry, "environment_name"))
    .set("pipewarden.run.imposer_repository", textAt(entry, "imposer_repo"))
    .set("pipewarden.runner.hosted", booleanAt(entry, "is_hosted_runner"))
    .set("pipewarden.runner.group", textAt(entry, "runner_group_name"))
    .set("pipewarden.runner.group_id", textAt(entry, "runner_group_id"))
    .set("pipewarden.runner.owner_type", textAt(entry, "runner_owner_type"));
  if (callers.length > 0) fields.set("pipewarden.run.calling_workflow_refs", callers);
  setList(fields, entry, { key: "runner_labels", name: "pipewarden.runner.labels" });
  setList(fields, entry, { key: "secrets_passed", name: "pipewarden.run.secrets_passed" });
}

/** An empty list is told apart from none: the job is known to have been given nothing. */
function setList(
  fields: FieldSet,
  entry: OpenRecord,
  { key, name }: { key: string; name: string },
): void {
  if (!Array.isArray(valueAt(entry, key))) return;
  const texts = listAt(entry, key).flatMap((item) => textAt(item) ?? textAt(item, "name") ?? []);
  fields.set(name, texts);
}

/** With several callers the order is not documented, so the topmost cannot be told. */
function topPath(
  callers: readonly string[],
  jobRef: string | undefined,
  repository: string | undefined,
): string | undefined {
  return callers.length > 1 ? undefined : ownPath(callers[0] ?? jobRef, repository);
}

/**
 * The path in `owner/name/.github/workflows/a.yml@ref`, when it is a workflow of the repository
 * itself.
 */
function ownPath(ref: string | undefined, repository: string | undefined): string | undefined {
  const path = workflowPathOf(ref);
  if (path === undefined || repository === undefined) return undefined;
  const prefix = `${repository.toLowerCase()}/`;
  return path.toLowerCase().startsWith(prefix) ? path.slice(prefix.length) : undefined;
}

function pullRequestNumber(url: string | undefined): string | undefined {
  return /\/pull\/(\d{1,15})$/.exec(url ?? "")?.[1];
}
