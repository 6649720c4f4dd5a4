/**
 * @module Which of several jobs an event belongs to, by event time; and which step of a job. Pure.
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

/**
 * What the time says. `after` is the last job that ended before it; `near` when within the slack of
 * its end.
 */
export type Picked =
  | { readonly kind: "one"; readonly view: JobView; readonly near: boolean }
  | { readonly kind: "boundary"; readonly view: JobView; readonly others: readonly JobView[] }
  | {
      readonly kind: "after";
      readonly view: JobView;
      readonly near: boolean;
      readonly others: readonly JobView[];
    }
  | { readonly kind: "many"; readonly views: readonly JobView[] }
  | { readonly kind: "none" };

interface Window {
  readonly view: JobView;
  readonly from: EpochMs;
  /**
   * The first moment after the job: GitHub's times are whole seconds, so a job that ended at :05
   * held :05.9.
   */
  readonly to: EpochMs;
}

/** Chooses by time among jobs of the same runner or of runners that could be meant. */
export function pickJob(views: readonly JobView[], time: EpochMs, slackMs: number): Picked {
  const windows = windowsOf(views);
  const inside = windows.filter((window) => window.from <= time && time < window.to);
  const [only, ...more] = inside;
  if (only !== undefined && more.length === 0) return { kind: "one", view: only.view, near: false };
  if (only !== undefined) return pickBoundary(inside);
  const near = windows.filter((window) => {
    return window.from - slackMs <= time && time < window.to + slackMs;
  });
  const [nearest] = near;
  if (near.length > 1) return { kind: "many", views: near.map((window) => window.view) };
  if (nearest !== undefined) {
    const { view } = nearest;
    if (time < nearest.from) return { kind: "one", view, near: true };
    return { kind: "after", view, near: true, others: [] };
  }
  return pickEnded(windows.filter((window) => window.to <= time));
}

/**
 * Activity after a job is the last job's. A machine that registers anew for each job changes its
 * runner id.
 */
function pickEnded(windows: readonly Window[]): Picked {
  const views = lastOfEachRunner(windows).map((window) => window.view);
  const last = views.at(-1);
  if (last === undefined) return { kind: "none" };
  if (views.some((view) => ownerOf(view.build) !== ownerOf(last.build))) {
    return { kind: "many", views };
  }
  return { kind: "after", view: last, near: false, others: views.slice(0, -1) };
}

/**
 * One runner runs one job at a time: two windows of one runner that hold the same moment can only
 * touch in a second, and then the job that started later has it. Windows of two runners are two
 * answers.
 */
function pickBoundary(inside: readonly Window[]): Picked {
  const latest = lastOfEachRunner(inside);
  const [one] = latest;
  if (one === undefined || latest.length > 1) {
    return { kind: "many", views: inside.map((window) => window.view) };
  }
  const others = inside.filter((window) => window !== one).map((window) => window.view);
  return { kind: "boundary", view: one.view, others };
}

function windowsOf(views: readonly JobView[]): readonly Window[] {
  const windows: Window[] = [];
  for (const view of views) {
    const { startedAt: from, endAt } = view;
    if (from === undefined || view.build.conclusion === "skipped") continue;
    windows.push({
      view,
      from,
      to: endAt === undefined ? Number.POSITIVE_INFINITY : endAt + secondMs,
    });
  }
  windows.sort((a, b) => a.from - b.from || (a.view.key < b.view.key ? -1 : 1));
  // A job whose end was never told ends, at the latest, when its runner starts the next.
  return windows.map((window, index) => {
    if (window.to !== Number.POSITIVE_INFINITY) return window;
    const next = windows.slice(index + 1).find((other) => {
      return other.from > window.from && sameRunner(other.view, window.view);
    });
    return next === undefined ? window : { ...window, to: next.from };
  });
}

function lastOfEachRunner(windows: readonly Window[]): readonly Window[] {
  return windows.filter((window, index) => {
    return !windows.slice(index + 1).some((later) => sameRunner(later.view, window.view));
  });
}

/**
 * Names are unique within an owner's scope only, and a runner that registers again gets a new id.
 */
function sameRunner(a: JobView, b: JobView): boolean {
  const left = a.build.runner;
  const right = b.build.runner;
  if (left === undefined || right === undefined) return false;
  if (ownerOf(a.build) !== ownerOf(b.build)) return false;
  if (left.name.toLowerCase() !== right.name.toLowerCase()) return false;
  return left.id === undefined || right.id === undefined || left.id === right.id;
}

export function ownerOf(build: Pick<BuildContext, "repository">): string {
  return (build.repository.split("/")[0] ?? "").toLowerCase();
}

/**
 * The step that ran at `time`. Steps touch in whole seconds; the one that started later has the
 * moment. A step whose end is not known gives no answer: bodies sent at the start of a job show
 * only its first step.
 */
export function pickStep(steps: readonly BuildStep[], time: EpochMs): BuildStep | undefined {
  let best: BuildStep | undefined;
  for (const step of steps) {
    const { startedAt, completedAt } = step;
    if (startedAt === undefined || completedAt === undefined) continue;
    if (time < startedAt || time >= completedAt + secondMs) continue;
    const bestStart = best?.startedAt ?? Number.NEGATIVE_INFINITY;
    const later = startedAt > bestStart;
    if (later || (startedAt === bestStart && step.number > (best?.number ?? 0))) best = step;
  }
  return best;
}
