/**
 * @module What is known of runs and jobs: facts merged in, kept in State, found by id and by runner
 * name.
 */

import type { EpochMs } from "../clock.ts";
import type { BuildContext } from "../event/build.ts";
import type { State, StateTable } from "../state/state.ts";
import type { RunFact } from "./build-fact.ts";
import { mergeCells, sameValues } from "./cells.ts";
import { Changes } from "./changes.ts";
import { GroupIndex } from "./group-index.ts";
import { type Group, jobsNamedBy, jobsOfAttempt, preparedNaming, viewsOf } from "./groups.ts";
import { runBuild } from "./job-view.ts";
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
import { RunnerIndex } from "./runner-index.ts";
import type { JobView } from "./window.ts";

const preparedMax = 16;
const none: readonly JobView[] = [];

/**
 * The runs and jobs. The tables are the truth; views and indexes beside them are rebuilt from the
 * tables. The view of a job is computed when one of its records changes, never when it is asked
 * for.
 */
export class RunBook {
  readonly #runs: StateTable<RunRecord>;
  readonly #jobs: StateTable<JobRecord>;
  readonly #prepared: StateTable<PreparedRecord>;
  readonly #pulls: Pulls;
  readonly #index = new GroupIndex();
  readonly #recordsMax: number;
  /** The jobs by runner and time. */
  readonly runners: RunnerIndex = new RunnerIndex();
  #evicted = 0;
  /** The next to be forgotten last: looked up for many at once, so that it is paid rarely. */
  #oldest: Aged[] = [];

  constructor(state: State, recordsMax: number) {
    this.#runs = state.table("runs");
    this.#jobs = state.table("jobs");
    this.#prepared = state.table("prepared");
    this.#pulls = createPulls(state, recordsMax);
    this.#recordsMax = recordsMax;
    for (const [key, run] of this.#runs.entries()) this.#index.noteRun(key, run);
    for (const [key, job] of this.#jobs.entries()) this.#index.noteJob(key, job);
    for (const [key, record] of this.#prepared.entries()) this.#index.notePrepared(key, record);
    for (const group of this.#index.all()) {
      this.#refresh(group, [...group.jobs.keys(), ...group.prepared.keys()], new Changes());
    }
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

  /** Merges a fact in; answers what it changed. */
  learn(fact: RunFact): Changes {
    const changes = new Changes();
    const { runId, runAttempt } = fact.build;
    if (runId === "") {
      this.#learnPull(fact, changes);
      return changes;
    }
    const stale = new Set<string>();
    if (runAttempt === 0) this.#learnPrepared(fact, stale);
    else if (this.#learnRun(fact, stale)) changes.keys.add(`run:${runId}`);
    const group = this.#index.get(groupKey(fact.build));
    if (group !== undefined && stale.size > 0) {
      changes.keys.add(`run:${runId}`);
      this.#refresh(group, stale, changes);
    }
    if (this.size > this.#recordsMax) this.#evictOldest();
    return changes;
  }

  /** Whether a runner of this name was ever named. */
  hasRunner(name: string): boolean {
    return this.#index.hasRunner(name);
  }

  jobsOfJobId(jobId: string): readonly JobView[] {
    return this.#index.jobsOfJobId(jobId).flatMap(([group, key]) => group.views.get(key) ?? none);
  }

  /** The run attempts with this id; of several instances of GitHub there may be several. */
  runsOfRunId(runId: string): readonly RunRecord[] {
    return this.#index.groupsOfRunId(runId).flatMap((group) => [...group.runs.values()]);
  }

  /** The jobs of one attempt. */
  jobsOfRun(run: RunRecord): readonly JobView[] {
    const views = [...(this.#index.get(run.group)?.views.values() ?? [])].flat();
    return views
      .filter((view) => view.build.runAttempt === run.runAttempt)
      .sort((a, b) => (a.key < b.key ? -1 : 1));
  }

  buildOfRun(run: RunRecord): BuildContext {
    const group = this.#index.get(run.group);
    const [key] = [...(group?.runs ?? [])].find(([, one]) => one === run) ?? [];
    return group?.builds.get(key ?? "") ?? this.#computed(run);
  }

  #computed(run: RunRecord): BuildContext {
    return runBuild(run, (head) => this.#pulls.find(head));
  }

  /** Computes anew the views of these records. */
  #refresh(group: Group, keys: Iterable<string>, changes: Changes): void {
    const buildOf = (key: string, run: RunRecord): BuildContext => {
      const build = group.builds.get(key) ?? this.#computed(run);
      group.builds.set(key, build);
      return build;
    };
    for (const key of keys) {
      const before = group.views.get(key) ?? none;
      const now = viewsOf(group, key, buildOf);
      if (now.length > 0) group.views.set(key, now);
      else group.views.delete(key);
      this.#place(before, now, changes);
    }
  }

  #place(before: readonly JobView[], now: readonly JobView[], changes: Changes): void {
    for (const view of [...before, ...now]) changes.noteBuild(view.build);
    for (const old of before) {
      if (!now.some(({ key }) => key === old.key)) this.runners.replace(old, undefined, changes);
    }
    for (const view of now) {
      this.runners.replace(
        before.find(({ key }) => key === view.key),
        view,
        changes,
      );
    }
  }

  /** A pull request that is told late completes the runs of its head. */
  #learnPull(fact: RunFact, changes: Changes): void {
    const heads = this.#pulls.learn(fact);
    for (const group of new Set(heads.flatMap((head) => this.#index.groupsOfHead(head)))) {
      for (const [key, run] of group.runs) {
        const old = group.builds.get(key);
        const build = this.#computed(run);
        if (old !== undefined && samePull(old, build)) continue;
        group.builds.set(key, build);
        changes.keys.add(`run:${run.runId}`);
        const records = [...jobsOfAttempt(group, key), ...group.prepared.keys()];
        this.#refresh(group, records, changes);
      }
    }
  }

  /** Whether the run itself changed; `stale` takes the keys of the records whose views did. */
  #learnRun(fact: RunFact, stale: Set<string>): boolean {
    const { build, occurredAt: at } = fact;
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
    const run: RunRecord = { group: groupKey(build), runId, runAttempt, cells, lastAt };
    let group = this.#index.get(run.group);
    if (old === undefined || cells !== old.cells || lastAt !== old.lastAt) {
      this.#runs.put(fact.run, run);
      group = this.#index.noteRun(fact.run, run);
    }
    const changed = old === undefined || !sameValues(old.cells, cells, runValueNames);
    if (changed && group !== undefined) {
      group.builds.delete(fact.run);
      for (const key of jobsOfAttempt(group, fact.run)) stale.add(key);
      for (const key of group.prepared.keys()) stale.add(key);
    }
    if (fact.job !== undefined) this.#learnJob(fact, fact.job, stale);
    return changed;
  }

  #learnJob(fact: RunFact, jobId: string, stale: Set<string>): void {
    const key = `${fact.run}|${jobId}`;
    const old = this.#jobs.get(key);
    const { steps } = fact;
    const cells = mergeCells(old?.cells ?? {}, {
      values: { ...fact.build, ...(steps === undefined ? {} : { steps }) },
      names: jobValueNames,
      rank: rankOf(fact.status),
      at: fact.occurredAt,
    });
    if (old !== undefined && cells === old.cells) return;
    const job: JobRecord = { group: groupKey(fact.build), run: fact.run, jobId, cells };
    this.#jobs.put(key, job);
    const group = this.#index.noteJob(key, job);
    if (old !== undefined && sameValues(old.cells, cells, jobValueNames)) return;
    stale.add(key);
    const names = [cells.job?.[0], old?.cells.job?.[0]];
    for (const record of preparedNaming(group, names)) stale.add(record);
  }

  #learnPrepared(fact: RunFact, stale: Set<string>): void {
    const { job, runner, secretsPassed, environment, repository, runId } = fact.build;
    if (job === undefined) return;
    const name = groupKey(fact.build);
    const key = `${name}|name:${job}`;
    const old = this.#prepared.get(key);
    const entry = {
      at: fact.occurredAt,
      ...(runner === undefined ? {} : { runner }),
      ...(secretsPassed === undefined ? {} : { secretsPassed }),
      ...(environment === undefined ? {} : { environment }),
    };
    const entries = withEntry(old?.entries ?? [], entry, preparedMax);
    if (entries === old?.entries) return;
    const record: PreparedRecord = { group: name, repository, runId, job, entries };
    this.#prepared.put(key, record);
    const group = this.#index.notePrepared(key, record);
    stale.add(key);
    for (const other of jobsNamedBy(group, record)) stale.add(other);
  }

  /**
   * No more than is too much: letting a tenth of a large table go at once would hold up everything
   * else in the process.
   */
  #evictOldest(): void {
    while (this.size > this.#recordsMax) {
      if (this.#oldest.length === 0) this.#oldest = oldestOf(this.#index.all());
      const next = this.#oldest.pop();
      if (next === undefined) return;
      const { group, lastAt } = next;
      // One that was told of since is no longer among the oldest.
      const same = group.lastAt === lastAt && this.#index.get(group.name) === group;
      if (same) this.#evict(group);
    }
  }

  #evict(group: Group): void {
    const { runs, jobs, prepared } = group;
    this.#evicted += runs.size + jobs.size + prepared.size;
    for (const views of group.views.values()) this.#place(views, none, new Changes());
    for (const key of jobs.keys()) this.#jobs.delete(key);
    for (const key of runs.keys()) this.#runs.delete(key);
    for (const key of prepared.keys()) this.#prepared.delete(key);
    this.#index.forget(group);
  }
}

interface Aged {
  readonly group: Group;
  /** When it was told of last, by the time it was looked up. */
  readonly lastAt: EpochMs;
}

/** The oldest tenth, the oldest last; one at least, if there is any. */
function oldestOf(groups: Iterable<Group>): Aged[] {
  const all = [...groups];
  // Numbers alone are sorted many times faster than what they belong to.
  const ages = Float64Array.from(all, ({ lastAt }) => lastAt).sort();
  const limit = ages[Math.floor(all.length / 10)] ?? Number.NEGATIVE_INFINITY;
  return all
    .filter(({ lastAt }) => lastAt <= limit)
    .map((group) => ({ group, lastAt: group.lastAt }))
    .sort((a, b) => b.lastAt - a.lastAt || (a.group.name < b.group.name ? 1 : -1));
}

/** Whether the pull request of a run is told alike. */
function samePull(a: BuildContext, b: BuildContext): boolean {
  return (
    a.pullRequest === b.pullRequest && a.fork === b.fork && a.headRepository === b.headRepository
  );
}
