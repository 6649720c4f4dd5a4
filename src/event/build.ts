/**
 * @module BuildContext: the CI run behind an event; repository, workflow, run, job, step, runner,
 * commit.
 */

import type { EpochMs } from "../clock.ts";

export interface Runner {
  readonly name: string;
  readonly id?: string;
  readonly group?: string;
  readonly labels: readonly string[];
  /** True for the provider's own machines, false for self-hosted ones, undefined when not said. */
  readonly hosted?: boolean;
}

/** One run attempt, and the job and step in it when they are known. */
export interface BuildContext {
  /** `owner/name` */
  readonly repository: string;
  readonly workflow: string;
  /** `.github/workflows/nightly.yml` */
  readonly workflowPath?: string;
  /** As text: ids are opaque and may exceed 2^53. */
  readonly runId: string;
  readonly runAttempt: number;
  readonly runNumber?: number;
  readonly runUrl: string;
  readonly jobId?: string;
  readonly job?: string;
  readonly step?: string;
  readonly stepNumber?: number;
  readonly sha: string;
  /** Branch or tag the run is for. */
  readonly ref?: string;
  readonly actor?: string;
  readonly triggeringActor?: string;
  /** The workflow's trigger: push, schedule, pull_request_target, … */
  readonly trigger?: string;
  readonly pullRequest?: number;
  /**
   * True when the code under build comes from another repository than the one the run belongs to.
   */
  readonly fork: boolean;
  /** `owner/name` of the fork. */
  readonly headRepository?: string;
  readonly runner?: Runner;
  /**
   * Names of the secrets passed to the job; undefined when no feed has told, [] when told there are
   * none.
   */
  readonly secretsPassed?: readonly string[];
  readonly environment?: string;
  readonly startedAt?: EpochMs;
  readonly completedAt?: EpochMs;
  readonly conclusion?: string;
}

export type JoinMethod =
  | "job-id"
  | "run-id"
  | "runner-name"
  | "pod"
  | "host"
  | "address"
  | "repository"
  | "none";

/**
 * How an event came by its build. Without a build `method` is "none" and `candidates` may say what
 * it could be.
 */
export interface BuildJoin {
  readonly method: JoinMethod;
  readonly confidence: "exact" | "likely" | "after-job" | "none";
  /**
   * Jobs that would fit equally well, as `owner/name run/attempt job`; empty when the answer is the
   * only one.
   */
  readonly candidates: readonly string[];
}

/**
 * `owner/name#run/attempt`: the identity of one run attempt, in lineage, causal keys and output.
 */
export function runKey(build: Pick<BuildContext, "repository" | "runId" | "runAttempt">): string {
  return `${build.repository.toLowerCase()}#${build.runId}/${build.runAttempt}`;
}

/** Triggers that run in the base repository's name on what an outsider supplied. */
const outsiderTriggers = new Set(["pull_request_target", "issue_comment", "issues", "discussion"]);

/**
 * Whether an outsider could choose what this run executed: a fork's code, or a trigger outsiders
 * pull.
 */
export function isUntrusted(build: BuildContext): boolean {
  return build.fork || (build.trigger !== undefined && outsiderTriggers.has(build.trigger));
}

const confidences: readonly BuildJoin["confidence"][] = ["none", "after-job", "likely", "exact"];

/** How sure a join is, as a number to compare: 0 for none, 3 for exact. */
export function confidenceRank(confidence: BuildJoin["confidence"]): number {
  return confidences.indexOf(confidence);
}

const results: ReadonlyMap<string, string> = new Map([
  ["success", "success"],
  ["failure", "failure"],
  ["startup_failure", "failure"],
  ["timed_out", "timeout"],
  ["cancelled", "cancellation"],
  ["skipped", "skip"],
  ["neutral", "skip"],
  ["stale", "skip"],
]);

/**
 * GitHub's conclusion as OpenTelemetry's `cicd.pipeline.result`; undefined for a run that waits for
 * approval.
 */
export function resultOf(conclusion: string | undefined): string | undefined {
  return conclusion === undefined ? undefined : results.get(conclusion);
}
