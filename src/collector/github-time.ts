/**
 * @module When what a GitHub webhook tells of took place: which of the payload's many times that
 * is.
 */

import { type OpenRecord, textAt, valueAt } from "../event/fields.ts";

type Path = readonly string[];

/**
 * Actions that a time of their own records; else `created` takes the creation and others the last
 * update.
 */
const actionTimes: ReadonlyMap<string, readonly string[]> = new Map([
  ["workflow_job.queued", ["created_at", "started_at"]],
  ["workflow_job.waiting", ["created_at", "started_at"]],
  ["workflow_job.in_progress", ["started_at", "created_at"]],
  ["workflow_job.completed", ["completed_at", "started_at"]],
  // created_at is of the first attempt.
  ["workflow_run.requested", ["run_started_at", "created_at"]],
  ["workflow_run.in_progress", ["updated_at", "run_started_at"]],
  ["workflow_run.completed", ["updated_at", "run_started_at"]],
  ["check_run.created", ["started_at"]],
  ["check_run.completed", ["completed_at", "started_at"]],
  // A release's created_at is the date of its commit.
  ["release.published", ["published_at"]],
  ["release.released", ["published_at"]],
  ["release.created", ["updated_at"]],
  ["pull_request.closed", ["closed_at", "updated_at"]],
  ["package.published", ["package_version.created_at", "created_at"]],
  ["package.updated", ["package_version.updated_at", "updated_at"]],
  ["registry_package.published", ["package_version.created_at", "created_at"]],
  ["dependabot_alert.fixed", ["fixed_at", "updated_at"]],
  ["dependabot_alert.dismissed", ["dismissed_at", "updated_at"]],
  ["code_scanning_alert.fixed", ["fixed_at", "updated_at"]],
  ["code_scanning_alert.closed_by_user", ["dismissed_at", "updated_at"]],
  ["secret_scanning_alert.resolved", ["resolved_at", "updated_at"]],
]);

/** Where the event's object is, when its key is not the event's name. */
const objectKeys: ReadonlyMap<string, string> = new Map([
  ["branch_protection_rule", "rule"],
  ["deploy_key", "key"],
  ["dependabot_alert", "alert"],
  ["code_scanning_alert", "alert"],
  ["secret_scanning_alert", "alert"],
  ["issues", "issue"],
  ["issue_comment", "comment"],
  ["commit_comment", "comment"],
  ["discussion_comment", "comment"],
  ["pull_request_review_comment", "comment"],
  ["pull_request_review", "review"],
]);

/** Deliveries of a deletion carry only times of the object's earlier life. */
const endings = new Set(["deleted", "removed", "destroyed", "unassigned"]);

/**
 * The event's own time, as the payload writes it; undefined when it has none that can be trusted. A
 * commit's time is never taken: its author chooses it.
 */
export function claimedTimeOf(name: string, payload: OpenRecord): unknown {
  const action = textAt(payload, "action") ?? "";
  if (name === "push" || name === "create" || name === "delete") {
    return valueAt(payload, "repository", "pushed_at") ?? undefined;
  }
  const object = valueAt(payload, objectKeys.get(name) ?? name);
  if (object === undefined || endings.has(action)) return undefined;
  const named = actionTimes.get(`${name}.${action}`);
  const paths: readonly Path[] = (
    named ?? (action === "created" ? ["created_at"] : ["updated_at", "submitted_at", "created_at"])
  ).map((path) => path.split("."));
  for (const path of paths) {
    const time = valueAt(object, ...path);
    if (time !== undefined && time !== null && time !== "") return time;
  }
  return undefined;
}
