/** @module BuildFact: one thing a feed said about a run; what the `builds` topic carries. */

import type { EpochMs } from "../clock.ts";
import type { BuildContext } from "../event/build.ts";

/**
 * One thing a feed said about one run attempt or job. Facts merge by taking the most that is known
 * and the furthest state, so any order and any repetition give the same table.
 */
export interface BuildFact {
  /**
   * The run attempt's `runKey`: the key of the record in the `builds` topic. Where the feed does
   * not tell the attempt it is 0. A pull request is a fact about all runs of its head:
   * `pull:owner/name@sha`, with an empty `runId`.
   */
  readonly run: string;
  /**
   * Job id, or `name:<job name>` where the feed does not tell the id; absent for facts about the
   * whole run.
   */
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
