/**
 * @module What is known of runs and jobs: facts merged in, kept in State, found by id and by runner
 * name.
 */

import type { EpochMs } from "../clock.ts";
import type { BuildContext } from "../event/build.ts";
import type { State, StateTable } from "../state/state.ts";
import type { BuildFact } from "./build-fact.ts";
import { mergeCells } from "./cells.ts";
import { jobView, preparedCovers, preparedView, runBuild, runStartedAt } from "./job-view.ts";
import type { JobView } from "./pick.ts";
import { createPulls, type Pulls } from "./pulls.ts";
import {
  groupKey,
  type JobRecord,
  jobValueNames,
  type PreparedRecord,
  type RunRecord,
  rankOf,
  runValueNames,
  runValueNamesOfJob,
  withEntry,
} from "./records.ts";
import { type PodReading, readingFits, runnerKeys } from "./runner-name.ts";

/** All attempts, jobs and prepared entries of one run, by their keys in the tables. */
interface Group {
  readonly runs: Set<string>;
  readonly jobs: Set<string>;
  readonly prepared: Set<string>;
  /** Views as last computed; forgotten with each fact about the group or a pull request. */
  readonly views: Map<string, readonly JobView[]>;
  viewsAt: number;
  lastAt: EpochMs;
}

const preparedMax = 16;

/**
 * The runs and jobs. The tables are the truth; the maps beside them are rebuilt from the tables.
 */
export class RunBook {
  readonly #runs: StateTable<RunRecord>;
  readonly #jobs: StateTable<JobRecord>;
  readonly #prepared: StateTable<PreparedRecord>;
  readonly #pulls: Pulls;
  readonly #groups = new Map<string, Group>();
  readonly #groupsOfRunId = new Map<string, Set<string>>();
  readonly #jobsOfJobId = new Map<string, Set<string>>();
  /** Groups in which a runner was named, under each of the runner's keys. */
  readonly #groupsOfRunner = new Map<string, Map<string, Set<string>>>();
  readonly #groupsOfHead = new Map<string, Set<string>>();
  readonly #recordsMax: number;
  #evicted = 0;
  #pullsLearned = 0;

  constructor(state: State, recordsMax: number) {
    this.#runs = state.table("runs");
    this.#jobs = state.table("jobs");
    this.#prepared = state.table("prepared");
    this.#pulls = createPulls(state, recordsMax);
    this.#recordsMax = recordsMax;
    for (const [key, run] of this.#runs.entries()) this.#noteRun(key, run);
    for (const [key, job] of this.#jobs.entries()) this.#noteJob(key, job);
    for (const [key, record] of this.#prepared.entries()) this.#notePrepared(key, record);
  }

  get size(): number {
    return this.#runs.size + this.#jobs.size + this.#prepared.size;
  }

  get evicted(): number {
    return this.#evicted;
  }

  get pullsEvicted(): number {
    return this.#pulls.evicted;
  }

  /** Merges a fact in; answers the groups it may have changed. */
  learn(fact: BuildFact): readonly string[] {
    if (fact.build.runId === "") {
      const [commit] = this.#pulls.learn(fact);
      this.#pullsLearned += 1;
      return commit === undefined ? [] : [...(this.#groupsOfHead.get(commit) ?? [])];
    }
    if (fact.build.runAttempt === 0) this.#learnPrepared(fact);
    else this.#learnRun(fact);
    this.#groups.get(groupKey(fact.build))?.views.clear();
    if (this.size > this.#recordsMax) this.#evictOldest();
    return [groupKey(fact.build)];
  }

  /**
   * Job views of these groups in which the runner of this reading is named, by the reading's key.
   */
  jobsOfRunner(reading: PodReading): readonly JobView[] {
    const views: JobView[] = [];
    for (const keys of this.#groupsOfRunner.get(reading.key)?.values() ?? []) {
      for (const key of keys) views.push(...this.#viewsOf(key));
    }
    return uniqueViews(views).filter((view) => {
      const runner = view.build.runner?.name;
      return runner !== undefined && readingFits(reading, runner);
    });
  }

  /** Whether a runner of this name was ever named. */
  hasRunner(name: string): boolean {
    return this.#groupsOfRunner.has(name.toLowerCase());
  }

  jobsOfJobId(jobId: string): readonly JobView[] {
    const keys = this.#jobsOfJobId.get(jobId) ?? [];
    return [...keys].flatMap((key) => this.#viewsOf(key));
  }

  /** The run attempts with this id; of several instances of GitHub there may be several. */
  runsOfRunId(runId: string): readonly RunRecord[] {
    return [...(this.#groupsOfRunId.get(runId) ?? [])].flatMap((group) => {
      const keys = this.#groups.get(group)?.runs ?? [];
      return [...keys].flatMap((key) => this.#runs.get(key) ?? []);
    });
  }

  /** The jobs of one attempt. */
  jobsOfRun(run: RunRecord): readonly JobView[] {
    const group = this.#groups.get(run.group);
    if (group === undefined) return [];
    const keys = [...group.jobs, ...group.prepared];
    return uniqueViews(keys.flatMap((key) => this.#viewsOf(key))).filter((view) => {
      return view.build.runAttempt === run.runAttempt;
    });
  }

  buildOfRun(run: RunRecord): BuildContext {
    return runBuild(run, (head) => this.#pulls.find(head));
  }

  /**
   * The names of the runners whose events a fact may concern: of its job, or of all jobs of its
   * run.
   */
  runnersOf(fact: BuildFact): readonly string[] {
    const name = fact.build.job;
    const own = fact.build.runner?.name;
    const group = this.#groups.get(groupKey(fact.build));
    if (group === undefined || fact.build.runId === "") return [];
    if (fact.job === undefined || name === undefined) return this.#allRunners(group);
    const job = this.#jobs.get(`${fact.run}|${fact.job}`)?.cells.runner?.[0].name;
    const prepared = [...group.prepared].flatMap((key) => this.#prepared.get(key) ?? []);
    const related = prepared.filter((record) => record.job === name || name.startsWith(record.job));
    const names = related.flatMap((record) => record.entries.map((entry) => entry.runner?.name));
    return known([own, job, ...names]);
  }

  #allRunners(members: Group): readonly string[] {
    const jobs = [...members.jobs].map((key) => this.#jobs.get(key)?.cells.runner?.[0].name);
    const prepared = [...members.prepared].flatMap((key) => {
      return (this.#prepared.get(key)?.entries ?? []).map((entry) => entry.runner?.name);
    });
    return known([...jobs, ...prepared]);
  }

  #learnRun(fact: BuildFact): void {
    const { build, occurredAt: at } = fact;
    const group = groupKey(build);
    const old = this.#runs.get(fact.run);
    const ofJob = fact.job !== undefined;
    const cells = mergeCells(old?.cells ?? {}, {
      values: build,
      names: ofJob ? runValueNamesOfJob : runValueNames,
      // What a job says of its run never outweighs what the run says.
      rank: ofJob ? 0 : rankOf(fact.status) + 1,
      at,
    });
    const lastAt = Math.max(old?.lastAt ?? at, at);
    const { runId, runAttempt } = build;
    const run: RunRecord = { group, runId, runAttempt, cells, lastAt };
    if (old === undefined || cells !== old.cells || lastAt !== old.lastAt) {
      this.#runs.put(fact.run, run);
    }
    this.#noteRun(fact.run, run);
    if (fact.job !== undefined) this.#learnJob(fact, fact.job);
  }

  #learnJob(fact: BuildFact, jobId: string): void {
    const key = `${fact.run}|${jobId}`;
    const old = this.#jobs.get(key);
    const { steps } = fact;
    const cells = mergeCells(old?.cells ?? {}, {
      values: { ...fact.build, ...(steps === undefined ? {} : { steps }) },
      names: jobValueNames,
      rank: rankOf(fact.status),
      at: fact.occurredAt,
    });
    const job: JobRecord = { group: groupKey(fact.build), run: fact.run, jobId, cells };
    if (old === undefined || cells !== old.cells) this.#jobs.put(key, job);
    this.#noteJob(key, job);
  }

  #learnPrepared(fact: BuildFact): void {
    const { job, runner, secretsPassed, environment, repository, runId } = fact.build;
    if (job === undefined) return;
    const group = groupKey(fact.build);
    const key = `${group}|name:${job}`;
    const old = this.#prepared.get(key);
    const entry = {
      at: fact.occurredAt,
      ...(runner === undefined ? {} : { runner }),
      ...(secretsPassed === undefined ? {} : { secretsPassed }),
      ...(environment === undefined ? {} : { environment }),
    };
    const entries = withEntry(old?.entries ?? [], entry, preparedMax);
    if (entries === old?.entries) return;
    const record: PreparedRecord = { group, repository, runId, job, entries };
    this.#prepared.put(key, record);
    this.#notePrepared(key, record);
  }

  /**
   * The job of this key; for a prepared record the jobs it covers, and a job for each entry that
   * covers none.
   */
  #viewsOf(key: string): readonly JobView[] {
    const job = this.#jobs.get(key);
    const record = this.#prepared.get(key);
    const group = this.#groups.get(job?.group ?? record?.group ?? "");
    if (group === undefined) return [];
    if (group.viewsAt !== this.#pullsLearned) group.views.clear();
    group.viewsAt = this.#pullsLearned;
    const known = group.views.get(key);
    if (known !== undefined) return known;
    const views =
      job === undefined ? this.#viewsOfPrepared(key, record, group) : this.#viewOfJob(key, job);
    group.views.set(key, views);
    return views;
  }

  #viewsOfPrepared(
    key: string,
    record: PreparedRecord | undefined,
    group: Group,
  ): readonly JobView[] {
    if (record === undefined) return [];
    const jobs = [...group.jobs].flatMap((other): [string, JobRecord][] => {
      const found = this.#jobs.get(other);
      return found === undefined ? [] : [[other, found]];
    });
    const runs = [...group.runs].flatMap((other) => this.#runs.get(other) ?? []);
    return record.entries.flatMap((entry) => {
      const covered = jobs.filter(([, other]) => preparedCovers({ record, entry }, other));
      if (covered.length > 0) return covered.flatMap((pair) => this.#viewOfJob(...pair));
      const run = latestRunAt(runs, entry.at);
      const runBuild = run === undefined ? undefined : this.buildOfRun(run);
      return preparedView(`${key}@${entry.at}`, { record, entry, run, runBuild });
    });
  }

  #viewOfJob(key: string, job: JobRecord): readonly JobView[] {
    const run = this.#runs.get(job.run);
    const group = this.#groups.get(job.group);
    if (run === undefined || group === undefined) return [];
    const prepared = this.#preparedOf(group, job);
    return [jobView(key, { job, run, runBuild: this.buildOfRun(run), prepared })];
  }

  #preparedOf(group: Group, job: JobRecord): readonly PreparedRecord[] {
    return [...group.prepared]
      .flatMap((key) => this.#prepared.get(key) ?? [])
      .filter((record) => {
        return record.entries.some((entry) => preparedCovers({ record, entry }, job));
      });
  }

  #groupOf(name: string, at: EpochMs): Group {
    const group = this.#groups.get(name) ?? {
      runs: new Set(),
      jobs: new Set(),
      prepared: new Set(),
      views: new Map(),
      viewsAt: this.#pullsLearned,
      lastAt: at,
    };
    group.lastAt = Math.max(group.lastAt, at);
    this.#groups.set(name, group);
    return group;
  }

  #noteRun(key: string, run: RunRecord): void {
    this.#groupOf(run.group, run.lastAt).runs.add(key);
    addTo(this.#groupsOfRunId, run.runId, run.group);
    const sha = run.cells.sha?.[0];
    if (sha !== undefined) addTo(this.#groupsOfHead, headOf(run.group, sha), run.group);
  }

  #noteJob(key: string, job: JobRecord): void {
    this.#groupOf(job.group, 0).jobs.add(key);
    addTo(this.#jobsOfJobId, job.jobId, key);
    this.#noteRunner(job.cells.runner?.[0].name, job.group, key);
  }

  #notePrepared(key: string, record: PreparedRecord): void {
    const group = this.#groupOf(record.group, record.entries.at(-1)?.at ?? 0);
    group.prepared.add(key);
    addTo(this.#groupsOfRunId, record.runId, record.group);
    for (const entry of record.entries) {
      this.#noteRunner(entry.runner?.name, record.group, key);
    }
  }

  #noteRunner(name: string | undefined, group: string, key: string): void {
    if (name === undefined) return;
    for (const runner of runnerKeys(name)) {
      const groups = this.#groupsOfRunner.get(runner) ?? new Map<string, Set<string>>();
      addTo(groups, group, key);
      this.#groupsOfRunner.set(runner, groups);
    }
  }

  /** A tenth at once, so that the sort is paid rarely. */
  #evictOldest(): void {
    const oldest = [...this.#groups].sort(([a, left], [b, right]) => {
      return left.lastAt - right.lastAt || (a < b ? -1 : 1);
    });
    const target = Math.floor(this.#recordsMax * 0.9);
    for (const [name, group] of oldest) {
      if (this.size <= target) break;
      this.#evict(name, group);
    }
  }

  #evict(name: string, group: Group): void {
    this.#evicted += group.runs.size + group.jobs.size + group.prepared.size;
    for (const runner of this.#allRunners(group)) {
      for (const key of runnerKeys(runner)) {
        const groups = this.#groupsOfRunner.get(key);
        groups?.delete(name);
        if (groups?.size === 0) this.#groupsOfRunner.delete(key);
      }
    }
    for (const key of group.jobs) {
      removeFrom(this.#jobsOfJobId, this.#jobs.get(key)?.jobId, key);
      this.#jobs.delete(key);
    }
    for (const key of group.runs) {
      const run = this.#runs.get(key);
      removeFrom(this.#groupsOfRunId, run?.runId, name);
      const sha = run?.cells.sha?.[0];
      if (sha !== undefined) removeFrom(this.#groupsOfHead, headOf(name, sha), name);
      this.#runs.delete(key);
    }
    for (const key of group.prepared) {
      removeFrom(this.#groupsOfRunId, this.#prepared.get(key)?.runId, name);
      this.#prepared.delete(key);
    }
    this.#groups.delete(name);
  }
}

function known(names: readonly (string | undefined)[]): readonly string[] {
  return [...new Set(names.filter((name) => name !== undefined))];
}

/** The attempt that was running, or about to, at this time. */
function latestRunAt(runs: readonly RunRecord[], at: EpochMs): RunRecord | undefined {
  const sorted = [...runs].sort((a, b) => a.runAttempt - b.runAttempt);
  return sorted.findLast((run) => (runStartedAt(run) ?? 0) <= at) ?? sorted[0];
}

/** A prepared entry and the job it belongs to may both be found: one view is enough. */
function uniqueViews(views: readonly JobView[]): readonly JobView[] {
  const byKey = new Map(views.map((view) => [view.key, view]));
  return [...byKey.values()].sort((a, b) => (a.key < b.key ? -1 : 1));
}

function headOf(group: string, sha: string): string {
  return `${group.slice(0, group.lastIndexOf("#"))}@${sha}`;
}

function addTo(map: Map<string, Set<string>>, key: string, value: string): void {
  const values = map.get(key) ?? new Set<string>();
  values.add(value);
  map.set(key, values);
}

function removeFrom(map: Map<string, Set<string>>, key: string | undefined, value: string): void {
  if (key === undefined) return;
  const values = map.get(key);
  values?.delete(value);
  if (values?.size === 0) map.delete(key);
}
