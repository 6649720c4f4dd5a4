/** @module What the lineage keeps of a fact and of a run, and which of two tellings holds. Pure. */

import type { EpochMs } from "../clock.ts";
import { type BuildContext, runKey } from "../event/build.ts";
import type { Edge } from "./edges.ts";
import type { LineageFact } from "./lineage-fact.ts";
import type { TaintEntry } from "./taint.ts";

/**
 * An edge with how much its event knew of the build: the fuller of two tellings of one event is
 * kept.
 */
export interface StoredEdge extends Edge {
  readonly weight: number;
}

export interface StoredRun {
  /** Absent while the run is only known as suspicious. */
  readonly build?: BuildContext;
  readonly suspectAt?: EpochMs;
  /** Taints whose facts have been forgotten. */
  readonly kept?: readonly TaintEntry[];
  readonly lastAt: EpochMs;
}

export function edgeOf(fact: LineageFact): StoredEdge {
  const { eventId, kind, thing, run: build, occurredAt: at } = fact;
  const { job, step } = build;
  return {
    key: `${kind}|${eventId}|${thing}`,
    kind,
    thing,
    run: runKey(build),
    at,
    weight: weightOf(build),
    ...withJob(job, step),
  };
}

export function withJob(
  job: string | undefined,
  step: string | undefined,
): { job?: string; step?: string } {
  return { ...(job === undefined ? {} : { job }), ...(step === undefined ? {} : { step }) };
}

/** Of two tellings of one event the fuller one holds, whichever came first. */
export function outweighs(edge: StoredEdge, old: StoredEdge): boolean {
  if (edge.weight !== old.weight) return edge.weight > old.weight;
  return JSON.stringify(edge) > JSON.stringify(old);
}

export function outweighsBuild(build: BuildContext, old: BuildContext): boolean {
  const difference = weightOf(build) - weightOf(old);
  if (difference !== 0) return difference > 0;
  return JSON.stringify(build) > JSON.stringify(old);
}

function weightOf(build: BuildContext): number {
  return Object.values(build).filter((value) => value !== undefined).length;
}

/** The build without what belongs to one of its jobs. */
export function wholeRun(build: BuildContext): BuildContext {
  const {
    jobId: _jobId,
    job: _job,
    step: _step,
    stepNumber: _stepNumber,
    runner: _runner,
    secretsPassed: _secretsPassed,
    environment: _environment,
    startedAt: _startedAt,
    completedAt: _completedAt,
    conclusion: _conclusion,
    ...run
  } = build;
  return run;
}
