/**
 * @module All that is known of one run: its attempts, jobs and prepared entries, and their views.
 */

import type { EpochMs } from "../clock.ts";
import type { BuildContext } from "../event/build.ts";
import { jobView, namesJob, preparedCovers, preparedView, runStartedAt } from "./job-view.ts";
import { branchKey, commitKey } from "./pulls.ts";
import type { JobRecord, PreparedRecord, RunRecord } from "./records.ts";
import type { JobView } from "./window.ts";

/** The records by their keys in the tables, and what was last computed from them. */
export interface Group {
  readonly name: string;
  readonly runs: Map<string, RunRecord>;
  readonly jobs: Map<string, JobRecord>;
  readonly prepared: Map<string, PreparedRecord>;
  /** Builds of the attempts, by run. */
  readonly builds: Map<string, BuildContext>;
  /** Views by the key of the job or prepared record they come from. */
  readonly views: Map<string, readonly JobView[]>;
  /** Keys of the pull requests these runs may belong to. */
  readonly heads: Set<string>;
  /** Runner names ever told, lower case. */
  readonly runners: Set<string>;
  lastAt: EpochMs;
}

export function emptyGroup(name: string, lastAt: EpochMs): Group {
  return {
    name,
    runs: new Map(),
    jobs: new Map(),
    prepared: new Map(),
    builds: new Map(),
    views: new Map(),
    heads: new Set(),
    runners: new Set(),
    lastAt,
  };
}

/**
 * The view of the job of this key; for a prepared record a view for each entry that covers no job.
 * `buildOf` gives the build of an attempt.
 */
export function viewsOf(
  group: Group,
  key: string,
  buildOf: (key: string, run: RunRecord) => BuildContext,
): readonly JobView[] {
  const job = group.jobs.get(key);
  if (job !== undefined) {
    const run = group.runs.get(job.run);
    if (run === undefined) return [];
    const prepared = preparedOf(group, job);
    return [jobView(key, { job, run, runBuild: buildOf(job.run, run), prepared })];
  }
  const record = group.prepared.get(key);
  if (record === undefined) return [];
  const jobs = [...group.jobs.values()].filter((one) => namesJob(record, one.cells.job?.[0]));
  const views = record.entries.flatMap((entry) => {
    if (jobs.some((one) => preparedCovers({ record, entry }, one))) return [];
    const [runName, run] = latestRunAt(group.runs, entry.at) ?? [];
    const runBuild = runName === undefined || run === undefined ? undefined : buildOf(runName, run);
    // A matrix may be prepared for several runners at once.
    const name = `${key}@${entry.at}@${entry.runner?.name ?? ""}`;
    return preparedView(name, { record, entry, run, runBuild });
  });
  return [...new Map(views.map((view) => [view.key, view])).values()];
}

/** Keys of the prepared records that may speak of a job of any of these names. */
export function preparedNaming(
  group: Group,
  names: readonly (string | undefined)[],
): readonly string[] {
  if (group.prepared.size === 0) return [];
  return [...group.prepared]
    .filter(([, record]) => names.some((name) => namesJob(record, name)))
    .map(([key]) => key);
}

/** Keys of the jobs a prepared record may speak of. */
export function jobsNamedBy(group: Group, record: PreparedRecord): readonly string[] {
  return [...group.jobs]
    .filter(([, job]) => namesJob(record, job.cells.job?.[0]))
    .map(([key]) => key);
}

/** Keys of the jobs of one attempt. */
export function jobsOfAttempt(group: Group, run: string): readonly string[] {
  return [...group.jobs].filter(([, job]) => job.run === run).map(([key]) => key);
}

/** The keys under which a run's pull request may be told. */
export function headKeys(run: RunRecord): readonly string[] {
  const { cells, group } = run;
  const repository = group.slice(0, group.lastIndexOf("#"));
  const keys: string[] = [];
  const sha = cells.sha?.[0];
  if (sha !== undefined) keys.push(commitKey(repository, sha));
  const ref = cells.ref?.[0];
  const head = cells.headRepository?.[0] ?? (cells.fork?.[0] === false ? repository : undefined);
  if (ref !== undefined && head !== undefined) keys.push(branchKey(repository, head, ref));
  return keys;
}

/** The records of which an entry covers the job. */
function preparedOf(group: Group, job: JobRecord): readonly PreparedRecord[] {
  if (group.prepared.size === 0) return [];
  return [...group.prepared.values()].filter((record) => {
    return record.entries.some((entry) => preparedCovers({ record, entry }, job));
  });
}

/** The attempt that was running, or about to, at this time. */
function latestRunAt(
  runs: ReadonlyMap<string, RunRecord>,
  at: EpochMs,
): readonly [string, RunRecord] | undefined {
  const sorted = [...runs].sort(([, a], [, b]) => a.runAttempt - b.runAttempt);
  return sorted.findLast(([, run]) => (runStartedAt(run) ?? 0) <= at) ?? sorted[0];
}
