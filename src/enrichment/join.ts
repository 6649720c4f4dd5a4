/**
 * @module The routes from an event to its build, best first: job id, run id, runner, pod, host,
 * address.
 */

import type { EpochMs } from "../clock.ts";
import type { BuildContext, BuildJoin, JoinMethod } from "../event/build.ts";
import { type Event, textOf } from "../event/event.ts";
import { addressChangeKey } from "./changes.ts";
import { addressKey } from "./inventory.ts";
import type { Limits, Picked } from "./pick.ts";
import { pickAround, pickJob, pickStep } from "./pick.ts";
import type { RunRecord } from "./records.ts";
import { aroundIn, type Hint, narrowedTo } from "./runner-index.ts";
import { type PodReading, podReadings, readingFits, readingKey } from "./runner-name.ts";
import type { TableView } from "./table-view.ts";
import { type JobView, ownerOf } from "./window.ts";

/** What the join found. Not `settled`: a fact that is still on its way may give another answer. */
export interface Resolution {
  readonly build?: BuildContext;
  readonly join: BuildJoin;
  readonly settled: boolean;
}

/** The shared table, and how far from a job's time its activity may lie. */
export type JoinSources = TableView & Limits;

/** One way an event points at runners. */
interface Route {
  readonly method: JoinMethod;
  readonly readings: readonly PodReading[];
  /** The runner runs one job and is gone: nothing later can claim activity after its job. */
  readonly ephemeral?: true;
  /** Found by an address that goes to another pod soon after. */
  readonly leased?: true;
}

const candidatesMax = 16;
const unknown: Resolution = {
  join: { method: "none", confidence: "none", candidates: [] },
  settled: false,
};

/** What an event points at, read once: the ways to its runners, and the keys it can wait under. */
export interface Pointers {
  readonly routes: readonly Route[];
  /**
   * The keys a fact may find the event by; [] when it names nothing that could be a runner. Those
   * of runners count only at the event's time.
   */
  readonly keys: readonly string[];
  /**
   * The keys of news that would give it more routes: who had its address, or that its host is a
   * runner; [] when it names a pod.
   */
  readonly laterKeys: readonly string[];
}

export function pointersOf(event: Event, sources: JoinSources): Pointers {
  const { jobId, runId } = event.join;
  // An audit entry's address is a person's, and a webhook names its run: the ids say it all.
  const routes = isGithub(event) ? [] : routesOf(event, sources);
  const keys = routes.flatMap((route) => route.readings.map(readingKey));
  if (jobId !== undefined) keys.push(`job:${jobId}`);
  if (runId !== undefined) keys.push(`run:${runId}`);
  return {
    routes,
    keys: keys.length > 1 ? [...new Set(keys)] : keys,
    laterKeys: isGithub(event) ? [] : laterKeysOf(event, sources),
  };
}

function laterKeysOf({ join }: Event, { inventory, book }: JoinSources): readonly string[] {
  const { pod, host, address } = join;
  if (pod !== undefined) return [];
  const keys = address === undefined ? [] : [addressChangeKey(addressKey(address))];
  if (host !== undefined && inventory.runnersOfHost(host).length === 0 && !book.hasRunner(host)) {
    keys.push(readingKey(exactly(host)));
  }
  return keys;
}

/**
 * The best answer of all routes. The first settled one wins; else the first with a build, else the
 * first with candidates.
 */
export function resolve(event: Event, pointers: Pointers, sources: JoinSources): Resolution {
  let best = unknown;
  for (const resolution of resolutions(event, pointers, sources)) {
    if (resolution.settled) return resolution;
    if (worth(resolution) > worth(best)) best = resolution;
  }
  return best;
}

function worth(resolution: Resolution): number {
  if (resolution.build !== undefined) return 2;
  return resolution.join.candidates.length > 0 ? 1 : 0;
}

function* resolutions(
  event: Event,
  { routes }: Pointers,
  sources: JoinSources,
): Iterable<Resolution> {
  const { jobId, runId } = event.join;
  if (jobId !== undefined) yield byJobId(event, sources, jobId);
  if (runId !== undefined) yield byRunId(event, sources, runId);
  for (const route of routes) yield byRunner(event, sources, route);
}

function byJobId(event: Event, { book }: JoinSources, jobId: string): Resolution {
  const views = preferred(event, book.jobsOfJobId(jobId));
  const attempt = event.join.runAttempt;
  const same = views.filter((view) => view.build.runAttempt === attempt);
  const [view, ...others] = same.length > 0 ? same : views;
  if (view === undefined) return unknown;
  if (others.length > 0) return ambiguous([view, ...others]);
  return found(view, event.occurredAt, { method: "job-id", confidence: "exact", candidates: [] });
}

function byRunId(event: Event, sources: JoinSources, runId: string): Resolution {
  const { book, slackMs } = sources;
  const run = attemptOf(event, preferredRuns(event, book.runsOfRunId(runId)));
  if (run === undefined) return unknown;
  // Begun after the event: an earlier attempt may not have been told yet.
  const begun = (run.cells.startedAt?.[0] ?? 0) <= event.occurredAt + slackMs;
  const sure = begun || event.join.runAttempt !== undefined ? "exact" : "likely";
  const join: BuildJoin = { method: "run-id", confidence: sure, candidates: [] };
  const whole: Resolution = { build: book.buildOfRun(run), join, settled: true };
  const jobs = namedJobs(event, book.jobsOfRun(run));
  // What GitHub says of a run is about the run, unless it names the job.
  if (isGithub(event)) return oneOf(event, jobs, join) ?? whole;
  const picked = pickJob(jobs, event.occurredAt, sources);
  if (picked.kind === "one" || picked.kind === "boundary") {
    const confidence = picked.overdue ? "likely" : sure;
    return found(picked.view, event.occurredAt, { ...join, confidence });
  }
  if (picked.kind === "after" && jobs.length === 1) {
    return found(picked.view, event.occurredAt, { ...join, confidence: "likely" });
  }
  // The run is certain, the job is not.
  const several = picked.kind === "many";
  const candidates = several ? candidatesOf(picked.views) : [];
  return { ...whole, join: { ...join, candidates }, settled: several };
}

/** Whether the event is GitHub's own word about a run. */
export function isGithub(event: Event): boolean {
  return event.feed === "github-webhook" || event.feed === "github-audit";
}

/** The job whose name the event gives, when the run has just one of that name. */
function oneOf(event: Event, jobs: readonly JobView[], join: BuildJoin): Resolution | undefined {
  const name = textOf(event.fields, "cicd.pipeline.task.name");
  const [only, ...more] = jobs.filter((view) => name !== undefined && view.build.job === name);
  return only !== undefined && more.length === 0 ? found(only, event.occurredAt, join) : undefined;
}

/** Of the jobs of a run those that the event itself points at, by runner, pod or job name. */
function namedJobs(event: Event, jobs: readonly JobView[]): readonly JobView[] {
  const { runnerName, pod } = event.join;
  const readings = [
    ...(runnerName === undefined ? [] : [exactly(runnerName)]),
    ...(pod === undefined ? [] : podReadings(pod)),
  ];
  const job = textOf(event.fields, "cicd.pipeline.task.name");
  const byRunner = jobs.filter((view) => {
    const name = view.build.runner?.name;
    return name !== undefined && readings.some((reading) => readingFits(reading, name));
  });
  if (byRunner.length > 0) return byRunner;
  const byName = jobs.filter((view) => view.build.job === job);
  return byName.length > 0 ? byName : jobs;
}

function preferredRuns(event: Event, runs: readonly RunRecord[]): readonly RunRecord[] {
  const repository = event.join.repository?.toLowerCase();
  if (repository === undefined) {
    // Two instances of GitHub may use one id; without a repository neither is the answer.
    return new Set(runs.map((run) => run.group)).size > 1 ? [] : runs;
  }
  return runs.filter((run) => run.group.startsWith(`${repository}#`));
}

/** The attempt the event names, else the one that had begun last. */
function attemptOf(event: Event, runs: readonly RunRecord[]): RunRecord | undefined {
  const sorted = [...runs].sort((a, b) => a.runAttempt - b.runAttempt);
  const { runAttempt } = event.join;
  if (runAttempt !== undefined) return sorted.find((run) => run.runAttempt === runAttempt);
  const began = sorted.findLast((run) => (run.cells.startedAt?.[0] ?? 0) <= event.occurredAt);
  return began ?? sorted[0];
}

function routesOf(event: Event, sources: JoinSources): readonly Route[] {
  const { runnerName, pod, host, address } = event.join;
  const { inventory, leases, book } = sources;
  const routes: Route[] = [];
  if (runnerName !== undefined) {
    routes.push({ method: "runner-name", readings: [exactly(runnerName)] });
  }
  if (pod !== undefined) {
    routes.push({ method: "pod", readings: podReadings(pod), ephemeral: true });
  }
  if (host !== undefined) {
    const listed = inventory.runnersOfHost(host);
    // A node carries many pods: its name counts only for events outside any pod.
    const named = pod === undefined && book.hasRunner(host) ? [host] : [];
    const readings = [...new Set([...listed, ...named])].map(exactly);
    if (readings.length > 0) routes.push({ method: "host", readings });
  }
  if (address !== undefined) {
    const readings = inventory.runnersOfAddress(address).map(exactly);
    if (readings.length > 0) routes.push({ method: "address", readings });
    const pods = pod === undefined ? leases.podsAt(address, event.occurredAt) : [];
    // A runner's pod and its job's pod are read alike: one reading is enough.
    const leased = [...new Map(pods.flatMap(podReadings).map((one) => [readingKey(one), one]))];
    if (leased.length > 0)
      routes.push({ method: "address", readings: leased.map(([, one]) => one), leased: true });
  }
  return routes;
}

function exactly(runner: string): PodReading {
  return { key: runner.toLowerCase(), cut: false };
}

function byRunner(event: Event, sources: JoinSources, route: Route): Resolution {
  const { book, slackMs } = sources;
  const found = book.runners.tracksOf(route.readings);
  // An exact name outweighs a cut one, but two runners on one machine are both meant.
  const tracks = route.method === "pod" ? found.slice(0, 1) : found;
  const time = event.occurredAt;
  const all = tracks.map(({ timeline }) => timeline);
  const picked = pickAround(time, aroundIn(all, time, slackMs), sources);
  // Several answers: what the event says of its repository may leave one.
  const fewer = picked.kind === "many" ? narrowedTo(tracks, hintOf(event)) : undefined;
  if (fewer === undefined) return judged(event, route, picked);
  return judged(event, route, pickAround(time, aroundIn(fewer, time, slackMs), sources));
}

function judged(event: Event, route: Route, picked: Picked): Resolution {
  const { method, ephemeral = false, leased = false } = route;
  switch (picked.kind) {
    case "none":
      return unknown;
    case "many":
      return ambiguous(picked.views);
    case "one": {
      const { overdue, view } = picked;
      const confidence = picked.near || leased || overdue ? "likely" : "exact";
      const join: BuildJoin = { method, confidence, candidates: [] };
      // The word of its end may be lost, and that of the next job on its way.
      return { ...found(view, event.occurredAt, join), settled: ephemeral || !overdue };
    }
    case "boundary": {
      const { overdue, view } = picked;
      const candidates = candidatesOf(picked.others);
      const join: BuildJoin = { method, confidence: "likely", candidates };
      return { ...found(view, event.occurredAt, join), settled: ephemeral || !overdue };
    }
    case "after": {
      if (leased && !picked.near) return unknown;
      const confidence = picked.near ? "likely" : "after-job";
      const candidates = candidatesOf(picked.others);
      const join: BuildJoin = { method, confidence, candidates };
      // A runner that lives on may have begun its next job, whose webhook is still on its way.
      return { ...found(picked.view, event.occurredAt, join), settled: ephemeral };
    }
    default:
      return picked satisfies never;
  }
}

function found(view: JobView, time: EpochMs, join: BuildJoin): Resolution {
  const step = join.confidence === "after-job" ? undefined : pickStep(view.steps, time);
  const build: BuildContext =
    step === undefined ? view.build : { ...view.build, step: step.name, stepNumber: step.number };
  return { build, join, settled: true };
}

function ambiguous(views: readonly JobView[]): Resolution {
  const candidates = candidatesOf(views);
  return { join: { method: "none", confidence: "none", candidates }, settled: false };
}

/**
 * The views of the event's repository, else of its owner, else all: a hint narrows, it never
 * excludes.
 */
function preferred(event: Event, views: readonly JobView[]): readonly JobView[] {
  const { repository, owner } = hintOf(event);
  const same = views.filter((view) => view.build.repository.toLowerCase() === repository);
  if (same.length > 0) return same;
  const sameOwner = views.filter((view) => ownerOf(view.build) === owner);
  return sameOwner.length > 0 ? sameOwner : views;
}

function hintOf({ join, fields }: Event): Hint {
  const repository = (join.repository ?? textOf(fields, "vcs.repository.name"))?.toLowerCase();
  const owner =
    repository === undefined
      ? textOf(fields, "vcs.owner.name")?.toLowerCase()
      : ownerOf({ repository });
  return { repository, owner };
}

function candidatesOf(views: readonly JobView[]): readonly string[] {
  return [...new Set(views.map(candidateOf))].sort().slice(0, candidatesMax);
}

/** `owner/name run/attempt job` */
function candidateOf(view: JobView): string {
  const { repository, runId, runAttempt, job } = view.build;
  return `${repository} ${runId}/${runAttempt} ${job ?? ""}`.trimEnd();
}
