/** @module Writes a build into an event's fields (docs/fields.md, "Added by the join"). */

import { type BuildContext, type BuildJoin, isUntrusted, resultOf } from "../event/build.ts";
import type { Event, Fields, FieldValue } from "../event/event.ts";
import { known } from "./payload.ts";

/**
 * The event with its build. What the event says itself is kept: the join adds and never overwrites.
 */
export function withBuild(event: Event, build: BuildContext, buildJoin: BuildJoin): Event {
  const added = { ...buildFields(build), ...joinFields(buildJoin) };
  return { ...event, fields: { ...added, ...event.fields }, build, buildJoin };
}

/** The event marked as looked at and not joined, with the jobs it could belong to. */
export function withoutBuild(event: Event, candidates: readonly string[]): Event {
  const buildJoin: BuildJoin = { method: "none", confidence: "none", candidates };
  return { ...event, fields: { ...joinFields(buildJoin), ...event.fields }, buildJoin };
}

function joinFields(join: BuildJoin): Fields {
  return {
    "pipewarden.join.method": join.method,
    "pipewarden.join.confidence": join.confidence,
    ...(join.candidates.length > 0 ? { "pipewarden.join.candidates": join.candidates } : {}),
  };
}

function buildFields(build: BuildContext): Fields {
  const { runner } = build;
  const jobKnown = build.job !== undefined;
  const values = {
    "vcs.repository.name": build.repository,
    "vcs.owner.name": build.repository.split("/")[0],
    "vcs.ref.head.name": build.ref,
    "vcs.ref.head.revision": build.sha === "" ? undefined : build.sha,
    "vcs.change.id": build.pullRequest === undefined ? undefined : String(build.pullRequest),
    "cicd.pipeline.name": build.workflow === "" ? undefined : build.workflow,
    "cicd.pipeline.run.id": build.runId,
    "cicd.pipeline.run.url.full": build.runUrl,
    // Of a build with a job, the conclusion is the job's.
    "cicd.pipeline.result": jobKnown ? undefined : resultOf(build.conclusion),
    "cicd.pipeline.task.name": build.job,
    "cicd.pipeline.task.run.id": build.jobId,
    "cicd.worker.name": runner?.name,
    "cicd.worker.id": runner?.id,
    "pipewarden.run.attempt": build.runAttempt,
    "pipewarden.run.trigger": build.trigger,
    "pipewarden.run.actor": build.actor,
    "pipewarden.run.trust": trustOf(build),
    "pipewarden.run.fork": build.fork || build.trigger !== undefined ? build.fork : undefined,
    "pipewarden.run.head_repository": build.headRepository,
    "pipewarden.run.secrets_passed": build.secretsPassed,
    "pipewarden.run.step": build.step,
    "pipewarden.run.environment": build.environment,
    "pipewarden.run.workflow_path": build.workflowPath,
    "pipewarden.runner.hosted": runner?.hosted,
    "pipewarden.runner.labels": runner?.labels,
    "pipewarden.runner.group": runner?.group,
  };
  return known<Record<string, FieldValue>>(values);
}

/** Without the trigger nothing is known of the run itself yet, and "trusted" would be a guess. */
function trustOf(build: BuildContext): string | undefined {
  if (isUntrusted(build)) return "untrusted";
  return build.trigger === undefined ? undefined : "trusted";
}
