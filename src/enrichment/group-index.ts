/**
 * @module The groups by name, by run id, by job id, by runner name and by head; rebuilt from State.
 */

import type { EpochMs } from "../clock.ts";
import { emptyGroup, type Group, headKeys } from "./groups.ts";
import type { JobRecord, PreparedRecord, RunRecord } from "./records.ts";
import { cutKeys } from "./runner-name.ts";

/** Keeps no bound of its own: the run book evicts. */
export class GroupIndex {
  readonly #groups = new Map<string, Group>();
  readonly #ofRunId = new Map<string, Set<Group>>();
  /** The group of each job with this id, by the job's key. */
  readonly #ofJobId = new Map<string, Map<string, Group>>();
  /** Groups that named a runner, under its whole and its cut names. */
  readonly #ofRunner = new Map<string, Set<Group>>();
  readonly #ofHead = new Map<string, Set<Group>>();

  get(name: string): Group | undefined {
    return this.#groups.get(name);
  }

  all(): Iterable<Group> {
    return this.#groups.values();
  }

  groupsOfRunId(runId: string): readonly Group[] {
    return [...(this.#ofRunId.get(runId) ?? [])];
  }

  groupsOfHead(head: string): readonly Group[] {
    return [...(this.#ofHead.get(head) ?? [])];
  }

  /** Jobs of this id with their groups: several when two instances of GitHub use one id. */
  jobsOfJobId(jobId: string): readonly (readonly [group: Group, key: string])[] {
    return [...(this.#ofJobId.get(jobId) ?? [])].map(([key, group]) => [group, key] as const);
  }

  /** Whether a runner of this name was ever named. */
  hasRunner(name: string): boolean {
    return this.#ofRunner.has(name.toLowerCase());
  }

  noteRun(key: string, run: RunRecord): Group {
    const group = this.#groupOf(run.group, run.lastAt);
    group.runs.set(key, run);
    addTo(this.#ofRunId, run.runId, group);
    for (const head of headKeys(run)) {
      group.heads.add(head);
      addTo(this.#ofHead, head, group);
    }
    return group;
  }

  noteJob(key: string, job: JobRecord): Group {
    const group = this.#groupOf(job.group, 0);
    group.jobs.set(key, job);
    const keys = this.#ofJobId.get(job.jobId) ?? new Map<string, Group>();
    this.#ofJobId.set(job.jobId, keys.set(key, group));
    this.#noteRunner(group, job.cells.runner?.[0].name);
    return group;
  }

  notePrepared(key: string, record: PreparedRecord): Group {
    const group = this.#groupOf(record.group, record.entries.at(-1)?.at ?? 0);
    group.prepared.set(key, record);
    addTo(this.#ofRunId, record.runId, group);
    for (const entry of record.entries) this.#noteRunner(group, entry.runner?.name);
    return group;
  }

  forget(group: Group): void {
    for (const runner of group.runners) {
      for (const key of namesOf(runner)) removeFrom(this.#ofRunner, key, group);
    }
    for (const head of group.heads) removeFrom(this.#ofHead, head, group);
    for (const { runId } of [...group.runs.values(), ...group.prepared.values()]) {
      removeFrom(this.#ofRunId, runId, group);
    }
    for (const [key, { jobId }] of group.jobs) {
      const keys = this.#ofJobId.get(jobId);
      keys?.delete(key);
      if (keys?.size === 0) this.#ofJobId.delete(jobId);
    }
    this.#groups.delete(group.name);
  }

  #groupOf(name: string, at: EpochMs): Group {
    const group = this.#groups.get(name) ?? emptyGroup(name, at);
    group.lastAt = Math.max(group.lastAt, at);
    this.#groups.set(name, group);
    return group;
  }

  #noteRunner(group: Group, name: string | undefined): void {
    const runner = name?.toLowerCase();
    if (runner === undefined || group.runners.has(runner)) return;
    group.runners.add(runner);
    for (const key of namesOf(runner)) addTo(this.#ofRunner, key, group);
  }
}

function namesOf(runner: string): readonly string[] {
  return [...new Set([runner, ...cutKeys(runner).map(({ key }) => key)])];
}

function addTo(map: Map<string, Set<Group>>, key: string, group: Group): void {
  const groups = map.get(key) ?? new Set<Group>();
  map.set(key, groups.add(group));
}

function removeFrom(map: Map<string, Set<Group>>, key: string, group: Group): void {
  const groups = map.get(key);
  groups?.delete(group);
  if (groups?.size === 0) map.delete(key);
}
