/** @module BuildFact: one thing told about a run or an address; what the `builds` topic carries. */

import { createHash } from "node:crypto";
import type { EpochMs } from "../clock.ts";
import type { BuildContext } from "../event/build.ts";

/**
 * One thing told that helps to find an event's build. Facts merge, so any order and any repetition
 * give the same table.
 */
export type BuildFact = RunFact | LeaseFact;

/**
 * One thing a feed said about one run attempt or job. They merge by taking the most that is known
 * and the furthest state.
 */
export interface RunFact {
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
  readonly lease?: never;
}

/** A pod was seen with an address at `occurredAt`. Told once an hour for each pod and address. */
export interface LeaseFact {
  /** `lease:` and the address: leases of one address stay in order. */
  readonly run: string;
  readonly job?: never;
  readonly occurredAt: EpochMs;
  /** The address in its one spelling (`addressKey`), the pod in lower case. */
  readonly lease: { readonly address: string; readonly pod: string };
  readonly build?: never;
}

export interface BuildStep {
  readonly number: number;
  readonly name: string;
  readonly startedAt?: EpochMs;
  readonly completedAt?: EpochMs;
}

/**
 * `<run>|<job>|<96 bits of hash>`: facts with equal keys are the same fact, so a topic may keep the
 * last of each key only. The time is part of it: of two tellings the later one outweighs the other.
 */
export function factKey(fact: BuildFact): string {
  const hash = createHash("sha256").update(JSON.stringify(fact)).digest("hex").slice(0, 24);
  return `${fact.run}|${fact.job ?? ""}|${hash}`;
}
