/** @module What a fact changed in the run book: under which keys, and for events of which time. */

import type { BuildContext } from "../event/build.ts";
import { runKey } from "../event/build.ts";
import type { Span } from "./timeline.ts";

/** A time in which the jobs found under a runner's key may be others than before. */
export interface RunnerSpan extends Span {
  readonly key: string;
}

/** Collected while one fact is learned. */
export class Changes {
  readonly keys = new Set<string>();
  readonly spans: RunnerSpan[] = [];

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
