/** @module What a fact changed in the table: under which keys, and for events of which time. */

import type { BuildContext } from "../event/build.ts";
import { runKey } from "../event/build.ts";
import type { Span } from "./timeline.ts";

/** A time in which the jobs found under a runner's key may be others than before. */
export interface RunnerSpan extends Span {
  readonly key: string;
}

/**
 * Which events may now have another answer. Collected while one fact is learned; not changed after
 * that, so every joiner of a process may be given the same object, at any later time.
 */
export class Changes {
  readonly keys = new Set<string>();
  readonly spans: RunnerSpan[] = [];

  /** Whether the fact was known already: no joiner needs to hear of it. */
  get empty(): boolean {
    return this.keys.size === 0 && this.spans.length === 0;
  }

  noteSpan(key: string, span: Span | undefined): void {
    if (span !== undefined) this.spans.push({ key, ...span });
  }

  noteBuild(build: BuildContext): void {
    this.keys.add(buildKey(build));
    if (build.jobId !== undefined) this.keys.add(`job:${build.jobId}`);
  }
}

/** The key of everything that was joined to this job, or to this run without a job. */
export function buildKey(build: BuildContext): string {
  const { jobId, job = "" } = build;
  return `build:${runKey(build)}|${jobId === undefined ? `name:${job}` : jobId}`;
}

/** The key of events that show an address; `address` in its one spelling (`addressKey`). */
export function addressChangeKey(address: string): string {
  return `address:${address}`;
}
