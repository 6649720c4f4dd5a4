/**
 * @module The fields of GitHub webhooks about code: pushes, refs, pull requests, issues and
 * comments.
 */

import {
  booleanAt,
  type FieldSet,
  isRecord,
  listAt,
  type OpenRecord,
  textAt,
  textsAt,
  valueAt,
} from "../event/fields.ts";

/** Paths kept of each kind; a push with more sets `pipewarden.push.truncated`. */
export const pathsMax = 300;
/** GitHub lists no more commits than this in one push. */
const commitsMax = 2_048;

function shortRef(ref: string | undefined): string | undefined {
  return ref?.replace(/^refs\/(?:heads|tags)\//, "");
}

function refType(ref: string | undefined): string | undefined {
  if (ref?.startsWith("refs/heads/") === true) return "branch";
  return ref?.startsWith("refs/tags/") === true ? "tag" : undefined;
}

const isZero = (sha: string | undefined): boolean => sha !== undefined && /^0+$/.test(sha);

export function mapPush(fields: FieldSet, payload: OpenRecord): void {
  const ref = textAt(payload, "ref");
  const after = textAt(payload, "after");
  const commits = listAt(payload, "commits");
  const deleted = booleanAt(payload, "deleted") ?? isZero(after);
  fields
    .set("vcs.ref.head.name", shortRef(ref))
    .set("vcs.ref.head.type", refType(ref))
    .set("vcs.ref.head.revision", isZero(after) ? undefined : after)
    .set("pipewarden.push.ref", ref)
    .set("pipewarden.push.before", textAt(payload, "before"))
    .set("pipewarden.push.after", after)
    .set("pipewarden.push.forced", booleanAt(payload, "forced"))
    .set("pipewarden.push.created", booleanAt(payload, "created"))
    .set("pipewarden.push.deleted", deleted)
    .set("pipewarden.push.pusher", textAt(payload, "pusher", "name"))
    .set("pipewarden.push.commits", commits.length)
    .set("pipewarden.push.message", textAt(payload, "head_commit", "message"))
    // GitHub finds this account by the commit's e-mail address, which the committer writes: a
    // claim, not proof.
    .set(
      "pipewarden.push.committer",
      textAt(payload, "head_commit", "committer", "username") ??
        textAt(payload, "head_commit", "committer", "name"),
    );
  let truncated = commits.length >= commitsMax;
  for (const kind of ["added", "modified", "removed"]) {
    const paths = new Set<string>();
    for (const path of commits.flatMap((commit) => textsAt(commit, kind))) {
      if (paths.has(path)) continue;
      if (paths.size >= pathsMax) truncated = true;
      else paths.add(path);
    }
    fields.set(`pipewarden.push.${kind}`, [...paths]);
  }
  const authors = commits.flatMap((commit) => textAt(commit, "author", "email") ?? []);
  fields
    .set("pipewarden.push.authors", [...new Set(authors)].slice(0, pathsMax))
    .set("pipewarden.push.truncated", truncated);
}

export function mapCreateOrDelete(fields: FieldSet, payload: OpenRecord): void {
  fields
    .set("vcs.ref.head.name", shortRef(textAt(payload, "ref")))
    .set("vcs.ref.head.type", textAt(payload, "ref_type"));
}

/** All of it an outsider's own words: title, branch name, repository. */
export function mapPullRequest(fields: FieldSet, payload: OpenRecord): void {
  const pull = valueAt(payload, "pull_request");
  if (!isRecord(pull)) return;
  const head = valueAt(pull, "head", "repo");
  const headId = textAt(head, "id");
  const baseId = textAt(pull, "base", "repo", "id") ?? textAt(payload, "repository", "id");
  // The head's repository is null once a fork is deleted.
  const fork = head === null ? true : headId === undefined ? undefined : headId !== baseId;
  fields
    .set("vcs.change.id", textAt(pull, "number"))
    .set("vcs.ref.head.name", textAt(pull, "head", "ref"))
    .set("vcs.ref.head.revision", textAt(pull, "head", "sha"))
    .set("vcs.ref.base.name", textAt(pull, "base", "ref"))
    .set("vcs.ref.base.revision", textAt(pull, "base", "sha"))
    .set("pipewarden.pull_request.fork", fork)
    .set("pipewarden.pull_request.head_repository", textAt(head, "full_name"))
    .set("pipewarden.pull_request.state", textAt(pull, "state"))
    .set("pipewarden.pull_request.title", textAt(pull, "title"))
    .set("pipewarden.pull_request.merged", booleanAt(pull, "merged"))
    .set("pipewarden.pull_request.merged_by", textAt(pull, "merged_by", "login"))
    .set("pipewarden.pull_request.author", textAt(pull, "user", "login"))
    .set("pipewarden.pull_request.author_association", textAt(pull, "author_association"))
    .set("pipewarden.pull_request.review_state", textAt(payload, "review", "state"))
    .set("pipewarden.pull_request.reviewer", textAt(payload, "review", "user", "login"))
    .set(
      "pipewarden.pull_request.labels",
      listAt(pull, "labels").flatMap((label) => textAt(label, "name") ?? []),
    );
}

export function mapIssue(fields: FieldSet, payload: OpenRecord): void {
  const issue = valueAt(payload, "issue");
  fields
    .set("pipewarden.issue.number", textAt(issue, "number"))
    .set("pipewarden.issue.title", textAt(issue, "title"))
    .set("pipewarden.issue.author", textAt(issue, "user", "login"))
    .set("pipewarden.issue.author_association", textAt(issue, "author_association"));
  // An issue with this key is the conversation of a pull request.
  if (valueAt(issue, "pull_request") !== undefined) {
    fields.set("vcs.change.id", textAt(issue, "number"));
  }
}

export function mapComment(fields: FieldSet, payload: OpenRecord): void {
  mapIssue(fields, payload);
  mapPullRequest(fields, payload);
  const comment = valueAt(payload, "comment");
  fields
    .set("pipewarden.comment.body", textAt(comment, "body"))
    .set("pipewarden.comment.author", textAt(comment, "user", "login"))
    .set("pipewarden.comment.author_association", textAt(comment, "author_association"));
}
