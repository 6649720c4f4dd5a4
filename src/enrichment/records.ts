/**
 * @module What the build table keeps of a run attempt, a job, a prepared job and a pull request.
 */

import type { EpochMs } from "../clock.ts";
import type { BuildContext, Runner } from "../event/build.ts";
import type { BuildStep, RunFact } from "./build-fact.ts";
import type { Cells } from "./cells.ts";

/** Values that belong to the whole run attempt. */
export type RunValues = Required<
  Pick<
    BuildContext,
    | "repository"
    | "workflow"
    | "workflowPath"
    | "runNumber"
    | "runUrl"
    | "sha"
    | "ref"
    | "actor"
    | "triggeringActor"
    | "trigger"
    | "pullRequest"
    | "fork"
    | "headRepository"
    | "startedAt"
    | "completedAt"
    | "conclusion"
  >
>;

export const runValueNames: readonly (keyof RunValues)[] = [
  "repository",
  "workflow",
  "workflowPath",
  "runNumber",
  "runUrl",
  "sha",
  "ref",
  "actor",
  "triggeringActor",
  "trigger",
  "pullRequest",
  "fork",
  "headRepository",
  "startedAt",
  "completedAt",
  "conclusion",
];

/** Of those, what a job's fact tells about its run. */
export const runValueNamesOfJob: readonly (keyof RunValues)[] = [
  "repository",
  "workflow",
  "runUrl",
  "sha",
  "ref",
];

/** Values that belong to one job. */
export interface JobValues {
  readonly job: string;
  readonly runner: Runner;
  readonly environment: string;
  readonly startedAt: EpochMs;
  readonly completedAt: EpochMs;
  readonly conclusion: string;
  readonly steps: readonly BuildStep[];
}

export const jobValueNames: readonly (keyof JobValues)[] = [
  "job",
  "runner",
  "environment",
  "startedAt",
  "completedAt",
  "conclusion",
  "steps",
];

export interface RunRecord {
  /** `owner/name#run`: all attempts together. */
  readonly group: string;
  readonly runId: string;
  readonly runAttempt: number;
  readonly cells: Cells<RunValues>;
  /** Time of the latest fact, for forgetting the oldest. */
  readonly lastAt: EpochMs;
}

export interface JobRecord {
  readonly group: string;
  /** The `runKey` of its attempt. */
  readonly run: string;
  readonly jobId: string;
  readonly cells: Cells<JobValues>;
}

/**
 * One "prepared" entry of the audit log: a job of this name was given these secrets on this runner.
 */
export interface Prepared {
  readonly at: EpochMs;
  readonly runner?: Runner;
  readonly secretsPassed?: readonly string[];
  readonly environment?: string;
}

/** All prepared entries of one run and job name: several when the run has several attempts. */
export interface PreparedRecord {
  readonly group: string;
  readonly repository: string;
  readonly runId: string;
  readonly job: string;
  readonly entries: readonly Prepared[];
}

/** A pull request that had this head at this time. */
export interface Pull {
  readonly at: EpochMs;
  readonly number: number;
  readonly fork: boolean;
  readonly headRepository?: string;
}

/** `owner/name#run`, without the attempt. */
export function groupKey(build: { readonly repository: string; readonly runId: string }): string {
  return `${build.repository.toLowerCase()}#${build.runId}`;
}

/** How far a run or job had come when the fact was told. */
export function rankOf(status: RunFact["status"]): number {
  if (status === "completed") return 3;
  if (status === "in_progress") return 2;
  return status === "queued" ? 1 : 0;
}

/**
 * `list` with `item` in it, once, in order of time, and at most the newest `max`. Keeping the
 * newest of the union makes the order of arrival irrelevant; the same list when nothing changes.
 */
export function withEntry<T extends { readonly at: EpochMs }>(
  list: readonly T[],
  item: T,
  max: number,
): readonly T[] {
  const text = JSON.stringify(item);
  if (list.some((other) => JSON.stringify(other) === text)) return list;
  const sorted = [...list, item].sort((a, b) => {
    return a.at - b.at || (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1);
  });
  const newest = sorted.slice(-max);
  return newest.length === list.length && newest.every((other, index) => other === list[index])
    ? list
    : newest;
}
