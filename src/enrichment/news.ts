/** @module What a later fact could still add to an answer, and whether one did. Pure. */

import { type BuildContext, confidenceRank } from "../event/build.ts";
import type { Event } from "../event/event.ts";
import { isGithub, type Resolution } from "./join.ts";
import { groupKey } from "./records.ts";
import type { Waiter } from "./remembered.ts";
import type { Tells } from "./told.ts";

/**
 * Whether a settled answer could become better: it is not exact, or does not know what decides
 * about trust. GitHub's own events say themselves which run and job they are about.
 */
export function couldImprove(event: Event, { build, join }: Resolution, tells: Tells): boolean {
  if (build === undefined || join.confidence !== "exact" || lacksRun(build)) return true;
  if (isGithub(event)) return false;
  if (build.job === undefined || (tells.secrets && build.secretsPassed === undefined)) return true;
  // The audit log names a job without its matrix.
  return tells.jobIds && build.jobId === undefined;
}

/**
 * A run of a pull request may tell its trigger (the audit log) before it is known whose code it
 * builds.
 */
function lacksRun({ trigger, pullRequest }: BuildContext): boolean {
  if (trigger === undefined) return true;
  return trigger.startsWith("pull_request") && pullRequest === undefined;
}

/**
 * Whether a resolution says more of the event than what was said: a build, a surer one, another one
 * as sure, or a missing detail of the same.
 */
export function isNews({ event, said }: Waiter, resolution: Resolution): boolean {
  const { build, join, settled } = resolution;
  if (build === undefined) return false;
  if (said === undefined) return settled;
  const old = said.build;
  if (old === undefined) return true;
  const surer = confidenceRank(join.confidence) - confidenceRank(said.join.confidence);
  if (surer > 0) return true;
  if (!sameJob(old, build)) return surer === 0;
  return tellsMoreOfRun(build, old) || (!isGithub(event) && tellsMoreOfJob(build, old));
}

function sameJob(a: BuildContext, b: BuildContext): boolean {
  return groupKey(a) === groupKey(b) && a.runAttempt === b.runAttempt && a.job === b.job;
}

function tellsMoreOfRun(build: BuildContext, old: BuildContext): boolean {
  return (
    (old.trigger === undefined && build.trigger !== undefined) ||
    (old.pullRequest === undefined && build.pullRequest !== undefined) ||
    (!old.fork && build.fork)
  );
}

/** Another attempt's secrets stand in until those of this one are told. */
function tellsMoreOfJob(build: BuildContext, old: BuildContext): boolean {
  const { jobId, secretsPassed } = build;
  if (old.jobId === undefined && jobId !== undefined) return true;
  if (secretsPassed === undefined) return false;
  return JSON.stringify(secretsPassed) !== JSON.stringify(old.secretsPassed);
}
