/** @module The build join: adds to each event the CI run that caused it. Adds known facts, never removes or decides. */

import type { EpochMs } from "../clock.ts";
import type { BuildContext } from "../event/build.ts";
import type { Event } from "../event/event.ts";

/**
 * One thing a feed said about one run attempt or job. Facts merge by taking the most that is known and the furthest
 * state, so any order and any repetition give the same table.
 */
export interface BuildFact {
  /** The run attempt's `runKey`: the key of the record in the `builds` topic. */
  readonly run: string;
  /** Job id, or `name:<job name>` where the feed does not tell the id; absent for facts about the whole run. */
  readonly job?: string;
  readonly occurredAt: EpochMs;
  /** What this fact adds. */
  readonly build: Partial<BuildContext> & Pick<BuildContext, "repository" | "runId" | "runAttempt">;
  readonly status?: "queued" | "in_progress" | "completed";
  readonly steps?: readonly BuildStep[];
}

export interface BuildStep {
  readonly number: number;
  readonly name: string;
  readonly startedAt?: EpochMs;
  readonly completedAt?: EpochMs;
}

/** Whether an event is ready for detection, or waits for its build to become known. */
export type Joined =
  | { readonly kind: "ready"; readonly event: Event }
  | { readonly kind: "parked"; readonly until: EpochMs };

/** The stage's part that joins; its table of builds and its parked events live in State. */
export interface BuildTable {
  /** The facts in an event of the GitHub feeds; [] for all others. Pure. */
  factsOf(event: Event): readonly BuildFact[];
  /** Takes a fact in; answers the parked or already released events that now have their build. */
  learn(fact: BuildFact, now: EpochMs): readonly Event[];
  /** Joins one event, or parks it when it names a runner, pod or host whose job is not known yet. */
  join(event: Event, now: EpochMs): Joined;
  /** Parked events whose wait is over, without a build; they stay remembered for a later fact. */
  due(now: EpochMs): readonly Event[];
  /** When `due` will next have something; undefined when nothing is parked. */
  nextDue(): EpochMs | undefined;
}
