/**
 * @module Which of several jobs an event belongs to, by event time; and which step of a job. Pure.
 */

import { type EpochMs, secondMs } from "../clock.ts";
import type { BuildStep } from "./build-fact.ts";
import { byStart, type JobView, sameRunner, type Window, windowOf } from "./window.ts";

/**
 * What the time says. `after` is the last job that ended before it; `near` when within the slack of
 * its end. `overdue`: nothing told the job's end, and it should be over.
 */
export type Picked =
  | {
      readonly kind: "one";
      readonly view: JobView;
      readonly near: boolean;
      readonly overdue: boolean;
    }
  | {
      readonly kind: "boundary";
      readonly view: JobView;
      readonly overdue: boolean;
      readonly others: readonly JobView[];
    }
  | {
      readonly kind: "after";
      readonly view: JobView;
      readonly near: boolean;
      readonly others: readonly JobView[];
    }
  | { readonly kind: "many"; readonly views: readonly JobView[] }
  | { readonly kind: "none" };

/** Windows around a moment, in order of start. */
export interface Around {
  /** Those that hold the moment, or miss it by no more than the slack. */
  near(): readonly Window[];
  /** Those that ended before it; asked only when none is near, or one is overdue. */
  ended(): readonly Window[];
}

/** How far activity may lie outside a job, and how long a job without an end is believed in. */
export interface Limits {
  readonly slackMs: number;
  readonly openJobMs: number;
  /** How long after its end a job is still blamed; later it is one that could have been. */
  readonly afterJobMs: number;
}

/** Chooses by time among the jobs of one run. */
export function pickJob(views: readonly JobView[], time: EpochMs, limits: Limits): Picked {
  const { slackMs } = limits;
  const windows = windowsOf(views);
  const around: Around = {
    near: () => windows.filter(({ from, to }) => from - slackMs <= time && time < to + slackMs),
    ended: () => windows.filter(({ to }) => to <= time),
  };
  return pickAround(time, around, limits);
}

/** Chooses by time among jobs of the same runner or of runners that could be meant. */
export function pickAround(
  time: EpochMs,
  around: Around,
  { openJobMs, afterJobMs }: Omit<Limits, "slackMs">,
): Picked {
  const isOverdue = ({ open, from }: Window): boolean => open && time - from > openJobMs;
  const all = around.near();
  const near = all.some(isOverdue) ? withoutLost(all, { time, around, isOverdue }) : all;
  const inside = near.filter(({ from, to }) => from <= time && time < to);
  const [only, ...more] = inside;
  if (only !== undefined && more.length === 0) {
    return { kind: "one", view: only.view, near: false, overdue: isOverdue(only) };
  }
  if (only !== undefined) return pickBoundary(inside, isOverdue);
  const [nearest] = near;
  if (nearest === undefined) return pickEnded(around.ended(), time - afterJobMs);
  if (near.length > 1) return { kind: "many", views: near.map(({ view }) => view) };
  const { view } = nearest;
  if (time < nearest.from) return { kind: "one", view, near: true, overdue: false };
  return { kind: "after", view, near: true, others: [] };
}

/**
 * Without the overdue jobs whose runner has begun another since: a runner of that name, even if it
 * registered anew, runs one job at a time.
 */
function withoutLost(
  near: readonly Window[],
  about: {
    readonly time: EpochMs;
    readonly around: Around;
    readonly isOverdue: (window: Window) => boolean;
  },
): readonly Window[] {
  const begun = [...near, ...about.around.ended()].filter(({ from }) => from <= about.time);
  return near.filter((window) => {
    if (!about.isOverdue(window) || window.scope === undefined) return true;
    return !begun.some(({ scope, from }) => scope === window.scope && from > window.from);
  });
}

/**
 * Activity after a job is the last job's, unless that ended before `since`: then it is only one
 * that could have left something behind. A machine that registers anew for each job changes its
 * runner id.
 */
function pickEnded(windows: readonly Window[], since: EpochMs): Picked {
  const ended = lastOfEachRunner(windows);
  const views = ended.map(({ view }) => view);
  const last = ended.at(-1);
  if (last === undefined) return { kind: "none" };
  if (last.to < since) return { kind: "many", views };
  if (ended.some(({ owner }) => owner !== last.owner)) return { kind: "many", views };
  return { kind: "after", view: last.view, near: false, others: views.slice(0, -1) };
}

/**
 * One runner runs one job at a time: two windows of one runner that hold the same moment can only
 * touch in a second, and then the job that started later has it. Windows of two runners are two
 * answers.
 */
function pickBoundary(inside: readonly Window[], isOverdue: (window: Window) => boolean): Picked {
  const latest = lastOfEachRunner(inside);
  const [one] = latest;
  if (one === undefined || latest.length > 1) {
    return { kind: "many", views: inside.map(({ view }) => view) };
  }
  const others = inside.filter((window) => window !== one).map(({ view }) => view);
  return { kind: "boundary", view: one.view, overdue: isOverdue(one), others };
}

function windowsOf(views: readonly JobView[]): readonly Window[] {
  const windows = views.flatMap((view) => windowOf(view) ?? []).sort(byStart);
  for (const [index, window] of windows.entries()) {
    if (!window.open) continue;
    const next = windows.slice(index + 1).find((other) => {
      return other.from > window.from && sameRunner(other, window);
    });
    if (next !== undefined) window.to = next.from;
  }
  return windows;
}

/** Windows without a later one of the same runner; an id that is not told may be any. */
function lastOfEachRunner(windows: readonly Window[]): readonly Window[] {
  const seen = new Map<string, Set<string | undefined>>();
  const latest: Window[] = [];
  for (const window of windows.toReversed()) {
    const { scope, runnerId } = window;
    if (scope === undefined) {
      latest.push(window);
      continue;
    }
    const ids = seen.get(scope) ?? new Set<string | undefined>();
    const later = ids.has(undefined) || (runnerId === undefined ? ids.size > 0 : ids.has(runnerId));
    if (!later) latest.push(window);
    ids.add(runnerId);
    seen.set(scope, ids);
  }
  return latest.reverse();
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
