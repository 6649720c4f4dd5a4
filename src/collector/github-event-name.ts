/**
 * @module Which webhook event a GitHub payload is of, told from its keys, for files that lost the
 * header.
 */

import { isRecord, textAt, valueAt } from "../event/fields.ts";

type Test = (payload: unknown) => boolean;

const has =
  (...path: readonly string[]): Test =>
  (payload) =>
    valueAt(payload, ...path) !== undefined;
const all =
  (...tests: readonly Test[]): Test =>
  (payload) =>
    tests.every((test) => test(payload));
const not =
  (test: Test): Test =>
  (payload) =>
    !test(payload);
const action =
  (...names: readonly string[]): Test =>
  (payload) =>
    names.includes(textAt(payload, "action") ?? "");

/**
 * First row that holds wins: a payload often carries the object of another event beside its own.
 */
const shapes: readonly (readonly [event: string, test: Test])[] = [
  ["ping", all(has("zen"), has("hook_id"))],
  ["meta", all(has("hook_id"), has("hook"))],
  ["deployment_review", all(has("workflow_run"), action("approved", "rejected"))],
  ["deployment_review", all(has("workflow_run"), has("requestor"), action("requested"))],
  ["deployment_protection_rule", has("deployment_callback_url")],
  ["workflow_job", has("workflow_job")],
  ["deployment_status", has("deployment_status")],
  ["deployment", has("deployment")],
  ["workflow_run", has("workflow_run")],
  ["check_run", has("check_run")],
  ["check_suite", has("check_suite")],
  ["secret_scanning_alert_location", all(has("alert"), has("location"))],
  ["dependabot_alert", has("alert", "security_advisory")],
  ["secret_scanning_alert", has("alert", "secret_type")],
  ["code_scanning_alert", all(has("alert", "rule"), has("alert", "tool"))],
  ["repository_vulnerability_alert", has("alert", "affected_package_name")],
  ["security_advisory", has("security_advisory")],
  ["repository_advisory", has("repository_advisory")],
  ["branch_protection_rule", has("rule")],
  ["deploy_key", all(has("key"), has("repository"))],
  ["repository_ruleset", has("repository_ruleset")],
  ["registry_package", has("registry_package")],
  ["package", has("package")],
  ["release", has("release")],
  ["pull_request_review_comment", all(has("pull_request"), has("comment"))],
  ["pull_request_review_thread", all(has("pull_request"), has("thread"))],
  ["pull_request_review", all(has("pull_request"), has("review"))],
  ["pull_request", has("pull_request")],
  ["issue_comment", all(has("issue"), has("comment"))],
  ["issues", has("issue")],
  ["discussion_comment", all(has("discussion"), has("comment"))],
  ["discussion", has("discussion")],
  ["commit_comment", has("comment")],
  ["push", all(has("ref"), has("before"), has("after"))],
  ["create", all(has("ref_type"), has("master_branch"))],
  ["delete", all(has("ref"), has("ref_type"))],
  ["repository_dispatch", has("client_payload")],
  ["workflow_dispatch", all(has("workflow"), has("ref"))],
  ["merge_group", has("merge_group")],
  ["status", all(has("sha"), has("state"), has("context"))],
  ["fork", has("forkee")],
  ["gollum", has("pages")],
  ["page_build", has("build")],
  ["personal_access_token_request", has("personal_access_token_request")],
  ["installation_repositories", has("repositories_added")],
  ["installation_target", has("target_type")],
  ["marketplace_purchase", has("marketplace_purchase")],
  ["organization", all(has("membership"), not(has("team")))],
  ["membership", all(has("team"), has("scope"))],
  ["member", has("member")],
  ["team_add", all(has("team"), has("repository"), not(has("action")))],
  ["team", has("team")],
  ["org_block", has("blocked_user")],
  ["organization", all(has("organization"), action("renamed", "deleted", "member_invited"))],
  ["label", has("label")],
  ["milestone", has("milestone")],
  ["sponsorship", has("sponsorship")],
  ["projects_v2_item", has("projects_v2_item")],
  ["projects_v2", has("projects_v2")],
  ["project_card", has("project_card")],
  ["project_column", has("project_column")],
  ["project", has("project")],
  ["custom_property", has("definition")],
  ["custom_property_values", has("new_property_values")],
  ["security_and_analysis", has("changes", "from", "security_and_analysis")],
  ["installation", all(has("installation", "permissions"), not(has("repository")))],
  ["star", has("starred_at")],
  ["watch", all(has("repository"), action("started"))],
  ["repository_import", all(has("repository"), has("status"), not(has("action")))],
  ["github_app_authorization", all(has("sender"), action("revoked"))],
  ["repository", all(has("repository"), has("action"))],
  ["public", all(has("repository"), not(has("action")))],
];

/** The event's name, or undefined when this is not a webhook payload that we know. */
export function eventNameOf(payload: unknown): string | undefined {
  if (!isRecord(payload)) return undefined;
  // All but ping and a few of the marketplace carry who did it; an audit entry never does.
  if (!isRecord(valueAt(payload, "sender")) && !has("hook_id")(payload)) {
    const object = valueAt(payload, "workflow_job") ?? valueAt(payload, "workflow_run");
    if (!isRecord(object)) return undefined;
  }
  return shapes.find(([, test]) => test(payload))?.[0];
}
