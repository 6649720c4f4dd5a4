/**
 * @module The time a job held its runner. A job whose end was never told ends, at the latest, when
 * its runner starts the next.
 */

import { type EpochMs, secondMs } from "../clock.ts";
import type { BuildContext } from "../event/build.ts";
import type { BuildStep } from "./build-fact.ts";

/** A job as the join sees it: its build and the time it ran. */
export interface JobView {
  /** Identity of the job in the table. */
  readonly key: string;
  readonly build: BuildContext;
  /** Undefined while queued and for jobs that never ran. */
  readonly startedAt: EpochMs | undefined;
  /** Undefined while it runs. */
  readonly endAt: EpochMs | undefined;
  readonly steps: readonly BuildStep[];
}

/** A started job in time; the list that holds it sets `to` of one that is `open`. */
export interface Window {
  view: JobView;
  readonly from: EpochMs;
  /**
   * The first moment after the job: GitHub's times are whole seconds, so a job that ended at :05
   * held :05.9. Infinity while it runs.
   */
  to: EpochMs;
  /** Its end is not known: `to` is the start of its runner's next job. */
  readonly open: boolean;
  readonly owner: string;
  /** Owner and runner name; undefined when the job names no runner. */
  readonly scope: string | undefined;
  readonly runnerId: string | undefined;
}

/** Undefined for a job that has not started or was skipped: no activity can be its own. */
export function windowOf(view: JobView): Window | undefined {
  const { startedAt: from, endAt, build } = view;
  if (from === undefined || build.conclusion === "skipped") return undefined;
  const owner = ownerOf(build);
  const name = build.runner?.name.toLowerCase();
  return {
    view,
    from,
    to: endAt === undefined ? Number.POSITIVE_INFINITY : endAt + secondMs,
    open: endAt === undefined,
    owner,
    scope: name === undefined ? undefined : `${owner}/${name}`,
    runnerId: build.runner?.id,
  };
}

/**
 * Names are unique within an owner's scope only, and a runner that registers again gets a new id.
 */
export function sameRunner(a: Window, b: Window): boolean {
  if (a.scope === undefined || a.scope !== b.scope) return false;
  return a.runnerId === undefined || b.runnerId === undefined || a.runnerId === b.runnerId;
}

/** In order of start; of two that start together, by key, so that arrival order leaves no trace. */
export function byStart(a: Window, b: Window): number {
  if (a.from !== b.from) return a.from - b.from;
  if (a.view.key === b.view.key) return 0;
  return a.view.key < b.view.key ? -1 : 1;
}

/**
 * Whether two views of one job stand at the same place: every event finds, or does not find, the
 * one just like the other.
 */
export function samePlace(a: JobView, b: JobView): boolean {
  const left = a.build;
  const right = b.build;
  return (
    a.startedAt === b.startedAt &&
    a.endAt === b.endAt &&
    (left.conclusion === "skipped") === (right.conclusion === "skipped") &&
    left.repository === right.repository &&
    left.runner?.name === right.runner?.name &&
    left.runner?.id === right.runner?.id
  );
}

export function ownerOf(build: Pick<BuildContext, "repository">): string {
  const { repository } = build;
  const slash = repository.indexOf("/");
  return (slash < 0 ? repository : repository.slice(0, slash)).toLowerCase();
}
