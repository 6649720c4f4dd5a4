/** @module The fields of each kind of GitHub webhook, under the names of docs/fields.md. */

import { type FieldSet, isRecord, type OpenRecord, textAt, valueAt } from "../event/fields.ts";
import { mapComment, mapCreateOrDelete, mapIssue, mapPullRequest, mapPush } from "./github-code.ts";
import { mapCheckRun, mapJob, mapRun } from "./github-run.ts";
import { mapAlert, mapPackage, mapRelease } from "./github-supply.ts";

type Mapper = (fields: FieldSet, payload: OpenRecord, event: string) => void;

const mappers: ReadonlyMap<string, Mapper> = new Map<string, Mapper>([
  ["workflow_job", mapJob],
  ["workflow_run", mapRun],
  ["check_run", mapCheckRun],
  ["push", mapPush],
  ["create", mapCreateOrDelete],
  ["delete", mapCreateOrDelete],
  ["pull_request", mapPullRequest],
  ["pull_request_review", mapPullRequest],
  ["pull_request_review_comment", mapComment],
  ["issues", mapIssue],
  ["issue_comment", mapComment],
  ["discussion_comment", mapComment],
  ["commit_comment", mapComment],
  ["deployment", mapDeployment],
  ["deployment_status", mapDeployment],
  ["deployment_review", mapDeployment],
  ["deployment_protection_rule", mapDeployment],
  ["workflow_dispatch", mapDispatch],
  ["member", mapMember],
  ["membership", mapMember],
  ["organization", mapMember],
  ["repository", mapRepository],
  ["deploy_key", mapDeployKey],
  ["branch_protection_rule", mapBranchProtection],
  ["secret_scanning_alert", mapAlert],
  ["code_scanning_alert", mapAlert],
  ["dependabot_alert", mapAlert],
  ["package", mapPackage],
  ["registry_package", mapPackage],
  ["release", mapRelease],
]);

/**
 * Adds the fields of the event's own object; an event without a row here keeps its object's plain
 * keys.
 */
export function mapPayload(fields: FieldSet, event: string, payload: OpenRecord): void {
  const mapper = mappers.get(event);
  if (mapper === undefined) mapOther(fields, event, payload);
  else mapper(fields, payload, event);
}

/** Links are long, many and follow from the ids. */
function isLink(key: string): boolean {
  return key === "url" || key.endsWith("_url") || key === "node_id" || key === "_links";
}

/** The plain values of an object, and of the objects in it, without links. */
function plainOf(value: OpenRecord, levels: number): Record<string, unknown> {
  const kept = Object.entries(value).flatMap(([key, item]): [string, unknown][] => {
    if (isLink(key)) return [];
    if (!isRecord(item)) return [[key, item]];
    return levels === 0 ? [] : [[key, plainOf(item, levels - 1)]];
  });
  return Object.fromEntries(kept);
}

function mapOther(fields: FieldSet, event: string, payload: OpenRecord): void {
  const object = valueAt(payload, event);
  if (isRecord(object)) fields.flatten(`pipewarden.webhook.${event}`, plainOf(object, 2));
}

/** Payloads of deployments that Actions made carry the run. */
function mapDeployment(fields: FieldSet, payload: OpenRecord): void {
  mapRun(fields, payload);
  const deployment = valueAt(payload, "deployment");
  const status = valueAt(payload, "deployment_status");
  const environment = textAt(deployment, "environment") ?? textAt(payload, "environment");
  fields
    .set("vcs.ref.head.name", textAt(deployment, "ref"))
    .set("vcs.ref.head.revision", textAt(deployment, "sha"))
    .set("pipewarden.run.environment", environment)
    .set("pipewarden.deployment.id", textAt(deployment, "id"))
    .set("pipewarden.deployment.environment", environment)
    .set("pipewarden.deployment.task", textAt(deployment, "task"))
    .set("pipewarden.deployment.creator", textAt(deployment, "creator", "login"))
    .set("pipewarden.deployment.state", textAt(status, "state"))
    .set("pipewarden.deployment.description", textAt(status, "description"))
    .set("pipewarden.deployment.target_url", textAt(status, "target_url"))
    .set("pipewarden.deployment.approver", textAt(payload, "approver", "login"))
    .set("pipewarden.deployment.comment", textAt(payload, "comment"));
  const state = textAt(status, "state");
  if (state === "success") fields.set("event.outcome", "success");
  if (state === "failure" || state === "error") fields.set("event.outcome", "failure");
}

function mapDispatch(fields: FieldSet, payload: OpenRecord): void {
  fields
    .set("vcs.ref.head.name", branchOf(textAt(payload, "ref")))
    .set("pipewarden.run.workflow_path", textAt(payload, "workflow"));
  const inputs = valueAt(payload, "inputs");
  if (isRecord(inputs)) fields.flatten("pipewarden.webhook.inputs", inputs);
}

function branchOf(ref: string | undefined): string | undefined {
  return ref?.replace(/^refs\/(?:heads|tags)\//, "");
}

/** Who was let in or put out, and as what. */
function mapMember(fields: FieldSet, payload: OpenRecord): void {
  const member = valueAt(payload, "member") ?? valueAt(payload, "membership", "user");
  const invited = valueAt(payload, "invitation");
  fields
    .set("user.target.name", textAt(member, "login") ?? textAt(invited, "login"))
    .set("user.target.id", textAt(member, "id"))
    .set("pipewarden.member.team", textAt(payload, "team", "slug"))
    .set(
      "pipewarden.member.role",
      textAt(payload, "membership", "role") ??
        textAt(payload, "changes", "role_name", "to") ??
        textAt(payload, "changes", "permission", "to") ??
        textAt(invited, "role"),
    );
}

function mapRepository(fields: FieldSet, payload: OpenRecord): void {
  fields
    .set("pipewarden.repository.archived", valueAt(payload, "repository", "archived"))
    .set("pipewarden.repository.created_at", textAt(payload, "repository", "created_at"))
    .set(
      "pipewarden.repository.old_name",
      textAt(payload, "changes", "repository", "name", "from"),
    );
}

function mapDeployKey(fields: FieldSet, payload: OpenRecord): void {
  const key = valueAt(payload, "key");
  fields
    .set("pipewarden.deploy_key.id", textAt(key, "id"))
    .set("pipewarden.deploy_key.title", textAt(key, "title"))
    .set("pipewarden.deploy_key.read_only", valueAt(key, "read_only"))
    .set("pipewarden.deploy_key.verified", valueAt(key, "verified"))
    .set("pipewarden.deploy_key.added_by", textAt(key, "added_by"));
}

function mapBranchProtection(fields: FieldSet, payload: OpenRecord): void {
  const rule = valueAt(payload, "rule");
  if (isRecord(rule)) fields.flatten("pipewarden.branch_protection", plainOf(rule, 1));
}
