/**
 * @module From records to builds: a run, its job, and what the audit log prepared for it, as one
 * BuildContext. Pure.
 */

import { type EpochMs, minuteMs } from "../clock.ts";
import type { BuildContext } from "../event/build.ts";
import { known } from "./payload.ts";
import type { Head } from "./pulls.ts";
import type { JobRecord, Prepared, PreparedRecord, Pull, RunRecord } from "./records.ts";
import type { JobView } from "./window.ts";

/** A job is prepared shortly before it starts; two services stamp the two. */
const preparedSlackMs = minuteMs;

/**
 * The build of a run attempt, without a job. `findPull` is asked where the run does not tell its
 * pull request.
 */
export function runBuild(run: RunRecord, findPull: (head: Head) => Pull | undefined): BuildContext {
  const { cells, group, runId, runAttempt } = run;
  const repository = cells.repository?.[0] ?? group.slice(0, group.lastIndexOf("#"));
  const trigger = cells.trigger?.[0];
  const fork = cells.fork?.[0];
  const headRepository = cells.headRepository?.[0] ?? (fork === false ? repository : undefined);
  const pull = findPull(
    known<Head>({
      repository,
      sha: cells.sha?.[0],
      ref: cells.ref?.[0],
      headRepository,
      trigger,
      at: cells.startedAt?.[0],
    }),
  );
  const fromFork = fork ?? pull?.fork ?? false;
  return known<BuildContext>({
    repository,
    workflow: cells.workflow?.[0] ?? "",
    workflowPath: cells.workflowPath?.[0],
    runId,
    runAttempt,
    runNumber: cells.runNumber?.[0],
    runUrl: cells.runUrl?.[0] ?? defaultRunUrl(repository, runId, runAttempt),
    jobId: undefined,
    job: undefined,
    step: undefined,
    stepNumber: undefined,
    sha: cells.sha?.[0] ?? "",
    ref: cells.ref?.[0],
    actor: cells.actor?.[0],
    triggeringActor: cells.triggeringActor?.[0],
    trigger,
    pullRequest: cells.pullRequest?.[0] ?? pull?.number,
    fork: fromFork,
    headRepository: fromFork ? (cells.headRepository?.[0] ?? pull?.headRepository) : undefined,
    runner: undefined,
    secretsPassed: undefined,
    environment: undefined,
    startedAt: cells.startedAt?.[0],
    completedAt: cells.completedAt?.[0],
    conclusion: cells.conclusion?.[0],
  });
}

export function runStartedAt(run: RunRecord): EpochMs | undefined {
  return run.cells.startedAt?.[0];
}

/** The audit log names no address of the instance, and only github.com streams one. */
function defaultRunUrl(repository: string, runId: string, attempt: number): string {
  const tail = attempt > 1 ? `/attempts/${attempt}` : "";
  return `https://github.com/${repository}/actions/runs/${runId}${tail}`;
}

/**
 * Whether a prepared entry speaks of this job: the same name (or its matrix: `test` prepares `test
 * (a, b)`), and no other runner. A re-run is prepared again, on another runner or later.
 */
export function preparedCovers(
  prepared: { readonly record: PreparedRecord; readonly entry: Prepared },
  job: JobRecord,
): boolean {
  const { record, entry } = prepared;
  if (!namesJob(record, job.cells.job?.[0])) return false;
  const runner = job.cells.runner?.[0].name;
  const other = entry.runner?.name;
  return runner === undefined || other === undefined || same(runner, other);
}

/** Whether a prepared record bears a job's name, or the name of its matrix. */
export function namesJob(record: PreparedRecord, name: string | undefined): boolean {
  if (name === undefined || !name.startsWith(record.job)) return false;
  return name.length === record.job.length || name.startsWith(" (", record.job.length);
}

export interface JobParts {
  readonly job: JobRecord;
  readonly run: RunRecord;
  readonly runBuild: BuildContext;
  /** Records of which an entry covers the job. */
  readonly prepared: readonly PreparedRecord[];
}

/** A job told by a webhook, completed by what was prepared for it. */
export function jobView(key: string, parts: JobParts): JobView {
  const { job, run } = parts;
  const { cells } = job;
  const prepared = preparedFor(parts);
  const startedAt = cells.startedAt?.[0] ?? startedBy(prepared);
  const own = cells.runner?.[0];
  const runner = own ?? prepared?.runner;
  const hosted = runner?.hosted ?? prepared?.runner?.hosted;
  const build: BuildContext = {
    ...withoutTimes(parts.runBuild),
    ...known<Partial<BuildContext>>({
      jobId: job.jobId,
      job: cells.job?.[0],
      runner: runner === undefined || hosted === undefined ? runner : { ...runner, hosted },
      secretsPassed: prepared?.secretsPassed,
      environment: cells.environment?.[0] ?? prepared?.environment,
      startedAt,
      completedAt: cells.completedAt?.[0],
      conclusion: cells.conclusion?.[0],
    }),
  };
  const endAt = cells.completedAt?.[0] ?? endOf(run, startedAt);
  return { key, build, startedAt, endAt, steps: cells.steps?.[0] ?? [] };
}

/** Prepared without a runner says nothing about a start. */
function startedBy(prepared: Prepared | undefined): EpochMs | undefined {
  return prepared?.runner === undefined ? undefined : prepared.at;
}

/** The entry that came last before the job started; the exact name before the matrix name. */
function preparedFor(parts: JobParts): Prepared | undefined {
  const { job, prepared } = parts;
  const exact = prepared.filter((record) => record.job === job.cells.job?.[0]);
  const entries = (exact.length > 0 ? exact : prepared)
    .flatMap((record) => {
      return record.entries.filter((entry) => preparedCovers({ record, entry }, job));
    })
    .sort((a, b) => a.at - b.at || (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1));
  const until = (job.cells.startedAt?.[0] ?? Number.POSITIVE_INFINITY) + preparedSlackMs;
  return entries.findLast((entry) => entry.at <= until) ?? entries[0];
}

/** A job whose end was lost ended, at the latest, with its run. */
function endOf(run: RunRecord, startedAt: EpochMs | undefined): EpochMs | undefined {
  const end = run.cells.completedAt?.[0];
  return end !== undefined && startedAt !== undefined && end >= startedAt ? end : undefined;
}

export interface PreparedParts {
  readonly record: PreparedRecord;
  readonly entry: Prepared;
  readonly run: RunRecord | undefined;
  readonly runBuild: BuildContext | undefined;
}

/** A job that only the audit log told of: no webhook reached us for it. */
export function preparedView(key: string, parts: PreparedParts): JobView {
  const { record, entry, run } = parts;
  const base = parts.runBuild ?? bareBuild(record);
  const build: BuildContext = {
    ...withoutTimes(base),
    ...known<Partial<BuildContext>>({
      job: record.job,
      runner: entry.runner,
      secretsPassed: entry.secretsPassed,
      environment: entry.environment,
      startedAt: entry.at,
    }),
  };
  const endAt = run === undefined ? undefined : endOf(run, entry.at);
  return { key, build, startedAt: entry.at, endAt, steps: [] };
}

function bareBuild(record: PreparedRecord): BuildContext {
  const { repository, runId } = record;
  return {
    repository,
    workflow: "",
    runId,
    runAttempt: 1,
    runUrl: defaultRunUrl(repository, runId, 1),
    sha: "",
    fork: false,
  };
}

/** Start, end and conclusion of a build with a job are the job's. */
function withoutTimes(build: BuildContext): BuildContext {
  const { startedAt: _start, completedAt: _end, conclusion: _conclusion, ...rest } = build;
  return rest;
}

function same(a: string, b: string): boolean {
  return a.toLowerCase() === b.toLowerCase();
}
