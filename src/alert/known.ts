/**
 * @module What is known of a build: which of two copies says more, and what both say together.
 * Pure.
 */

import { type BuildContext, confidenceRank, type Runner, runKey } from "../event/build.ts";
import type { Event } from "../event/event.ts";

/** How sure the join of an event is, as a number; a build that came without a join is certain. */
export function surenessOf({ build, buildJoin }: Event): number {
  if (build === undefined) return 0;
  return confidenceRank(buildJoin?.confidence ?? "exact");
}

/** What the alert stage remembers of the build an event was said to belong to. */
export interface Said {
  readonly event: string;
  readonly run: string;
  readonly sureness: number;
  /** When the job began; ties of two runs go to the later one. -1 when not known. */
  readonly startedAt: number;
  /** Bits of what that copy knew. */
  readonly told: number;
  /** Bits of what any copy of this run knew. */
  readonly known: number;
  /** The most names of secrets any copy of this run gave. */
  readonly secrets: number;
}

/** One bit per detail; a copy that knows all of another one and more has the greater number. */
export function knownBits(build: BuildContext): number {
  const { runner } = build;
  const details: readonly unknown[] = [
    build.workflow || undefined,
    build.sha || undefined,
    build.runUrl || undefined,
    build.workflowPath,
    build.runNumber,
    build.ref,
    build.triggeringActor,
    build.headRepository,
    build.environment,
    build.startedAt,
    build.completedAt,
    build.conclusion,
    runner?.group,
    runner?.hosted,
    runner?.id,
    runner,
    build.actor,
    build.pullRequest,
    build.fork || undefined,
    build.trigger,
    build.stepNumber,
    build.step,
    // One goes with the other: known from two copies they are not known together.
    build.stepNumber === undefined ? undefined : build.step,
    build.jobId,
    build.job,
    build.secretsPassed,
  ];
  let bits = 0;
  for (const [index, detail] of details.entries()) if (detail !== undefined) bits |= 1 << index;
  return bits;
}

export function saidOf(event: Event): Said | undefined {
  const { build } = event;
  if (build === undefined) return undefined;
  const bits = knownBits(build);
  return {
    event: event.id,
    run: runKey(build),
    sureness: surenessOf(event),
    startedAt: build.startedAt ?? -1,
    told: bits,
    known: bits,
    secrets: build.secretsPassed?.length ?? 0,
  };
}

/**
 * A total order of what may be said of one event: the surer join, then the job that began later
 * (on a machine that lives on, the webhooks of its next job are the ones that come late), then the
 * greater run key. Arrival order has no part in it, so any order ends the same. Of one run, the
 * copy that knows more.
 */
export function bySaid(left: Said, right: Said): number {
  return (
    left.sureness - right.sureness ||
    left.startedAt - right.startedAt ||
    compareText(left.run, right.run) ||
    left.told - right.told
  );
}

/** What is to be remembered when both were said of one event. */
export function mergeSaid(left: Said, right: Said): Said {
  const best = bySaid(left, right) >= 0 ? left : right;
  if (left.run !== right.run) return best;
  const secrets = Math.max(left.secrets, right.secrets);
  return { ...best, known: left.known | right.known, secrets };
}

export function isSameSaid(left: Said, right: Said): boolean {
  return bySaid(left, right) === 0 && left.known === right.known && left.secrets === right.secrets;
}

function compareText(left: string, right: string): number {
  if (left === right) return 0;
  return left < right ? -1 : 1;
}

/** A copy of a build with how sure it is. */
export interface Copy {
  readonly build: BuildContext;
  readonly sureness: number;
}

/**
 * What two copies of one run say together: each detail that either knows. Where both know and
 * differ, values decide and never which came first. What belongs to the job comes from one job:
 * the one that is surer, else began later, else has the greater id.
 */
export function fullerBuild(left: Copy, right: Copy): BuildContext {
  const [a, b] = [left.build, right.build];
  const job = isOneJob(a, b) ? joinedJob(a, b) : jobPart(byJob(left, right) >= 0 ? a : b);
  return defined({
    repository: pick(a.repository, b.repository),
    workflow: pick(a.workflow, b.workflow),
    workflowPath: pick(a.workflowPath, b.workflowPath),
    runId: a.runId,
    runAttempt: a.runAttempt,
    runNumber: pick(a.runNumber, b.runNumber),
    runUrl: pick(a.runUrl, b.runUrl),
    sha: pick(a.sha, b.sha),
    ref: pick(a.ref, b.ref),
    actor: pick(a.actor, b.actor),
    triggeringActor: pick(a.triggeringActor, b.triggeringActor),
    trigger: pick(a.trigger, b.trigger),
    pullRequest: pick(a.pullRequest, b.pullRequest),
    fork: a.fork || b.fork,
    headRepository: pick(a.headRepository, b.headRepository),
    ...job,
  });
}

/** The build with what the copy of another match knows of the run; the job stays its own. */
export function fullerRun(own: Copy, build: BuildContext): BuildContext {
  const ofRun = defined({ ...build, ...jobPart(own.build) });
  return fullerBuild(own, { build: ofRun, sureness: own.sureness });
}

type JobPart = { readonly [Name in JobField]: BuildContext[Name] | undefined };
type JobField =
  | "jobId"
  | "job"
  | "step"
  | "stepNumber"
  | "runner"
  | "secretsPassed"
  | "environment"
  | "startedAt"
  | "completedAt"
  | "conclusion";

function jobPart(build: BuildContext): JobPart {
  const { jobId, job, step, stepNumber, runner, secretsPassed } = build;
  const { environment, startedAt, completedAt, conclusion } = build;
  const told = { environment, startedAt, completedAt, conclusion };
  return { jobId, job, step, stepNumber, runner, secretsPassed, ...told };
}

function joinedJob(a: BuildContext, b: BuildContext): JobPart {
  const stepped = (a.stepNumber ?? -1) - (b.stepNumber ?? -1) || compareText(stepOf(a), stepOf(b));
  const { step, stepNumber } = stepped >= 0 ? a : b;
  return {
    jobId: pick(a.jobId, b.jobId),
    job: pick(a.job, b.job),
    step,
    stepNumber,
    runner: pickRunner(a.runner, b.runner),
    secretsPassed: joinNames(a.secretsPassed, b.secretsPassed),
    environment: pick(a.environment, b.environment),
    // The run begins before its job: what is known of the job is later.
    startedAt: pick(a.startedAt, b.startedAt),
    completedAt: pick(a.completedAt, b.completedAt),
    conclusion: pick(a.conclusion, b.conclusion),
  };
}

function stepOf(build: BuildContext): string {
  return build.step ?? "";
}

function isOneJob(a: BuildContext, b: BuildContext): boolean {
  if (a.jobId !== undefined && b.jobId !== undefined) return a.jobId === b.jobId;
  return a.job === undefined || b.job === undefined || a.job === b.job;
}

function byJob(left: Copy, right: Copy): number {
  const [a, b] = [left.build, right.build];
  return (
    left.sureness - right.sureness ||
    (a.startedAt ?? -1) - (b.startedAt ?? -1) ||
    compareText(a.jobId ?? "", b.jobId ?? "") ||
    compareText(a.job ?? "", b.job ?? "")
  );
}

/** The known one; of two the greater. An empty text is not known. */
function pick<T extends string | number | undefined>(left: T, right: T): T {
  if (left === undefined || left === "") return right;
  if (right === undefined || right === "") return left;
  return left >= right ? left : right;
}

function pickRunner(left: Runner | undefined, right: Runner | undefined): Runner | undefined {
  if (left === undefined || right === undefined) return left ?? right;
  const more = Object.keys(left).length - Object.keys(right).length;
  const labels = left.labels.length - right.labels.length;
  const order = more || labels || compareText(JSON.stringify(left), JSON.stringify(right));
  return order >= 0 ? left : right;
}

/** The longer list where it holds the other, else all names in order of the alphabet. */
function joinNames(
  left: readonly string[] | undefined,
  right: readonly string[] | undefined,
): readonly string[] | undefined {
  if (left === undefined || right === undefined) return left ?? right;
  const [mine, yours] = [new Set(left), new Set(right)];
  const [holds, isHeld] = [right.every((name) => mine.has(name)), left.every((n) => yours.has(n))];
  if (holds && isHeld)
    return compareText(JSON.stringify(left), JSON.stringify(right)) > 0 ? right : left;
  if (holds) return left;
  return isHeld ? right : [...new Set([...left, ...right])].sort();
}

type Loose<T> = { readonly [Name in keyof T]: T[Name] | undefined };

/** Without the details that are not known. */
function defined(build: Loose<BuildContext>): BuildContext {
  const entries = Object.entries(build).filter(([, value]) => value !== undefined);
  return Object.fromEntries(entries) as unknown as BuildContext;
}
